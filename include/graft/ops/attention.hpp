#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"
#include "graft/tensor/offsets.hpp"

namespace graft {

struct AttentionOptions {
  double dropout = 0.0;              ///< chance in [0, 1) that a weight is zeroed, to a 65536th; 0 outside training
  bool causal = false;               ///< a token sees only itself and what stands before it in its sequence
  std::int64_t window = 0;           ///< with causal: a token sees itself and the window - 1 before it; 0: all of them
  std::optional<double> scale = {};  ///< of the products of query and key, above 0; 1 / sqrt(d) if not given
};

/// Attention inside each sequence of a packed batch:  softmax(scale q k^T + bias) v, head by head.
///
/// Shapes: q [T, H, d]; k, v [T, G, d], where G divides H and key head g serves the query heads g H / G to
/// (g + 1) H / G - 1; result [T, H, d], contiguous. q, k, v may be views with any strides, and share one element type
/// and device. offsets [N + 1] int64 on the CPU: 0, then where each sequence ends, T last; or on the device of q,
/// unread, with Offsets::longest. distance_bias, if given, is [H, 2 R - 1] of q's type and device, where no sequence
/// has more than R tokens: a query and the key c tokens behind it (c < 0: before it) have column R - 1 + c added to
/// their scaled product.
///
/// Differentiable once. Kept for backward: q, k, v, the result, one number a token and head, and with dropout one bit a
/// weight; memory never grows with the square of a length otherwise. No padded copy is made.
///
/// float32, float64 and bfloat16 on the CPU run on own kernels, in float32 inside for bfloat16. float16 and bfloat16 on
/// a CUDA device of compute capability 8.0 or more run on LibTorch's flash attention for packed sequences, if graft was
/// built with GRAFT_CUDA, d is a multiple of 8 up to 256 and there is no distance_bias. Anything else runs on
/// LibTorch's operations, a sequence at a time, or with Offsets::longest on sequences padded to that, whose memory
/// grows with its square. Dropout draws from LibTorch's default generator: one seed gives one result, whatever the
/// number of threads or the width of the processor's vectors.
///
/// Throws ShapeError where sizes do not fit, OptionError where an option leaves its range.
/// Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762, section 3.2; Dao, FlashAttention-2,
/// arXiv:2307.08691, for the backward pass from the logarithm of the sums.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Offsets& offsets,
                     const AttentionOptions& options = {}, const at::Tensor& distance_bias = {});

namespace detail {

/// The same from LibTorch's operations, a sequence at a time.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& offsets,
                           const AttentionOptions& options = {}, const at::Tensor& distance_bias = {});

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/attention-inl.hpp"
#endif
