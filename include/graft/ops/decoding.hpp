#pragma once

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

// What a decoder's layers do to rows between their products. Where no gradient is recorded, float32 on the CPU runs in
// one pass: a token's work is so small that the start of each operation counts. Anything else runs on LibTorch's
// operations and is differentiable.

/// Each row over its root mean square, times a weight:  y = x / sqrt(mean(x^2) + eps) * (offset + weight)
///
/// Shapes: x, y [..., D]; weight [D]. In float32 inside for 16-bit types. Throws ShapeError where sizes do not fit.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset = 0.0);

/// Turns the pairs (i, i + d / 2) of every head by a token's angles.
///
/// Shapes: x, y [T, H, d]; cos, sin [T, 1, d / 2] in x's type. Throws ShapeError where sizes do not fit.
at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

namespace detail {

/// The same from LibTorch's operations.
at::Tensor plain_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset);
at::Tensor plain_rotate_pairs(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/decoding-inl.hpp"
#endif
