#pragma once

#include "graft/models/detail/check_ids.hpp"

namespace graft::detail {

GRAFT_INLINE void check_lengths(const PackedBatch& batch, std::int64_t most) {
  if (batch.limit > most)
    throw ShapeError(message("the batch's limit is ", batch.limit, " tokens a sequence; the model takes ", most));
  if (batch.limit > 0) return;
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < batch.sequences(); ++n) {
    const std::int64_t length = offsets[n + 1] - offsets[n];
    if (length < 1) throw ShapeError(message("sequence ", n, " of the batch has no token; leave it out"));
    if (length > most)
      throw ShapeError(message("sequence ", n, " of the batch has ", length, " tokens; the model takes ", most,
                               ". Truncate when encoding"));
  }
}

GRAFT_INLINE void require_no_limit(const PackedBatch& batch, std::string_view model) {
  if (batch.limit > 0)
    throw OptionError(message(model, " reads its batch on the host; give it one without a limit, as pack() makes it"));
}

GRAFT_INLINE void check_in_table(const torch::Tensor& ids, std::int64_t rows, std::string_view what) {
  if (!ids.is_cpu() || ids.numel() == 0) return;
  const torch::Tensor outside = (ids < 0).logical_or(ids >= rows);
  if (!outside.any().item<bool>()) return;
  const auto at = outside.to(torch::kInt64).argmax().item<std::int64_t>();
  throw OptionError(message(what, " ", ids[at].item<std::int64_t>(), " at token ", at,
                            " of the batch; the model has 0 to ", rows - 1,
                            ". Was the text encoded with this model's tokenizer?"));
}

}  // namespace graft::detail
