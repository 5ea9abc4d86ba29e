#pragma once

#include "graft/tensor/token_budget.hpp"

namespace graft {

GRAFT_INLINE void check_budget(const TokenBudget& budget) {
  if (budget.tokens >= 1 && budget.sequences >= 1 && budget.longest >= 1) return;
  throw OptionError(message("a budget of ", budget.tokens, " tokens in ", budget.sequences, " sequences of at most ",
                            budget.longest, "; choose each at least 1"));
}

GRAFT_INLINE void check_fits(const PackedBatch& batch, const TokenBudget& budget) {
  if (batch.sequences() < 1) throw ShapeError("the batch has no sequence; leave it out");
  if (batch.tokens() > budget.tokens || batch.sequences() > budget.sequences || batch.longest() > budget.longest) {
    throw ShapeError(message("the batch has ", batch.tokens(), " tokens in ", batch.sequences(),
                             " sequences of at most ", batch.longest(), "; the budget is ", budget.tokens, " in ",
                             budget.sequences, " of at most ", budget.longest,
                             ". Make smaller batches or raise the budget"));
  }
  const std::int64_t* ends = batch.offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < batch.sequences(); ++n) {
    if (ends[n] == ends[n + 1]) throw ShapeError(message("sequence ", n, " of the batch has no token; leave it out"));
  }
}

GRAFT_INLINE PackedBatch pad_to_budget(const PackedBatch& batch, const TokenBudget& budget) {
  check_budget(budget);
  check_fits(batch, budget);
  const std::int64_t tokens = budget.padded_tokens(), own = batch.tokens(), rows = batch.sequences();
  // The tokens left over are at least as many as the sequences left over and at most `longest` times as many, since a
  // batch of `own` tokens has own / longest sequences or more, and no more than tokens.
  const std::int64_t left = tokens - own, sequences = budget.padded_sequences() - rows;
  PackedBatch padded{torch::zeros({tokens}, torch::kInt64), torch::zeros({tokens}, torch::kInt64),
                     torch::empty({tokens}, torch::kInt64), torch::empty({rows + sequences + 1}, torch::kInt64)};
  padded.ids.narrow(0, 0, own).copy_(batch.ids);
  padded.type_ids.narrow(0, 0, own).copy_(batch.type_ids);
  padded.positions.narrow(0, 0, own).copy_(batch.positions);
  padded.offsets.narrow(0, 0, rows + 1).copy_(batch.offsets);
  auto* position = padded.positions.data_ptr<std::int64_t>();
  auto* end = padded.offsets.data_ptr<std::int64_t>() + rows;
  for (std::int64_t n = 0; n < sequences; ++n) {
    const std::int64_t length = left / sequences + (n < left % sequences ? 1 : 0);
    for (std::int64_t t = 0; t < length; ++t) position[end[n] + t] = t;
    end[n + 1] = end[n] + length;
  }
  return padded;
}

GRAFT_INLINE torch::Tensor pad_labels(const torch::Tensor& labels, std::int64_t size, std::int64_t ignored) {
  return torch::constant_pad_nd(labels, {0, size - labels.size(0)}, ignored);
}

}  // namespace graft
