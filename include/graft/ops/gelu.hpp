#pragma once

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// x Phi(x), with Phi the standard normal distribution (the error function, not the approximation by tanh): [...] ->
/// [...].
///
/// Only x is kept for backward. float32 to 1e-6 of the value plus 1e-7, float64, and bfloat16 (float32 inside) on the
/// CPU; anything else runs torch::gelu. Differentiable once. Source: Hendrycks and Gimpel, arXiv:1606.08415.
at::Tensor gelu(const at::Tensor& x);

namespace detail {

/// The same from LibTorch's operations.
at::Tensor plain_gelu(const at::Tensor& x);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/gelu-inl.hpp"
#endif
