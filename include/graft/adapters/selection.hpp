#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/attach.hpp"
#include "graft/core/mode.hpp"

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

  /// What is in force on this thread, to be put in force again elsewhere; nothing outside every scope.
  static std::optional<AdapterSelection> in_force() {
    const detail::SelectedLayers* selected = detail::SelectedLayers::current();
    if (!selected) return std::nullopt;
    return AdapterSelection(std::const_pointer_cast<detail::SelectedLayers>(selected->shared_from_this()));
  }

 private:
  friend class AdapterScope;
  explicit AdapterSelection(std::shared_ptr<detail::SelectedLayers> selected) : selected_(std::move(selected)) {}

  std::shared_ptr<detail::SelectedLayers> selected_;
};

/// While it lives, forward passes of the selection's model on this thread obey the selection. Scopes nest: the inner
/// one counts. Backward passes need no scope.
class AdapterScope {
 public:
  explicit AdapterScope(const AdapterSelection& selection) : AdapterScope(std::optional(selection)) {}

  /// Without a selection, as outside every scope.
  explicit AdapterScope(const std::optional<AdapterSelection>& selection)
      : selected_(selection ? selection->selected_ : nullptr), outer_(detail::SelectedLayers::current()) {
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
std::shared_ptr<const RowSet> rows_of_sequences(const std::int64_t* offsets, const std::vector<std::int64_t>& which,
                                                bool tokens);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/selection-inl.hpp"
#endif
