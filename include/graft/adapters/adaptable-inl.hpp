#pragma once

#include "graft/adapters/adaptable.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

GRAFT_INLINE torch::ScalarType factor_type(torch::ScalarType weight) {
  return weight == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

}  // namespace detail

GRAFT_INLINE std::shared_ptr<detail::AdapterSlots> Adaptable::require(const std::string& name) const {
  auto found = slots();
  if (found && found->find(name)) return found;
  throw OptionError(message("no adapter is called ", quoted(name), " in a layer ", main_weight().sizes(), " that has ",
                            adapters().empty() ? "none" : detail::joined(adapters(), ", ")));
}

GRAFT_INLINE void Adaptable::require_unmerged(std::string_view what) const {
  if (!merged()) return;
  throw StateError(message("cannot ", what, " while the adapters of a layer ", main_weight().sizes(),
                           " are merged into it; unmerge first"));
}

GRAFT_INLINE void Adaptable::name_faults(const std::string& name, std::string_view where,
                                         std::vector<std::string>& faults) const {
  const auto fault = [&](const auto&... parts) { faults.push_back(message(parts...)); };
  if (name.empty()) fault("the adapter's name for ", where, " is empty; give it one");
  if (name.find('.') != std::string::npos) {
    fault("adapter name ", quoted(name), " for ", where, " holds a dot; parameter names use it to separate modules");
  }
  if (slot(name)) fault("adapter name ", quoted(name), " is taken in ", where, "; remove that one or choose another");
}

GRAFT_INLINE std::vector<std::string> Adaptable::adapter_faults(const std::string& name, const LoraOptions& options,
                                                                std::string_view where) const {
  std::vector<std::string> faults;
  const auto fault = [&](const auto&... parts) { faults.push_back(message(parts...)); };
  name_faults(name, where, faults);
  if (starts_at_weight(options.start)) {
    if (!starts_from_weight()) fault("the start of PiSSA and OLoRA is for linear layers, not for ", where);
    if (options.start == LowRankStart::pissa && !(options.alpha > 0)) {
      fault("alpha is ", options.alpha, " for ", where, "; PiSSA divides by it: give a number above 0");
    }
  }
  if (!std::isfinite(options.alpha)) fault("alpha is ", options.alpha, " for ", where, "; give a finite number");
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    fault("dropout is ", options.dropout, " for ", where, "; choose 0 or more and less than 1");
  }
  if (options.bias && !takes_bias())
    fault(where, ": B has no place for a bias here; leave the layer out of the targets");
  try {
    const std::int64_t largest = factor_shape(1).largest_rank;
    if (options.rank < 1 || options.rank > largest) {
      fault("rank is ", options.rank, " for ", where, " ", main_weight().sizes(), "; choose 1 to ", largest);
    }
  } catch (const OptionError& error) {
    fault(where, ": ", error.what());
  }
  return faults;
}

GRAFT_INLINE std::vector<std::string> Adaptable::dora_faults(const std::string& name, const LoraOptions& options,
                                                             std::string_view where) const {
  std::vector<std::string> faults = adapter_faults(name, options, where);
  if (magnitude_shape().empty()) faults.push_back(message(where, " is of a type that graft has no DoRA for"));
  if (options.bias) faults.push_back(message("DoRA for ", where, " takes no bias on B; leave LoraOptions::bias off"));
  if (starts_at_weight(options.start)) {
    faults.push_back(message("DoRA for ", where, " starts from kaiming or gaussian; PiSSA and OLoRA are for LoRA"));
  }
  return faults;
}

GRAFT_INLINE std::vector<std::string> Adaptable::ia3_faults(const std::string& name, Ia3Side side,
                                                            std::string_view where) const {
  std::vector<std::string> faults;
  name_faults(name, where, faults);
  if (ia3_shape(side).empty()) faults.push_back(message(where, " is of a type that graft has no IA3 for"));
  return faults;
}

