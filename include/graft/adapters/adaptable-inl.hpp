#pragma once

#include <algorithm>
#include <cmath>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/head_copies.hpp"
#include "graft/core/error.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE torch::ScalarType factor_type(torch::ScalarType weight) {
  return weight == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

/// Whether the `rows` rows of an input are the batch's tokens, or its sequences.
GRAFT_INLINE bool rows_are_tokens(const SelectedLayers& selected, std::int64_t rows) {
  if (rows == selected.tokens) return true;
  if (rows == selected.sequences) return false;
  throw ShapeError(message("an input of ", rows, " rows reached a layer within a mixed batch of ", selected.tokens,
                           " tokens in ", selected.sequences, " sequences; run the batch that the selection is for"));
}

GRAFT_INLINE std::int64_t rows_of(const torch::Tensor& x) { return x.numel() / std::max<std::int64_t>(x.size(-1), 1); }

GRAFT_INLINE void require_selected_unmerged(const SelectedLayer& here) {
  if (here.slots && here.slots->unmerged_weight.defined()) {
    throw StateError("adapters were merged into a layer that an AdapterSelection chooses adapters for; unmerge first");
  }
}

/// What the thread's AdapterScope says of a layer; null without one, or if it says nothing.
GRAFT_INLINE const SelectedLayer* selected_layer(const Adaptable* layer) {
  const SelectedLayers* selected = SelectedLayers::current();
  if (!selected) return nullptr;
  const auto found = selected->layers.find(layer);
  return found == selected->layers.end() ? nullptr : &found->second;
}

}  // namespace detail

// Here, not in layer_adapter-inl.hpp: HeadCopies needs Adaptable, which needs LayerAdapter.
GRAFT_INLINE std::shared_ptr<LayerAdapter> LayerAdapter::copy(const std::optional<torch::Device>& device) const {
  const std::shared_ptr<LayerAdapter> result = copy_with([&](const auto& t) { return detail::copied(t, device); });
  if (heads) result->heads = heads->copy(device);
  const auto own = named_parameters();
  for (auto& parameter : result->named_parameters()) {
    parameter.value().set_requires_grad(own[parameter.key()].requires_grad());
  }
  return result;
}

// The slots.

GRAFT_INLINE void Adaptable::remember(std::shared_ptr<detail::AdapterSlots> slots) {
  slots_ = std::move(slots);
  seen_weight_ = WeakTensor(main_weight().getIntrusivePtr());
}

GRAFT_INLINE const detail::AdapterSlots* Adaptable::held() const {
  if (seen_weight_._unsafe_get_target() == main_weight().unsafeGetTensorImpl()) return slots_.get();
  return slots().get();  // the child keeps it
}

GRAFT_INLINE std::shared_ptr<detail::AdapterSlots> Adaptable::slots() const {
  if (seen_weight_._unsafe_get_target() == main_weight().unsafeGetTensorImpl()) return slots_;
  for (const auto& child : module().named_children()) {
    if (child.key() == "adapters") return std::dynamic_pointer_cast<detail::AdapterSlots>(child.value());
  }
  return nullptr;
}

GRAFT_INLINE void Adaptable::refuse(const std::vector<std::string>& faults) {
  if (!faults.empty()) throw OptionError(joined(faults, "; "));
}

GRAFT_INLINE std::shared_ptr<detail::AdapterSlots> Adaptable::require(const std::string& name) const {
  auto found = slots();
  if (found && found->find(name)) return found;
  throw OptionError(message("no adapter is called ", quoted(name), " in a layer ", main_weight().sizes(), " that has ",
                            adapters().empty() ? "none" : joined(adapters(), ", ")));
}

GRAFT_INLINE void Adaptable::require_unmerged(std::string_view what) const {
  if (!merged()) return;
  throw StateError(message("cannot ", what, " while the adapters of a layer ", main_weight().sizes(),
                           " are merged into it; unmerge first"));
}

