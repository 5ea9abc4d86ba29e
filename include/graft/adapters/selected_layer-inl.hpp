#pragma once

// What layers do within an AdapterScope. adaptable.hpp includes this file at its end.

#include "graft/adapters/adaptable.hpp"

namespace graft {
namespace detail {

/// Whether the `rows` rows of an input are the batch's tokens, or its sequences.
GRAFT_INLINE bool rows_are_tokens(const SelectedLayers& selected, std::int64_t rows) {
  if (rows == selected.tokens) return true;
  if (rows == selected.sequences) return false;
  throw ShapeError(message("an input of ", rows, " rows reached a layer within a mixed batch of ", selected.tokens,
                           " tokens in ", selected.sequences, " sequences; run the batch that the selection is for"));
}

GRAFT_INLINE void require_unmerged(const SelectedLayer& here) {
  if (here.slots && here.slots->unmerged_weight.defined()) {
    throw StateError("adapters were merged into a layer that an AdapterSelection chooses adapters for; unmerge first");
  }
}

}  // namespace detail

template <class Impl>
std::optional<LinearPart> AdaptableImpl<Impl>::part(
    const torch::Tensor& x) const requires std::same_as<Impl, torch::nn::LinearImpl> {
  const auto made_of = [&](const detail::ActiveUpdates& updates) -> std::optional<LinearPart> {
    if (!updates.only_terms()) return std::nullopt;
    return LinearPart{this->weight, this->bias, updates.terms(this->is_training()), cache_};
  };
  if (const auto* selected = detail::SelectedLayers::current()) {
    const auto found = selected->layers.find(this);
    if (found != selected->layers.end()) {
      detail::require_unmerged(found->second);
      const bool by_sequence =
          selected->mixed && !detail::rows_are_tokens(*selected, x.numel() / std::max<std::int64_t>(x.size(-1), 1));
      return made_of(by_sequence ? found->second.sequence_updates : found->second.updates);
    }
  }
  const auto found = slots();
  if (!found || found->unmerged_weight.defined()) return LinearPart{this->weight, this->bias, {}, cache_};
  return made_of(found->updates());
}

template <class Impl>
torch::Tensor AdaptableImpl<Impl>::selected_output(const torch::Tensor& x, const detail::SelectedLayers& all,
                                                   const detail::SelectedLayer& here) {
  detail::require_unmerged(here);
  if (!all.mixed) return output(x, here.updates);
  if constexpr (std::same_as<Impl, torch::nn::LinearImpl>) {
    const std::int64_t rows = x.numel() / std::max<std::int64_t>(x.size(-1), 1);
    const bool by_token = detail::rows_are_tokens(all, rows);
    const detail::ActiveUpdates& updates = by_token ? here.updates : here.sequence_updates;
    if (updates.only_terms()) return sum(x, updates.terms(this->is_training()));
    std::vector<std::int64_t> sizes = x.sizes().vec();
    sizes.back() = this->weight.size(0);
    return output_by_group(x.reshape({rows, x.size(-1)}), here, by_token).view(sizes);
  } else {
    return output_by_group(x, here, detail::rows_are_tokens(all, x.size(0)));
  }
}

/// Each group's rows of x on their own, put together in the order of x.
template <class Impl>
torch::Tensor AdaptableImpl<Impl>::output_by_group(const torch::Tensor& x, const detail::SelectedLayer& here,
                                                   bool by_token) {
  std::vector<torch::Tensor> outputs, places;
  for (const auto& group : here.groups) {
    const RowSet& rows = by_token ? *group.tokens : *group.sequences;
    const torch::Tensor place =
        rows.indices.defined() ? rows.indices : torch::arange(rows.first, rows.first + rows.count, torch::kLong);
    places.push_back(place.to(x.device()));
    outputs.push_back(output(x.index_select(0, places.back()), group.updates));
  }
  return torch::cat(outputs).index_select(0, torch::cat(places).argsort());
}

}  // namespace graft
