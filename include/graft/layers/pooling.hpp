#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

// A vector for each sequence of a packed batch: hidden [T, D], offsets [N + 1] -> [N, D]. Sums are made in float32 or
// wider. `offsets` may lie on another device than `hidden`; every sequence must have a token.

/// The first token.
at::Tensor first_tokens(const at::Tensor& hidden, const at::Tensor& offsets);

/// The last token.
at::Tensor last_tokens(const at::Tensor& hidden, const at::Tensor& offsets);

/// The largest value of each column.
at::Tensor max_tokens(const at::Tensor& hidden, const at::Tensor& offsets);

/// The mean over the tokens.
at::Tensor mean_tokens(const at::Tensor& hidden, const at::Tensor& offsets);

/// The sum over the tokens, divided by the square root of their number.
at::Tensor mean_sqrt_tokens(const at::Tensor& hidden, const at::Tensor& offsets);

/// The mean in which the token at place i, the first being 0, weighs `first_weight` + i.
at::Tensor weighted_mean_tokens(const at::Tensor& hidden, const at::Tensor& offsets, std::int64_t first_weight = 1);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/pooling-inl.hpp"
#endif