GRAFT_INLINE std::vector<std::string> Adaptable::name_faults(const std::string& name, std::string_view where) const {
  std::vector<std::string> faults;
  const auto fault = [&](const auto&... parts) { faults.push_back(message(parts...)); };
  if (name.empty()) fault("the adapter's name for ", where, " is empty; give it one");
  if (name.find('.') != std::string::npos) {
    fault("adapter name ", quoted(name), " for ", where, " holds a dot; parameter names use it to separate modules");
  }
  if (adapter(name))
    fault("adapter name ", quoted(name), " is taken in ", where, "; remove that one or choose another");
  return faults;
}

GRAFT_INLINE void Adaptable::put(const std::string& name, std::shared_ptr<LayerAdapter> adapter) {
  require_unmerged("add an adapter");
  refuse(name_faults(name, "this layer"));
  auto all = slots();
  if (!all) {
    all = module().register_module("adapters", std::make_shared<detail::AdapterSlots>(layer_type().fuses));
    all->train(module().is_training());
  }
  remember(all);
  all->add(name, std::move(adapter));
  all->choose({{name, 1.0}});
  for (torch::Tensor& parameter : module().parameters(/*recurse=*/false)) detail::set_trained(parameter, false);
}

GRAFT_INLINE void Adaptable::remove_adapter(const std::string& name) {
  const auto all = require(name);
  require_unmerged("remove an adapter");
  all->remove(name);
  if (!all->all().empty()) return;
  module().unregister_module("adapters");
  remember(nullptr);
}

GRAFT_INLINE void Adaptable::rename_adapter(const std::string& from, const std::string& to) {
  const auto all = require(from);
  if (from == to) return;
  if (to.empty() || to.find('.') != std::string::npos) {
    throw OptionError(message("adapter name ", quoted(to), " is empty or holds a dot; choose another"));
  }
  if (adapter(to)) throw OptionError(message("adapter name ", quoted(to), " is taken; choose another"));
  all->rename(from, to);
}

GRAFT_INLINE void Adaptable::check_choice(const std::vector<ActiveAdapter>& active) const {
  for (std::size_t i = 0; i < active.size(); ++i) {
    const auto& [name, weight] = active[i];
    require(name);
    if (!std::isfinite(weight)) {
      throw OptionError(message("the weight of adapter ", quoted(name), " is ", weight, "; give a finite number"));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (active[j].name == name) {
        throw OptionError(message("adapter ", quoted(name), " is chosen twice; give it one weight"));
      }
    }
    if (!adapter(name)->sums() && (active.size() > 1 || weight != 1.0)) {
      throw OptionError(message("adapter ", quoted(name), " scales or replaces what the layer ", main_weight().sizes(),
                                " has; choose it alone there, with weight 1"));
    }
  }
}

GRAFT_INLINE void Adaptable::choose(std::vector<ActiveAdapter> active) {
  check_choice(active);
  require_unmerged("choose adapters");
  if (const auto all = slots()) all->choose(std::move(active));
}

GRAFT_INLINE bool Adaptable::merged() const {
  const auto* all = held();
  return all && all->unmerged_weight.defined();
}

GRAFT_INLINE bool Adaptable::bias_is_merged() const {
  const auto* all = held();
  return all && all->unmerged_bias.defined();
}

GRAFT_INLINE torch::Tensor Adaptable::base_weight() const {
  const auto* all = held();
  return all && all->unmerged_weight.defined() ? all->unmerged_weight : main_weight();
}

GRAFT_INLINE std::vector<std::string> Adaptable::adapters() const {
  std::vector<std::string> names;
  if (const auto* all = held()) {
    for (const auto& [name, adapter] : all->all()) names.push_back(name);
  }
  return names;
}

GRAFT_INLINE std::vector<ActiveAdapter> Adaptable::active() const {
  const auto* all = held();
  return all ? all->active() : std::vector<ActiveAdapter>();
}

// What kinds of adapters ask of a layer.

GRAFT_INLINE torch::TensorOptions Adaptable::factor_options() const {
  const torch::Tensor weight = main_weight();
  return torch::TensorOptions().dtype(detail::factor_type(weight.scalar_type())).device(weight.device());
}

