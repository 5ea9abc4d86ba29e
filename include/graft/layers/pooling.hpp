#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"

namespace graft {

// A vector for each sequence of a packed batch: hidden [T, D], offsets [N + 1] -> [N, D]. Sums are made in float32 or
// wider. `offsets` may lie on another device than `hidden`; every sequence must have a token.

/// The first token.
torch::Tensor first_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets);

/// The last token.
torch::Tensor last_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets);

/// The largest value of each column.
torch::Tensor max_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets);

/// The mean over the tokens.
torch::Tensor mean_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets);

/// The sum over the tokens, divided by the square root of their number.
torch::Tensor mean_sqrt_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets);

/// The mean in which the token at place i, the first being 0, weighs `first_weight` + i.
torch::Tensor weighted_mean_tokens(const torch::Tensor& hidden, const torch::Tensor& offsets,
                                   std::int64_t first_weight = 1);

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

torch::Tensor at_least_float(const torch::Tensor& hidden);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/pooling-inl.hpp"
#endif
