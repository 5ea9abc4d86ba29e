#pragma once

#include <cstdint>

#include "graft/core/hash.hpp"
#include "graft/core/mode.hpp"

namespace at {
class Tensor;
}

namespace graft {

/// 64 bits that differ, but for chance, if any bit of the tensor's elements does. One pass over its memory.
std::uint64_t fingerprint(const at::Tensor& tensor);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/fingerprint-inl.hpp"
#endif
