#pragma once

#include <optional>
#include <vector>

#include <torch/types.h>

#include "graft/layers/pooling.hpp"

namespace graft {
namespace detail {

struct TokenSums {
  torch::Tensor sequence;  ///< [T]: the sequence of each token
  torch::Tensor lengths;   ///< [N]

  TokenSums(const torch::Tensor& hidden, const torch::Tensor& offsets)
      : sequence(), lengths(offsets.diff().to(hidden.device())) {
    sequence = torch::repeat_interleave(lengths, /*output_size=*/std::optional(hidden.size(0)));
  }

  /// rows [T, ...] -> [N, ...]
  torch::Tensor operator()(const torch::Tensor& rows) const {
    auto shape = rows.sizes().vec();
    shape[0] = lengths.size(0);
    return torch::zeros(shape, rows.options()).index_add(0, sequence, rows);
  }
};

GRAFT_INLINE torch::Tensor at_least_float(const torch::Tensor& hidden) {
  return hidden.to(hidden.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32);
}

}  // namespace detail

GRAFT_INLINE torch::Tensor first_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  return hidden.index_select(0, offsets.slice(0, 0, offsets.size(0) - 1).to(hidden.device()));
}

GRAFT_INLINE torch::Tensor last_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  return hidden.index_select(0, (offsets.slice(0, 1) - 1).to(hidden.device()));
}

GRAFT_INLINE torch::Tensor max_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  const torch::Tensor ends = offsets.to(torch::kCPU);
  const auto* end = ends.const_data_ptr<std::int64_t>();
  std::vector<torch::Tensor> rows;
  for (std::int64_t n = 0; n + 1 < ends.size(0); ++n) rows.push_back(hidden.slice(0, end[n], end[n + 1]).amax(0));
  return rows.empty() ? hidden.new_empty({0, hidden.size(1)}) : torch::stack(rows);
}

GRAFT_INLINE torch::Tensor mean_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  const detail::TokenSums sums(hidden, offsets);
  return (sums(detail::at_least_float(hidden)) / sums.lengths.unsqueeze(1)).to(hidden.scalar_type());
}

GRAFT_INLINE torch::Tensor mean_sqrt_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  const detail::TokenSums sums(hidden, offsets);
  const torch::Tensor sum = sums(detail::at_least_float(hidden));
  return (sum / sums.lengths.to(sum.scalar_type()).sqrt().unsqueeze(1)).to(hidden.scalar_type());
}

GRAFT_INLINE torch::Tensor weighted_mean_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets,
                                                std::int64_t first_weight) {
  const detail::TokenSums sums(hidden, offsets);
  const torch::Tensor wide = detail::at_least_float(hidden);
  const torch::Tensor places = torch::arange(hidden.size(0), sums.lengths.options()) -
                               offsets.to(hidden.device()).index_select(0, sums.sequence);
  const torch::Tensor weights = (places + first_weight).to(wide.scalar_type());
  return (sums(wide * weights.unsqueeze(1)) / sums(weights).unsqueeze(1)).to(hidden.scalar_type());
}

}  // namespace graft
