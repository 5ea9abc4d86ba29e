#pragma once

#include <algorithm>

#include "graft/adapters/detail/slots.hpp"

namespace graft::detail {

GRAFT_INLINE ActiveUpdates::ActiveUpdates(std::vector<Chosen> chosen, bool fuses) : chosen_(std::move(chosen)) {
  for (const Chosen& one : chosen_) {
    const std::optional<FusedUpdate> fused = fuses ? one.adapter->fused() : std::nullopt;
    if (!fused) {
      others_.push_back(one);
      continue;
    }
    for (LowRankTerm term : fused->terms) {
      term.scale *= one.weight;
      term.rows = one.rows;
      training_terms_.push_back(term);
      term.dropout = 0.0;
      terms_.push_back(std::move(term));
    }
    if (fused->bias.defined()) biases_.emplace_back(fused->bias, fused->bias_scale * one.weight);
  }
}

GRAFT_INLINE torch::Tensor ActiveUpdates::bias() const {
  torch::Tensor sum;
  for (const auto& [bias, scale] : biases_) sum = sum.defined() ? sum + bias * scale : bias * scale;
  return sum;
}

GRAFT_INLINE std::shared_ptr<LayerAdapter> AdapterSlots::find(const std::string& name) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.first == name; });
  return found == slots_.end() ? nullptr : found->second;
}

GRAFT_INLINE void AdapterSlots::add(const std::string& name, std::shared_ptr<LayerAdapter> adapter) {
  adapter->train(is_training());
  slots_.emplace_back(name, register_module(name, std::move(adapter)));
}

GRAFT_INLINE void AdapterSlots::remove(const std::string& name) {
  unregister_module(name);
  std::erase_if(slots_, [&](const Slot& slot) { return slot.first == name; });
  std::erase_if(active_, [&](const ActiveAdapter& chosen) { return chosen.name == name; });
  choose(active_);
}

GRAFT_INLINE void AdapterSlots::rename(const std::string& from, const std::string& to) {
  unregister_module(from);
  for (Slot& slot : slots_) {
    if (slot.first == from) slot = {to, register_module(to, slot.second)};
  }
  for (ActiveAdapter& chosen : active_) {
    if (chosen.name == from) chosen.name = to;
  }
}

GRAFT_INLINE void AdapterSlots::choose(std::vector<ActiveAdapter> active) {
  active_ = std::move(active);
  updates_ = updates_of(active_);
}

GRAFT_INLINE ActiveUpdates AdapterSlots::updates_of(const std::vector<ActiveAdapter>& active) const {
  std::vector<ActiveUpdates::Chosen> chosen;
  for (const ActiveAdapter& adapter : active) chosen.push_back({find(adapter.name), adapter.weight});
  return ActiveUpdates(std::move(chosen), fuses_);
}

GRAFT_INLINE std::shared_ptr<AdapterSlots> AdapterSlots::copy(const std::optional<torch::Device>& device) const {
  auto result = std::make_shared<AdapterSlots>(fuses_);
  result->train(is_training());
  for (const auto& [name, adapter] : slots_) result->add(name, adapter->copy(device));
  result->choose(active_);
  result->unmerged_weight = copied(unmerged_weight, device);
  result->unmerged_bias = copied(unmerged_bias, device);
  return result;
}

}  // namespace graft::detail