GRAFT_INLINE std::vector<std::string> Adaptable::token_rows_faults(const std::string& name,
                                                                   const std::vector<std::int64_t>& tokens,
                                                                   std::string_view where) const {
  std::vector<std::string> faults;
  name_faults(name, where, faults);
  if (!is_embedding()) {
    faults.push_back(message(where, " is no embedding and has no rows of tokens"));
    return faults;
  }
  if (tokens.empty()) faults.push_back(message("no token is given for ", where, "; name the rows to train"));
  const std::int64_t rows = main_weight().size(0);
  std::set<std::int64_t> seen;
  for (const std::int64_t token : tokens) {
    if (token < 0 || token >= rows)
      faults.push_back(message("token ", token, " is not among the ", rows, " of ", where));
    if (!seen.insert(token).second) faults.push_back(message("token ", token, " of ", where, " comes twice"));
  }
  return faults;
}

/// A and B at their start.
GRAFT_INLINE std::pair<torch::Tensor, torch::Tensor> Adaptable::draw_factors(const LoraOptions& options) const {
  const torch::Tensor weight = main_weight();
  const LowRankShape shape = factor_shape(options.rank);
  const auto type = torch::TensorOptions().dtype(detail::factor_type(weight.scalar_type())).device(weight.device());
  torch::Tensor A = torch::empty(shape.A, type);
  torch::Tensor B = torch::empty(shape.B, type);
  draw(A, B, options);
  return {A, B};
}

GRAFT_INLINE void Adaptable::add(const std::string& name, std::shared_ptr<LayerAdapter> adapter) {
  const auto all = make_slots();
  all->add(name, std::move(adapter));
  all->choose({{name, 1.0}});
  freeze_own_parameters();
}

GRAFT_INLINE void Adaptable::add_adapter(const std::string& name, const LoraOptions& options) {
  require_unmerged("add an adapter");
  const std::vector<std::string> faults = adapter_faults(name, options);
  if (!faults.empty()) throw OptionError(detail::joined(faults, "; "));
  const auto [A, B] = draw_factors(options);
  std::pair<torch::Tensor, torch::Tensor> start;
  if (starts_at_weight(options.start)) start = {A.clone(), B.clone()};
  add(name,
      std::make_shared<LowRankAdapter>(
          options, A, B, options.bias ? torch::zeros({B.size(0)}, A.options()) : torch::Tensor(), std::move(start)));
}

GRAFT_INLINE void Adaptable::add_ia3(const std::string& name, Ia3Side side) {
  require_unmerged("add an adapter");
  const std::vector<std::string> faults = ia3_faults(name, side);
  if (!faults.empty()) throw OptionError(detail::joined(faults, "; "));
  const torch::Tensor weight = main_weight();
  const auto type = torch::TensorOptions().dtype(detail::factor_type(weight.scalar_type())).device(weight.device());
  add(name, std::make_shared<Ia3Adapter>(side, torch::ones(ia3_shape(side), type)));
}

GRAFT_INLINE void Adaptable::add_token_rows(const std::string& name, const std::vector<std::int64_t>& tokens) {
  require_unmerged("add an adapter");
  const std::vector<std::string> faults = token_rows_faults(name, tokens);
  if (!faults.empty()) throw OptionError(detail::joined(faults, "; "));
  const torch::Tensor weight = main_weight().detach();
  const torch::Tensor rows = weight.index_select(0, torch::tensor(tokens, torch::kLong).to(weight.device()));
  add(name, std::make_shared<TokenRowsAdapter>(tokens, rows.to(detail::factor_type(weight.scalar_type()))));
}

