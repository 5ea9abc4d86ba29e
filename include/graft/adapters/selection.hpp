#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/attach.hpp"

namespace graft {

/// Which adapters a model's layers apply, fixed once and for all layers together: the same to every row, or to each
/// sequence of a batch its own. What choose() said does not count within its AdapterScope.
///
///   const AdapterSelection mixed(*model, batch.offsets, {"news", "", "law"});
///   const AdapterScope scope(mixed);
///   model->forward(batch);   // the second sequence gets the base
///
/// It never changes and keeps its adapters alive. To swap adapters while other threads serve, they take the newest
/// selection from a std::atomic<std::shared_ptr<const AdapterSelection>> for each forward pass: every pass sees one
/// selection whole. Meanwhile adapters may be attached, loaded, renamed and detached, one thread at a time; see also
/// Adaptable.
class AdapterSelection {
 public:
  /// The sum of these adapters, each with its weight; none is the base. Throws as choose() does.
  explicit AdapterSelection(torch::nn::Module& module, const std::vector<ActiveAdapter>& active = {});

  /// Sequence i of a packed batch with these offsets [N + 1] gets the adapter names[i], with weight 1; "" is the base.
  /// In the forward pass the base is computed once for all, and each adapter on its own rows alone; in backward each
  /// gets the gradient of its rows. All kinds of adapters may be mixed. It saves copies if sequences of one adapter
  /// follow each other. The layers must be given the batch's tokens, or one row for each of its sequences; others throw
  /// ShapeError. Throws OptionError for an unknown name, ShapeError unless there is one for each sequence, StateError
  /// while merged.
  AdapterSelection(torch::nn::Module& module, const torch::Tensor& offsets, const std::vector<std::string>& names);

 private:
  friend class AdapterScope;
  std::shared_ptr<detail::SelectedLayers> selected_;
};

/// While it lives, forward passes of the selection's model on this thread obey the selection. Scopes nest: the inner
/// one counts. Backward passes need no scope.
class AdapterScope {
 public:
  explicit AdapterScope(const AdapterSelection& selection)
      : selected_(selection.selected_), outer_(detail::SelectedLayers::current()) {
    detail::SelectedLayers::current() = selected_.get();
  }
  ~AdapterScope() { detail::SelectedLayers::current() = outer_; }
  AdapterScope(const AdapterScope&) = delete;
  AdapterScope& operator=(const AdapterScope&) = delete;

 private:
  std::shared_ptr<const detail::SelectedLayers> selected_;
  const detail::SelectedLayers* outer_;
};

namespace detail {

/// Rows of the sequences `which` where a row is a token of `offsets`, or a sequence.
inline std::shared_ptr<const RowSet> rows_of_sequences(const std::int64_t* offsets,
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

}  // namespace detail

inline AdapterSelection::AdapterSelection(torch::nn::Module& module, const std::vector<ActiveAdapter>& active)
    : selected_(std::make_shared<detail::SelectedLayers>()) {
  detail::check_choice(module, active);
  detail::require_unmerged(module, "select adapters");
  for (const auto& [path, layer] : adaptable_layers(module)) {
    detail::SelectedLayer& here = selected_->layers[layer];
    here.slots = layer->adapter_slots();
    const std::vector<ActiveAdapter> chosen = detail::carried(*layer, active);
    if (chosen.empty()) continue;
    layer->check_choice(chosen);
    here.updates = here.slots->updates_of(chosen);
  }
}

inline AdapterSelection::AdapterSelection(torch::nn::Module& module, const torch::Tensor& offsets,
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
    here.slots = layer->adapter_slots();
    std::vector<detail::ActiveUpdates::Chosen> by_token, by_sequence;
    for (const auto& [name, part] : parts) {
      here.groups.push_back(part);
      const auto adapter = name.empty() ? nullptr : layer->slot(name);
      if (!adapter) continue;
      by_token.push_back({adapter, 1.0, part.tokens});
      by_sequence.push_back({adapter, 1.0, part.sequences});
      here.groups.back().updates =
          detail::ActiveUpdates(std::vector<detail::ActiveUpdates::Chosen>{{adapter, 1.0, nullptr}});
    }
    here.updates = detail::ActiveUpdates(std::move(by_token));
    here.sequence_updates = detail::ActiveUpdates(std::move(by_sequence));
  }
}

}  // namespace graft