GRAFT_INLINE torch::Tensor Adaptable::over_weight(const torch::Tensor& c, const LayerAxis& axis) const {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(main_weight().dim()), 1);
  sizes.at(static_cast<std::size_t>(axis.weight)) = c.numel();
  return c.view(sizes);
}

GRAFT_INLINE torch::Tensor Adaptable::over_data(const torch::Tensor& c, const LayerAxis& axis) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(-axis.data), 1);
  sizes[0] = c.numel();
  return c.view(sizes);
}

// Output.

GRAFT_INLINE torch::Tensor Adaptable::adapted(const torch::Tensor& x) {
  if (const auto* here = detail::selected_layer(this)) {
    return selected_output(x, *detail::SelectedLayers::current(), *here);
  }
  const auto* all = held();
  if (all && all->unmerged_weight.defined()) require_merged_as_left();
  return !all || all->unmerged_weight.defined() ? plain(x) : output(x, all->updates());
}

GRAFT_INLINE torch::Tensor Adaptable::output(const torch::Tensor& x, const detail::ActiveUpdates& updates) {
  const auto& terms = updates.terms(module().is_training());
  const auto& others = updates.others();
  if (others.size() == 1 && updates.chosen().size() == 1 && others[0].weight == 1.0) {
    return others[0].adapter->output(*this, x);
  }
  torch::Tensor y = plain(x, terms);
  if (updates.has_bias()) y = y + over_data(updates.bias(), layer_type().outputs.value()).to(y.scalar_type());
  if (others.empty()) return y;
  const torch::Tensor base = plain(x);
  for (const auto& other : others) y = y + (other.adapter->output(*this, x) - base) * other.weight;
  return y;
}

GRAFT_INLINE std::optional<std::span<const LowRankTerm>> Adaptable::active_terms(const torch::Tensor& x) const {
  const auto terms_of = [&](const detail::ActiveUpdates& updates) -> std::optional<std::span<const LowRankTerm>> {
    if (!updates.only_terms()) return std::nullopt;
    return updates.terms(module().is_training());
  };
  if (const auto* here = detail::selected_layer(this)) {
    detail::require_selected_unmerged(*here);
    const auto& selected = *detail::SelectedLayers::current();
    const bool by_sequence = selected.mixed && !detail::rows_are_tokens(selected, detail::rows_of(x));
    return terms_of(by_sequence ? here->sequence_updates : here->updates);
  }
  const auto* all = held();
  if (!all || all->unmerged_weight.defined()) return std::span<const LowRankTerm>();
  return terms_of(all->updates());
}

GRAFT_INLINE torch::Tensor Adaptable::selected_output(const torch::Tensor& x, const detail::SelectedLayers& all,
                                                      const detail::SelectedLayer& here) {
  detail::require_selected_unmerged(here);
  if (!all.mixed) return output(x, here.updates);
  if (!layer_type().obeys_row_sets) return output_by_group(x, here, detail::rows_are_tokens(all, x.size(0)));
  const std::int64_t rows = detail::rows_of(x);
  const bool by_token = detail::rows_are_tokens(all, rows);
  const detail::ActiveUpdates& updates = by_token ? here.updates : here.sequence_updates;
  if (updates.only_terms()) return plain(x, updates.terms(module().is_training()));
  const torch::Tensor y = output_by_group(x.reshape({rows, x.size(-1)}), here, by_token);
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = y.size(-1);
  return y.view(sizes);
}

