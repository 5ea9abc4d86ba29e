#pragma once

#include <algorithm>
#include <cstdint>

#include "graft/ops/kernels/vector.hpp"

namespace graft::detail {

/// What is the same for all elements of a parameter in one step of AdamW.
template <class T>
struct AdamWFactors {
  T divisor;     ///< of the gradient
  T keep;        ///< 1 - lr weight_decay
  T mean_share;  ///< 1 - beta1, which a float32 of beta1 would not give to all its digits
  T beta2;
  T square_share;  ///< 1 - beta2
  T rate;          ///< lr / (1 - beta1^t)
  T spread;        ///< sqrt(1 - beta2^t)
  T eps;
};

}  // namespace graft::detail

/// A step of AdamW, and the size of gradients.
#define GRAFT_SIMD_FILE "graft/training/detail/optimizer_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
