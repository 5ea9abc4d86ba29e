#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace graft::detail {

/// softmax(q k^T / sqrt(d)) v within each sequence: q, k, v [T, H, d], offsets [N + 1] -> [T, H, d].
inline torch::Tensor plain_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                     const torch::Tensor& offsets, double dropout) {
  const auto* at = offsets.const_data_ptr<std::int64_t>();
  std::vector<torch::Tensor> results;
  for (std::int64_t n = 0; n + 1 < offsets.size(0); ++n) {
    const auto heads = [&](const torch::Tensor& x) {
      return x.slice(0, at[n], at[n + 1]).transpose(0, 1).unsqueeze(0);
    };
    results.push_back(
        at::scaled_dot_product_attention(heads(q), heads(k), heads(v), {}, dropout).squeeze(0).transpose(0, 1));
  }
  return torch::cat(results);
}

}  // namespace graft::detail
