#pragma once

#include <algorithm>
#include <optional>

#include <ATen/core/Tensor.h>
#include <ATen/ops/_flash_attention_forward.h>
#ifdef GRAFT_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include "graft/tensor/offsets.hpp"

namespace graft::detail {

/// Whether LibTorch's flash attention for packed sequences takes tensors like `q` [T, H, d]: float16 or bfloat16, heads
/// of whole eighths up to 256, on a CUDA device of compute capability 8.0 or more.
inline bool has_flash_attention([[maybe_unused]] const at::Tensor& q) {
#ifdef GRAFT_WITH_CUDA
  int major = 0;
  return q.is_cuda() && q.size(0) > 0 && (q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16) &&
         q.size(2) % 8 == 0 && q.size(2) <= 256 &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, q.get_device()) == cudaSuccess && major >= 8;
#else
  return false;
#endif
}

/// attention() by it. The last sizes of q, k, v are without gaps. Differentiable.
inline at::Tensor flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Offsets& offsets,
                                  double scale, bool causal, std::int64_t window, double dropout) {
  const std::int64_t longest = longest_of(offsets);
  const at::Tensor on_device = offsets.ends.to(q.device(), at::kInt);
  std::optional<std::int64_t> before, behind;
  if (window > 0) {
    before = window - 1;
    behind = 0;
  }
  return std::get<0>(at::_flash_attention_forward(q, k, v, on_device, on_device, longest, longest, dropout, causal,
                                                  /*return_debug_mask=*/false, scale, before, behind));
}

}  // namespace graft::detail
