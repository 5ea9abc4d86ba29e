#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

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
inline std::int64_t longest_of(const Offsets& offsets) {
  if (offsets.longest > 0) return offsets.longest;
  const std::int64_t* ends = offsets.ends.const_data_ptr<std::int64_t>();
  std::int64_t longest = 0;
  for (std::int64_t n = 0; n + 1 < offsets.ends.numel(); ++n) longest = std::max(longest, ends[n + 1] - ends[n]);
  return longest;
}

}  // namespace detail
}  // namespace graft
