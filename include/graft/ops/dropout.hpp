#pragma once

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// x with each element zeroed with chance p and the others divided by 1 - p:  [..., D] -> [..., D].
///
/// p in [0, 1), to a 65536th; the division is by the chance so rounded, which keeps the mean exact. p = 0 gives x
/// itself. Draws a key from LibTorch's default generator and the bits from Philox4x32 (7 rounds) under that key: one
/// seed gives one result, whatever the number of threads or the width of the processor's vectors. It is another result
/// than torch::dropout's. Kept for backward: one bit an element. Differentiable once. float32, float64 and bfloat16 on
/// the CPU; anything else runs torch::dropout. Throws OptionError for another p. Source: Salmon et al., Parallel random
/// numbers: as easy as 1, 2, 3 (SC 2011).
at::Tensor dropout(const at::Tensor& x, double p);

namespace detail {

/// The same from LibTorch's operations, with draws of its own.
at::Tensor plain_dropout(const at::Tensor& x, double p);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/dropout-inl.hpp"
#endif
