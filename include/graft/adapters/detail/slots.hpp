#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/detail/active_updates.hpp"
#include "graft/adapters/layer_adapter.hpp"

namespace graft::detail {

/// Every adapter of a layer, as the layer's child "adapters": parameters are called adapters.NAME.lora_A and lora_B.
/// It is a child, not a member, because LibTorch's clone() of a parent copies a layer's children but slices off members
/// of what derives from the layer.
class AdapterSlots : public torch::nn::Module {
 public:
  using Slot = std::pair<std::string, std::shared_ptr<LayerAdapter>>;

  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<ActiveAdapter>& active() const { return active_; }
  const ActiveUpdates& updates() const { return updates_; }

  std::shared_ptr<LayerAdapter> find(const std::string& name) const {
    for (const Slot& slot : slots_) {
      if (slot.first == name) return slot.second;
    }
    return nullptr;
  }

  void add(const std::string& name, std::shared_ptr<LayerAdapter> adapter) {
    adapter->train(is_training());
    slots_.emplace_back(name, register_module(name, std::move(adapter)));
  }

  void remove(const std::string& name) {
    unregister_module(name);
    std::erase_if(slots_, [&](const Slot& slot) { return slot.first == name; });
    std::erase_if(active_, [&](const ActiveAdapter& chosen) { return chosen.name == name; });
    choose(active_);
  }

  void rename(const std::string& from, const std::string& to) {
    unregister_module(from);
    for (Slot& slot : slots_) {
      if (slot.first == from) slot = {to, register_module(to, slot.second)};
    }
    for (ActiveAdapter& chosen : active_) {
      if (chosen.name == from) chosen.name = to;
    }
  }

  void choose(std::vector<ActiveAdapter> active) {
    active_ = std::move(active);
    updates_ = updates_of(active_);
  }

  ActiveUpdates updates_of(const std::vector<ActiveAdapter>& active) const {
    std::vector<ActiveUpdates::Chosen> chosen;
    for (const ActiveAdapter& adapter : active) chosen.push_back({find(adapter.name), adapter.weight});
    return ActiveUpdates(std::move(chosen));
  }

  /// A copy that shares no storage.
  std::shared_ptr<AdapterSlots> copy(const std::optional<torch::Device>& device) const {
    const auto moved = [&](const torch::Tensor& tensor) {
      if (!tensor.defined()) return torch::Tensor();
      return tensor.detach().to(device.value_or(tensor.device()), tensor.scalar_type(), false, /*copy=*/true);
    };
    auto result = std::make_shared<AdapterSlots>();
    result->train(is_training());
    for (const auto& [name, slot] : slots_) result->add(name, slot->copy(device));
    result->choose(active_);
    result->unmerged_weight = moved(unmerged_weight);
    result->unmerged_bias = moved(unmerged_bias);
    return result;
  }

  torch::Tensor unmerged_weight;  ///< the layer's weight before merge(); undefined when not merged
  torch::Tensor unmerged_bias;    ///< the same of its bias, if an adapter changed it

 private:
  std::vector<Slot> slots_;
  std::vector<ActiveAdapter> active_;
  ActiveUpdates updates_;  // of active_
};

}  // namespace graft::detail
