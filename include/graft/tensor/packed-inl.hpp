#pragma once

#include "graft/tensor/packed.hpp"

namespace graft {

GRAFT_INLINE PackedBatch pack(std::span<const std::vector<std::int32_t>> ids,
                              std::span<const std::vector<std::int32_t>> type_ids) {
  if (!type_ids.empty() && type_ids.size() != ids.size()) {
    throw ShapeError(message("type_ids hold ", type_ids.size(), " sequences, ids ", ids.size(),
                             "; give one for each, or none at all"));
  }
  const auto n = static_cast<std::int64_t>(ids.size());
  std::int64_t total = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!type_ids.empty() && type_ids[i].size() != ids[i].size()) {
      throw ShapeError(message("sequence ", i, " has ", ids[i].size(), " ids and ", type_ids[i].size(),
                               " type_ids; give one for each token"));
    }
    total += static_cast<std::int64_t>(ids[i].size());
  }

  PackedBatch batch{torch::empty({total}, torch::kInt64), torch::zeros({total}, torch::kInt64),
                    torch::empty({total}, torch::kInt64), torch::zeros({n + 1}, torch::kInt64)};
  auto* id = batch.ids.data_ptr<std::int64_t>();
  auto* type = batch.type_ids.data_ptr<std::int64_t>();
  auto* position = batch.positions.data_ptr<std::int64_t>();
  auto* offset = batch.offsets.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    id = std::copy(ids[i].begin(), ids[i].end(), id);
    if (!type_ids.empty()) type = std::copy(type_ids[i].begin(), type_ids[i].end(), type);
    for (std::size_t t = 0; t < ids[i].size(); ++t) *position++ = static_cast<std::int64_t>(t);
    offset[i + 1] = offset[i] + static_cast<std::int64_t>(ids[i].size());
  }
  return batch;
}

GRAFT_INLINE PackedBatch sequences(const PackedBatch& batch, std::int64_t begin, std::int64_t end) {
  if (begin < 0 || begin > end || end > batch.sequences() || batch.limit > 0)
    throw ShapeError(message("sequences ", begin, " to ", end, " are wanted of a batch of ", batch.sequences()));
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  const std::int64_t first = offsets[begin], count = offsets[end] - first;
  return {batch.ids.narrow(0, first, count), batch.type_ids.narrow(0, first, count),
          batch.positions.narrow(0, first, count), batch.offsets.narrow(0, begin, end - begin + 1) - first, 0};
}

}  // namespace graft
