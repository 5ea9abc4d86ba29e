#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// Where the sequences of a packed batch end. A tensor on the CPU will do for one.
struct Offsets {
  at::Tensor ends;           ///< [N + 1] int64: 0, then where each sequence ends
  std::int64_t longest = 0;  ///< above 0: no sequence has more tokens, and `ends`, on the device of what is computed
                             ///< with it, is not read on the host; 0: `ends` is on the CPU, and read

  Offsets(at::Tensor ends, std::int64_t longest = 0) : ends(std::move(ends)), longest(longest) {}
};

namespace detail {

/// Tokens of the longest sequence, or the limit given in its place.
std::int64_t longest_of(const Offsets& offsets);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/offsets-inl.hpp"
#endif
