#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// Each row less its mean, over its deviation, times weight, plus bias:  x [..., D], weight and bias [D] -> [..., D].
///
/// The deviation is sqrt(variance + eps). Source: Ba et al., Layer normalization, arXiv:1607.06450.
/// What is said of add_norm() holds here too.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);

/// layer_norm(residual + dropout(x, p)) in one pass over x and residual, [..., D] both.
///
/// Kept for backward: the sum, two numbers a row, and with dropout one bit an element. Gradients of weight and bias are
/// made only where one of them requires it. Dropout is that of dropout(): p in [0, 1), 0 outside training.
/// float32, float64 and bfloat16 (float32 inside) on the CPU, weight and bias in x's type; anything else runs
/// LibTorch's operations. Differentiable once. Throws ShapeError where sizes do not fit, OptionError for another p.
at::Tensor add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, const at::Tensor& bias,
                    double eps, double p = 0.0);

namespace detail {

/// The same from LibTorch's operations; without a residual layer_norm(dropout(x, p)).
at::Tensor plain_add_norm(const at::Tensor& x, const std::optional<at::Tensor>& residual, const at::Tensor& weight,
                          const at::Tensor& bias, double eps, double p);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/layer_norm-inl.hpp"
#endif
