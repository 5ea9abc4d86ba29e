#pragma once

#include "graft/adapters/selection.hpp"

namespace graft::detail {

GRAFT_INLINE std::shared_ptr<const RowSet> rows_of_sequences(const std::int64_t* offsets,
                                                             const std::vector<std::int64_t>& which, bool tokens) {
  std::vector<std::int64_t> rows;
  for (const std::int64_t sequence : which) {
    const std::int64_t first = tokens ? offsets[sequence] : sequence;
    const std::int64_t end = tokens ? offsets[sequence + 1] : sequence + 1;
    for (std::int64_t row = first; row < end; ++row) rows.push_back(row);
  }
  auto set = std::make_shared<RowSet>();
  set->count = static_cast<std::int64_t>(rows.size());
  if (rows.empty()) return set;
  set->first = rows.front();
  if (rows.back() - rows.front() + 1 != set->count) set->indices = torch::tensor(rows, torch::kLong);
  return set;
}

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE AdapterSelection::AdapterSelection(torch::nn::Module& module, const std::vector<ActiveAdapter>& active)
    : selected_(std::make_shared<detail::SelectedLayers>()) {
  detail::check_choice(module, active);
  detail::require_unmerged(module, "select adapters");
  for (const auto& [path, layer] : adaptable_layers(module)) {
    detail::SelectedLayer& here = selected_->layers[layer];
    here.slots = layer->slots();
    const std::vector<ActiveAdapter> chosen = detail::carried(*layer, active);
    if (chosen.empty()) continue;
    layer->check_choice(chosen);
    here.updates = here.slots->updates_of(chosen);
  }
}

GRAFT_INLINE AdapterSelection::AdapterSelection(torch::nn::Module& module, const torch::Tensor& offsets,
                                                const std::vector<std::string>& names)
    : selected_(std::make_shared<detail::SelectedLayers>()) {
  const torch::Tensor ends = offsets.to(torch::kCPU, torch::kLong).contiguous();
  const auto sequences = static_cast<std::int64_t>(names.size());
  if (ends.dim() != 1 || ends.numel() != sequences + 1) {
    throw ShapeError(message("a mixed batch names ", sequences, " adapters for offsets ", ends.sizes(),
                             "; name one for each sequence, \"\" for the base"));
  }
  std::map<std::string, std::vector<std::int64_t>> groups;
  for (std::int64_t i = 0; i < sequences; ++i) {
    const std::string& name = names[static_cast<std::size_t>(i)];
    if (!name.empty()) detail::require_adapter(module, name);
    groups[name].push_back(i);
  }
  detail::require_unmerged(module, "select adapters");

  const auto* data = ends.const_data_ptr<std::int64_t>();
  selected_->mixed = true;
  selected_->tokens = data[sequences];
  selected_->sequences = sequences;
  std::map<std::string, detail::SelectedLayer::Group> parts;
  for (const auto& [name, which] : groups) {
    parts[name] = {detail::rows_of_sequences(data, which, true), detail::rows_of_sequences(data, which, false), {}};
  }
  for (const auto& [path, layer] : adaptable_layers(module)) {
    detail::SelectedLayer& here = selected_->layers[layer];
    here.slots = layer->slots();
    const bool fuses = layer->layer_type().fuses;
    std::vector<detail::ActiveUpdates::Chosen> by_token, by_sequence;
    for (const auto& [name, part] : parts) {
      here.groups.push_back(part);
      const auto adapter = name.empty() ? nullptr : layer->adapter(name);
      if (!adapter) continue;
      by_token.push_back({adapter, 1.0, part.tokens});
      by_sequence.push_back({adapter, 1.0, part.sequences});
      here.groups.back().updates = detail::ActiveUpdates({{adapter, 1.0, nullptr}}, fuses);
    }
    here.updates = detail::ActiveUpdates(std::move(by_token), fuses);
    here.sequence_updates = detail::ActiveUpdates(std::move(by_sequence), fuses);
  }
}

}  // namespace graft