GRAFT_INLINE void Adaptable::add_dora(const std::string& name, const LoraOptions& options) {
  require_unmerged("add an adapter");
  const std::vector<std::string> faults = dora_faults(name, options);
  if (!faults.empty()) throw OptionError(detail::joined(faults, "; "));
  const auto [A, B] = draw_factors(options);
  const auto adapter = std::make_shared<DoraAdapter>(options, A, B, torch::empty(magnitude_shape(), A.options()));
  const torch::NoGradGuard no_grad;
  adapter->lora_magnitude_vector.copy_(row_lengths(*adapter).view(magnitude_shape()));
  add(name, adapter);
}

GRAFT_INLINE void Adaptable::remove_adapter(const std::string& name) {
  const auto all = require(name);
  require_unmerged("remove an adapter");
  all->remove(name);
  if (all->slots().empty()) drop_slots();
}

GRAFT_INLINE void Adaptable::rename_adapter(const std::string& from, const std::string& to) {
  const auto all = require(from);
  if (from == to) return;
  if (to.empty() || to.find('.') != std::string::npos) {
    throw OptionError(message("adapter name ", quoted(to), " is empty or holds a dot; choose another"));
  }
  if (slot(to)) throw OptionError(message("adapter name ", quoted(to), " is taken; choose another"));
  all->rename(from, to);
}

GRAFT_INLINE void Adaptable::check_choice(const std::vector<ActiveAdapter>& active) const {
  for (std::size_t i = 0; i < active.size(); ++i) {
    require(active[i].name);
    if (!std::isfinite(active[i].weight)) {
      throw OptionError(message("the weight of adapter ", quoted(active[i].name), " is ", active[i].weight,
                                "; give a finite number"));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (active[j].name == active[i].name) {
        throw OptionError(message("adapter ", quoted(active[i].name), " is chosen twice; give it one weight"));
      }
    }
    if (!adapter(active[i].name) && (active.size() > 1 || active[i].weight != 1.0)) {
      throw OptionError(message("adapter ", quoted(active[i].name), " scales or replaces what the layer ",
                                main_weight().sizes(), " has; choose it alone there, with weight 1"));
    }
  }
}

GRAFT_INLINE void Adaptable::choose(std::vector<ActiveAdapter> active) {
  check_choice(active);
  require_unmerged("choose adapters");
  if (const auto all = slots()) all->choose(std::move(active));
}

GRAFT_INLINE bool Adaptable::merged() const {
  const auto all = slots();
  return all && all->unmerged_weight.defined();
}

GRAFT_INLINE std::vector<std::string> Adaptable::adapters() const {
  std::vector<std::string> names;
  if (const auto all = slots()) {
    for (const auto& slot : all->slots()) names.push_back(slot.first);
  }
  return names;
}

GRAFT_INLINE std::vector<ActiveAdapter> Adaptable::active() const {
  const auto all = slots();
  return all ? all->active() : std::vector<ActiveAdapter>();
}

GRAFT_INLINE std::shared_ptr<LayerAdapter> Adaptable::slot(const std::string& name) const {
  const auto all = slots();
  return all ? all->find(name) : nullptr;
}

