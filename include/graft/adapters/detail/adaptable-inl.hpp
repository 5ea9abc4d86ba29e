#pragma once

// The bodies of adaptable.hpp, which includes this file at its end.

#include "graft/adapters/adaptable.hpp"

namespace graft {
namespace detail {

inline std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

/// 16-bit weights are summed and trained in float32.
inline torch::ScalarType factor_type(torch::ScalarType weight) {
  return weight == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

}  // namespace detail

inline std::shared_ptr<detail::AdapterSlots> Adaptable::require(const std::string& name) const {
  auto found = slots();
  if (found && found->find(name)) return found;
  throw OptionError(message("no adapter is called ", quoted(name), " in a layer ", main_weight().sizes(), " that has ",
                            adapters().empty() ? "none" : detail::joined(adapters(), ", ")));
}

inline void Adaptable::require_unmerged(std::string_view what) const {
  if (!merged()) return;
  throw StateError(message("cannot ", what, " while the adapters of a layer ", main_weight().sizes(),
                           " are merged into it; unmerge first"));
}

inline std::vector<std::string> Adaptable::adapter_faults(const std::string& name, const LoraOptions& options,
                                                          std::string_view where) const {
  std::vector<std::string> faults;
  const auto fault = [&](const auto&... parts) { faults.push_back(message(parts...)); };
  if (name.empty()) fault("the adapter's name for ", where, " is empty; give it one");
  if (name.find('.') != std::string::npos) {
    fault("adapter name ", quoted(name), " for ", where, " holds a dot; parameter names use it to separate modules");
  }
  if (adapter(name))
    fault("adapter name ", quoted(name), " is taken in ", where, "; remove that one or choose another");
  if (!std::isfinite(options.alpha)) fault("alpha is ", options.alpha, " for ", where, "; give a finite number");
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    fault("dropout is ", options.dropout, " for ", where, "; choose 0 or more and less than 1");
  }
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

inline void Adaptable::add_adapter(const std::string& name, const LoraOptions& options) {
  require_unmerged("add an adapter");
  const std::vector<std::string> faults = adapter_faults(name, options);
  if (!faults.empty()) throw OptionError(detail::joined(faults, "; "));

  const torch::Tensor weight = main_weight();
  const LowRankShape shape = factor_shape(options.rank);
  const auto type = torch::TensorOptions().dtype(detail::factor_type(weight.scalar_type())).device(weight.device());
  torch::Tensor A = torch::empty(shape.A, type);
  torch::Tensor B = torch::empty(shape.B, type);
  draw(A, B, options.start);
  const auto all = make_slots();
  all->add(name, std::make_shared<LowRankAdapter>(options, A, B));
  all->choose({{name, 1.0}});
  freeze_own_parameters();
}

inline void Adaptable::remove_adapter(const std::string& name) {
  const auto all = require(name);
  require_unmerged("remove an adapter");
  all->remove(name);
  if (all->slots().empty()) drop_slots();
}

inline void Adaptable::rename_adapter(const std::string& from, const std::string& to) {
  const auto all = require(from);
  if (from == to) return;
  if (to.empty() || to.find('.') != std::string::npos) {
    throw OptionError(message("adapter name ", quoted(to), " is empty or holds a dot; choose another"));
  }
  if (adapter(to)) throw OptionError(message("adapter name ", quoted(to), " is taken; choose another"));
  all->rename(from, to);
}

inline void Adaptable::choose(std::vector<ActiveAdapter> active) {
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
  }
  require_unmerged("choose adapters");
  if (const auto all = slots()) all->choose(std::move(active));
}

inline void Adaptable::merge() {
  if (merged()) return;
  const auto all = slots();
  if (!all || all->active().empty()) {
    throw StateError(message("a layer ", main_weight().sizes(), " has no active adapter to merge; choose one first"));
  }
  const torch::NoGradGuard no_grad;
  torch::Tensor weight = main_weight();
  const torch::ScalarType type = detail::factor_type(weight.scalar_type());
  torch::Tensor sum = weight.to(type, /*non_blocking=*/false, /*copy=*/true);
  for (const LowRankTerm& term : all->terms()) {
    sum.add_(product(term.A.to(type), term.B.to(type)), term.scale);
  }
  sum = sum.to(weight.scalar_type());
  if (!sum.is_meta() && !torch::isfinite(sum).all().item<bool>()) {
    throw StateError(message("merging ", quoted(all->active().front().name), " into a layer ", weight.sizes(),
                             " gives values that are not finite; the weight was left as it was"));
  }
  all->unmerged_weight = weight.detach().clone();
  weight.copy_(sum);
}

inline void Adaptable::unmerge() {
  if (!merged()) return;
  const torch::NoGradGuard no_grad;
  const auto all = slots();
  main_weight().copy_(all->unmerged_weight);
  all->unmerged_weight = torch::Tensor();
}

inline bool Adaptable::merged() const {
  const auto all = slots();
  return all && all->unmerged_weight.defined();
}

inline std::vector<std::string> Adaptable::adapters() const {
  std::vector<std::string> names;
  if (const auto all = slots()) {
    for (const auto& slot : all->slots()) names.push_back(slot.first);
  }
  return names;
}

inline std::vector<ActiveAdapter> Adaptable::active() const {
  const auto all = slots();
  return all ? all->active() : std::vector<ActiveAdapter>();
}

inline std::shared_ptr<LowRankAdapter> Adaptable::adapter(const std::string& name) const {
  const auto all = slots();
  return all ? all->find(name) : nullptr;
}

inline torch::Tensor Adaptable::update(const std::string& name) const {
  const torch::NoGradGuard no_grad;
  const auto adapter = require(name)->find(name);
  const torch::ScalarType type = detail::factor_type(main_weight().scalar_type());
  return product(adapter->lora_A.to(type), adapter->lora_B.to(type)) * adapter->scale();
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
