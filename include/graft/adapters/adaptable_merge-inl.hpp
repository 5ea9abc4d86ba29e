#pragma once

// How a layer folds its adapters into its weight. adaptable.hpp includes this file at its end.

#include "graft/adapters/adaptable.hpp"

namespace graft {

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
GRAFT_INLINE torch::Tensor Adaptable::updated(const torch::Tensor& weight, LowRankAdapter& adapter, double share) const {
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

}  // namespace graft
