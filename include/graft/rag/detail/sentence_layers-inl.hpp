#pragma once

#include "graft/rag/detail/sentence_layers.hpp"

namespace graft::detail {

GRAFT_INLINE torch::Tensor pooled_by(PoolingMode mode, const torch::Tensor& hidden, const torch::Tensor& offsets,
                                     std::int64_t left_out) {
  switch (mode) {
    case PoolingMode::cls:
      return first_tokens(hidden, offsets);
    case PoolingMode::max:
      return max_tokens(hidden, offsets);
    case PoolingMode::mean:
      return mean_tokens(hidden, offsets);
    case PoolingMode::mean_sqrt_len_tokens:
      return mean_sqrt_tokens(hidden, offsets);
    case PoolingMode::weightedmean:
      return weighted_mean_tokens(hidden, offsets, 1 + left_out);
    case PoolingMode::lasttoken:
      return last_tokens(hidden, offsets);
  }
  throw OptionError("a way of pooling is none of the enumerators");
}

GRAFT_INLINE torch::Tensor pooled_by(std::span<const PoolingMode> modes, torch::Tensor hidden, torch::Tensor offsets,
                                     const torch::Tensor& positions, std::int64_t left_out) {
  if (left_out > 0) {
    hidden = hidden.index_select(0, (positions >= left_out).nonzero().squeeze(1));
    offsets = offsets - torch::arange(offsets.size(0)) * left_out;
  }
  std::vector<torch::Tensor> parts;
  for (const PoolingMode mode : modes) parts.push_back(pooled_by(mode, hidden, offsets, left_out));
  return parts.size() == 1 ? parts.front() : torch::cat(parts, 1);
}

}  // namespace graft::detail
