#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"
#include "graft/ops/attention.hpp"

namespace graft {

/// Attention of new tokens to all that their sequences hold: what attention() with `causal` gives for those tokens.
///
/// Shapes: q [T, H, d], the new tokens packed; offsets [N + 1] int64 on the CPU, where each sequence's end in q;
/// keys, values [N, G, C, d], where G divides H: sequence n holds lengths[n] rows, the keys of its new tokens the last
/// of them; lengths [N] int64 on the CPU, lengths[n] at least the new tokens of n and at most C. Result [T, H, d].
/// Of `options`, dropout must be 0, and causal is taken for granted.
/// Not differentiable. float32 and float64 on the CPU run on own kernels, made for few new tokens; anything else runs
/// on LibTorch's operations. Throws ShapeError where sizes do not fit, OptionError as attention() does.
at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                            const at::Tensor& offsets, const at::Tensor& lengths, const AttentionOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/cached_attention-inl.hpp"
#endif
