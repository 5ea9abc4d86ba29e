#pragma once

#include <optional>

#include <torch/types.h>

namespace graft {

/// The row of the first token of each sequence: hidden [T, D], offsets [N + 1] -> [N, D].
/// `offsets` may lie on another device than `hidden`; every sequence must have a token.
inline torch::Tensor first_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  const torch::Tensor firsts = offsets.slice(0, 0, offsets.size(0) - 1);
  return hidden.index_select(0, firsts.to(hidden.device()));
}

/// The mean over the tokens of each sequence: hidden [T, D], offsets [N + 1] -> [N, D], summed in float32 or wider.
/// `offsets` may lie on another device than `hidden`; every sequence must have a token.
inline torch::Tensor mean_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets) {
  const torch::Tensor lengths = offsets.diff().to(hidden.device());
  const torch::Tensor sequence = torch::repeat_interleave(lengths, /*output_size=*/std::optional(hidden.size(0)));
  const auto wide = hidden.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const torch::Tensor sums = torch::zeros({lengths.size(0), hidden.size(1)}, hidden.options().dtype(wide))
                                 .index_add(0, sequence, hidden.to(wide));
  return (sums / lengths.unsqueeze(1)).to(hidden.scalar_type());
}

}  // namespace graft
