#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// What a language model's head gives its rows of hidden states: [m, D] -> logits [m, V], each row from its own alone.
using LanguageHead = std::function<at::Tensor(const at::Tensor& hidden)>;

/// Natural logarithms of the probabilities that rows of hidden states give their targets, without the logits of more
/// than `rows` of them at a time:  log softmax(head(hidden))[target]
///
/// Shapes: hidden [M, D], targets [M] int64 in [0, V) -> [M], float64 if the logits are, else float32. Their negated
/// sum is the cross-entropy. A head that trains nothing runs once: the gradient of a row's result by its hidden state
/// is made while its logits are there, and kept, [M, D]. A head that is trained, in full or by an adapter, runs once
/// more in backward, `rows` at a time (see checkpointed(), whose conditions it must meet). Peak memory is a few times
/// [rows, V] either way, and a trained head's gradient. Differentiable once. Throws ShapeError where sizes do not fit,
/// OptionError unless `rows` >= 1.
at::Tensor token_log_probabilities(const at::Tensor& hidden, const at::Tensor& targets, const LanguageHead& head,
                                   std::int64_t rows);

/// Rows of logits over `vocabulary` tokens that are worth reading a head's weight for and still take little memory:
/// 32 MiB of float32, but at least 64 rows.
inline std::int64_t rows_of_logits(std::int64_t vocabulary) {
  const std::int64_t rows = (std::int64_t{1} << 23) / (vocabulary > 0 ? vocabulary : 1);
  return rows < 64 ? 64 : rows;
}

namespace detail {

/// The same from all logits at once.
at::Tensor plain_token_log_probabilities(const at::Tensor& hidden, const at::Tensor& targets, const LanguageHead& head);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/token_log_probabilities-inl.hpp"
#endif
