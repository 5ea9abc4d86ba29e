#pragma once

// The members of AdaptableImpl: templates, which every layer type of one's own needs. adaptable.hpp ends with this
// file.

#include "graft/adapters/adaptable.hpp"

namespace graft {

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