GRAFT_INLINE void Adaptable::merge() {
  if (merged()) return;
  const auto all = slots();
  if (!all || all->active().empty()) {
    throw StateError(message("a layer ", main_weight().sizes(), " has no active adapter to merge; choose one first"));
  }
  const torch::NoGradGuard no_grad;
  torch::Tensor weight = main_weight();
  const torch::ScalarType type = detail::factor_type(weight.scalar_type());
  const torch::Tensor own = weight.to(type);
  torch::Tensor sum = own.clone();
  torch::Tensor bias = own_bias(), bias_sum;
  for (const detail::ActiveUpdates::Chosen& chosen : all->updates().chosen()) {
    const auto adapter = std::dynamic_pointer_cast<LowRankAdapter>(chosen.adapter);
    if (!adapter) {
      sum = folded_alone(own, *chosen.adapter);
      const auto* ia3 = dynamic_cast<const Ia3Adapter*>(chosen.adapter.get());
      if (ia3 && ia3->side == Ia3Side::output && bias.defined()) {
        bias_sum = (bias.to(type) * ia3->ia3_l.flatten().to(type)).to(bias.scalar_type());
      }
    } else if (std::dynamic_pointer_cast<DoraAdapter>(adapter)) {
      sum.add_(updated(own, *adapter, 1.0) - own, chosen.weight);
    } else {
      sum = updated(sum, *adapter, chosen.weight);
    }
  }
  sum = sum.to(weight.scalar_type());
  if (all->updates().has_bias()) {
    if (!bias.defined()) {
      throw StateError(message("a layer ", weight.sizes(),
                               " has no bias that could take the one of its adapter's B; "
                               "keep the adapter apart"));
    }
    bias_sum = (bias.to(type) + all->updates().bias()).to(bias.scalar_type());
  }
  const auto finite = [](const torch::Tensor& t) { return t.is_meta() || torch::isfinite(t).all().item<bool>(); };
  if (!finite(sum) || (bias_sum.defined() && !finite(bias_sum))) {
    throw StateError(message("merging ", quoted(all->active().front().name), " into a layer ", weight.sizes(),
                             " gives values that are not finite; the weight was left as it was"));
  }
  all->unmerged_weight = weight.detach().clone();
  weight.copy_(sum);
  if (bias_sum.defined()) {
    all->unmerged_bias = bias.detach().clone();
    bias.copy_(bias_sum);
  }
}

GRAFT_INLINE void Adaptable::unmerge() {
  if (!merged()) return;
  const torch::NoGradGuard no_grad;
  const auto all = slots();
  main_weight().copy_(all->unmerged_weight);
  if (all->unmerged_bias.defined()) own_bias().copy_(all->unmerged_bias);
  all->unmerged_weight = all->unmerged_bias = torch::Tensor();
}

/// `weight` with an adapter's update, weighed by `share`; for DoRA `weight` must be the layer's own.
GRAFT_INLINE torch::Tensor Adaptable::updated(const torch::Tensor& weight, LowRankAdapter& adapter,
                                              double share) const {
  const torch::ScalarType type = weight.scalar_type();
  torch::Tensor sum = weight.add(product(adapter.lora_A.to(type), adapter.lora_B.to(type)), adapter.scale() * share);
  if (adapter.start_A.defined()) {
    sum.sub_(product(adapter.start_A.to(type), adapter.start_B.to(type)), adapter.scale() * share);
  }
  auto* dora = dynamic_cast<DoraAdapter*>(&adapter);
  if (!dora) return sum;
  return sum * over_weight(dora->lora_magnitude_vector.flatten().to(type) / row_lengths(*dora).to(type));
}

GRAFT_INLINE torch::Tensor Adaptable::update(const std::string& name) const {
  const torch::NoGradGuard no_grad;
  const auto all = require(name);
  const torch::Tensor weight = base_weight();
  const torch::ScalarType type = detail::factor_type(weight.scalar_type());
  const auto slot = all->find(name);
  const auto adapter = std::dynamic_pointer_cast<LowRankAdapter>(slot);
  if (!adapter) return folded_alone(weight.to(type), *slot) - weight.to(type);
  if (std::dynamic_pointer_cast<DoraAdapter>(slot)) {
    if (all->unmerged_weight.defined()) throw StateError("the update of a merged DoRA is not known; unmerge first");
    return updated(weight.to(type), *adapter, 1.0) - weight.to(type);
  }
  return updated(torch::zeros(weight.sizes(), weight.options().dtype(type)), *adapter, 1.0);
}

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

}  // namespace graft

#ifdef GRAFT_COMPILED
template class graft::AdaptableImpl<torch::nn::LinearImpl>;
template class graft::AdaptableImpl<torch::nn::EmbeddingImpl>;
template class graft::AdaptableImpl<torch::nn::Conv1dImpl>;
template class graft::AdaptableImpl<torch::nn::Conv2dImpl>;
#endif
