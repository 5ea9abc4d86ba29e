#pragma once

#include <cstdint>
#include <string_view>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/packed.hpp"

namespace graft::detail {

/// Throws ShapeError for a sequence without tokens or one longer than `most`; of a batch with a limit only for that.
void check_lengths(const PackedBatch& batch, std::int64_t most);

/// Throws OptionError for a batch with a limit, which the model would have to read.
void require_no_limit(const PackedBatch& batch, std::string_view model);

/// Throws OptionError for an id outside a table of `rows`, if the ids lie on the CPU.
void check_in_table(const torch::Tensor& ids, std::int64_t rows, std::string_view what);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/models/detail/check_ids-inl.hpp"
#endif
