#pragma once

// The bodies of adaptable.hpp, which includes this file at its end.

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

/// 16-bit weights are summed and trained in float32.
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
    fault(where, ": ", std::string_view(error.what()).substr(std::string_view("OptionError: ").size()));
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

template <class Impl>
torch::Tensor AdaptableImpl<Impl>::output(const torch::Tensor& x, const detail::ActiveUpdates& updates) {
  if (const LayerAdapter* alone = updates.sole()) {
    return detail::SoleLayer<Impl>::output(x, *alone, [&](const torch::Tensor& in) { return sum(in, {}); });
  }
  if (!updates.doras(false).empty()) return dora_sum(x, updates);
  torch::Tensor y = sum(x, updates.terms(this->is_training()));
  if constexpr (detail::BiasOnB<Impl>) {
    if (updates.has_bias()) y = detail::DoraLayer<Impl>::plus_bias(y, updates.bias().to(y.scalar_type()));
  }
  return y;
}

template <class Impl>
torch::Tensor AdaptableImpl<Impl>::dora_sum(const torch::Tensor& x, const detail::ActiveUpdates& updates) {
  const auto& terms = updates.terms(this->is_training());
  if constexpr (detail::DoraAdaptable<Impl>) {
    using Dora = detail::DoraLayer<Impl>;
    const auto& doras = updates.doras(this->is_training());
    const auto stretch = [&](const detail::ActiveUpdates::DoraUpdate& dora, const torch::Tensor& u) {
      return (dora.adapter->lora_magnitude_vector.flatten() / row_lengths(*dora.adapter)).to(u.scalar_type());
    };
    if (doras.size() == 1 && doras[0].weight == 1.0 && terms.empty() && !updates.has_bias()) {
      const torch::Tensor u = Dora::unbiased(*this, x, {&doras[0].term, 1}, cache_);
      return Dora::scaled(*this, u, stretch(doras[0], u));
    }
    torch::Tensor y = sum(x, terms);
    if constexpr (detail::BiasOnB<Impl>) {
      if (updates.has_bias()) y = Dora::plus_bias(y, updates.bias().to(y.scalar_type()));
    }
    const torch::Tensor plain = sum(x, {});
    for (const auto& dora : doras) {
      const torch::Tensor u = Dora::unbiased(*this, x, {&dora.term, 1}, cache_);
      y = y + (Dora::scaled(*this, u, stretch(dora, u)) - plain) * dora.weight;
    }
    return y;
  }
  return sum(x, terms);
}

template <class Impl>
std::shared_ptr<detail::AdapterSlots> AdaptableImpl<Impl>::slots() const {
  if (current()) return slots_;
  for (const auto& child : this->named_children()) {
    if (child.key() == "adapters") return std::dynamic_pointer_cast<detail::AdapterSlots>(child.value());
  }
  return nullptr;
}

template <class Impl>
std::shared_ptr<detail::AdapterSlots> AdaptableImpl<Impl>::make_slots() {
  slots_ = slots();
  if (!slots_) {
    slots_ = this->register_module("adapters", std::make_shared<detail::AdapterSlots>());
    slots_->train(this->is_training());
  }
  seen_weight_ = WeakTensor(this->weight.getIntrusivePtr());
  return slots_;
}

template <class Impl>
void AdaptableImpl<Impl>::drop_slots() {
  this->unregister_module("adapters");
  slots_ = nullptr;
  seen_weight_ = WeakTensor(this->weight.getIntrusivePtr());
}

template <class Impl>
std::shared_ptr<torch::nn::Module> AdaptableImpl<Impl>::clone(const std::optional<torch::Device>& device) const {
  const auto mine = slots();
  AdaptableImpl bare(*this);  // shares every tensor; LibTorch's clone() refuses a layer with a child it did not make
  if (mine) bare.unregister_module("adapters");
  const auto plain = bare.Impl::clone(device);

  auto copy = std::make_shared<AdaptableImpl>(bare);
  static_cast<Impl&>(*copy) = dynamic_cast<const Impl&>(*plain);
  copy->cache_ = std::make_shared<WeightCache>();
  const auto own = this->named_parameters(/*recurse=*/false);
  for (auto& parameter : copy->named_parameters(/*recurse=*/false)) {
    parameter.value().set_requires_grad(own[parameter.key()].requires_grad());
  }
  copy->slots_ = mine ? copy->register_module("adapters", mine->copy(device)) : nullptr;
  copy->seen_weight_ = WeakTensor(copy->weight.getIntrusivePtr());
  return copy;
}

}  // namespace graft
