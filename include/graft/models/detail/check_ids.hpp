#pragma once

#include <cstdint>
#include <string_view>

#include <torch/types.h>

#include "graft/core/error.hpp"

namespace graft::detail {

/// Throws OptionError for an id outside a table of `rows`, if the ids lie on the CPU.
inline void check_in_table(const torch::Tensor& ids, std::int64_t rows, std::string_view what) {
  if (!ids.is_cpu() || ids.numel() == 0) return;
  const torch::Tensor outside = (ids < 0).logical_or(ids >= rows);
  if (!outside.any().item<bool>()) return;
  const auto at = outside.to(torch::kInt64).argmax().item<std::int64_t>();
  throw OptionError(message(what, " ", ids[at].item<std::int64_t>(), " at token ", at,
                            " of the batch; the model has 0 to ", rows - 1,
                            ". Was the text encoded with this model's tokenizer?"));
}

}  // namespace graft::detail