/// Each group's rows of x on their own, put together in the order of x.
GRAFT_INLINE torch::Tensor Adaptable::output_by_group(const torch::Tensor& x, const detail::SelectedLayer& here,
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

GRAFT_INLINE torch::Tensor Adaptable::tied_output(const torch::Tensor& x) const {
  const auto* all = held();
  torch::Tensor y = graft::linear(x, base_weight());
  const auto* here = detail::selected_layer(this);
  if (!here && !all) return y;
  for (const auto& [adapter, weight, rows] : (here ? here->updates : all->updates()).chosen()) {
    if (!adapter->ties()) continue;
    if (rows) throw StateError("a mixed batch cannot have rows of tied embeddings of its own; choose one adapter");
    y = adapter->tied_output(x, y);
  }
  return y;
}

// Folding.

GRAFT_INLINE void Adaptable::merge() {
  if (merged()) return;
  const auto all = slots();
  if (!all || all->active().empty()) {
    throw StateError(message("a layer ", main_weight().sizes(), " has no active adapter to merge; choose one first"));
  }
  const torch::NoGradGuard no_grad;
  torch::Tensor weight = main_weight(), bias = own_bias();
  const torch::ScalarType type = detail::factor_type(weight.scalar_type());
  torch::Tensor sum = weight.to(type);
  torch::Tensor bias_sum = bias.defined() ? bias.to(type) : bias;
  const torch::Tensor bias_before = bias_sum;
  for (const auto& [adapter, share, rows] : all->updates().chosen()) {
    sum = adapter->folded(*this, sum, share);
    bias_sum = adapter->folded_bias(*this, bias_sum, share);
  }
  sum = sum.to(weight.scalar_type());
  const bool changes_bias = bias_sum.defined() && !bias_sum.is_same(bias_before);
  if (changes_bias) bias_sum = bias_sum.to(bias.scalar_type());
  const auto finite = [](const torch::Tensor& t) { return t.is_meta() || torch::isfinite(t).all().item<bool>(); };
  if (!finite(sum) || (changes_bias && !finite(bias_sum))) {
    throw StateError(message("merging ", quoted(all->active().front().name), " into a layer ", weight.sizes(),
                             " gives values that are not finite; the weight was left as it was"));
  }
  all->unmerged_weight = weight.detach().clone();
  weight.copy_(sum);
  all->merged_weight.emplace().see(weight);
  if (!changes_bias) return;
  all->unmerged_bias = bias.detach().clone();
  bias.copy_(bias_sum);
}

/// What was trained, loaded or written into the weight since merge() would be lost by unmerge().
GRAFT_INLINE void Adaptable::require_merged_as_left() const {
  const torch::Tensor weight = main_weight();
  const bool trained = weight.requires_grad() && torch::GradMode::is_enabled();
  const auto* all = held();
  const bool moved = weight.device() != all->unmerged_weight.device() ||
                     weight.scalar_type() != all->unmerged_weight.scalar_type();  // by the module's to()
  const bool known = all->merged_weight && SeenTensor::can_tell(weight) && !moved;
  if (!trained && (!known || all->merged_weight->same(weight))) return;
  throw StateError(
      message("the weight of a layer ", weight.sizes(), trained ? " is trained" : " was changed",
              " while adapters are merged into it, which unmerge() would undo; unmerge before a weight is ",
              "trained, loaded or written, or load the model again"));
}

GRAFT_INLINE void Adaptable::unmerge() {
  if (!merged()) return;
  require_merged_as_left();
  const torch::NoGradGuard no_grad;
  const auto all = slots();
  main_weight().copy_(all->unmerged_weight);
  if (all->unmerged_bias.defined()) own_bias().copy_(all->unmerged_bias);
  all->unmerged_weight = all->unmerged_bias = torch::Tensor();
}

GRAFT_INLINE torch::Tensor Adaptable::update(const std::string& name) const {
  const torch::NoGradGuard no_grad;
  const auto adapter = require(name)->find(name);
  const torch::Tensor weight = base_weight().detach().to(factor_options());
  if (!adapter->sums()) return adapter->folded(*this, weight, 1.0) - weight;
  return adapter->folded(*this, torch::zeros_like(weight), 1.0);
}

}  // namespace graft

#if defined(GRAFT_COMPILED) || defined(GRAFT_SOURCE)
template class graft::AdaptableImpl<torch::nn::LinearImpl>;
template class graft::AdaptableImpl<torch::nn::EmbeddingImpl>;
template class graft::AdaptableImpl<torch::nn::Conv1dImpl>;
template class graft::AdaptableImpl<torch::nn::Conv2dImpl>;
#endif
