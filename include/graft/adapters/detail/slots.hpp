#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/low_rank.hpp"

namespace graft {

/// One adapter of one layer: its options and its two factors.
class LowRankAdapter : public torch::nn::Module {
 public:
  LowRankAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B)
      : options(options),
        lora_A(register_parameter("lora_A", std::move(A))),
        lora_B(register_parameter("lora_B", std::move(B))) {}

  /// What B A is multiplied by before it joins the layer's weight.
  double scale() const { return options.scale(); }

  const LoraOptions options;
  torch::Tensor lora_A;  ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B;
};

/// An adapter's name and the factor its update is multiplied by, beside alpha / r.
struct ActiveAdapter {
  std::string name;
  double weight = 1.0;
};

namespace detail {

/// Every adapter of a layer, as the layer's child "adapters": parameters are called adapters.NAME.lora_A and lora_B.
/// It is a child, not a member, because LibTorch's clone() of a parent copies a layer's children but slices off members
/// of what derives from the layer.
class AdapterSlots : public torch::nn::Module {
 public:
  using Slot = std::pair<std::string, std::shared_ptr<LowRankAdapter>>;

  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<ActiveAdapter>& active() const { return active_; }
  const std::vector<LowRankTerm>& terms() const { return is_training() ? training_terms_ : terms_; }

  std::shared_ptr<LowRankAdapter> find(const std::string& name) const {
    for (const Slot& slot : slots_) {
      if (slot.first == name) return slot.second;
    }
    return nullptr;
  }

  void add(const std::string& name, std::shared_ptr<LowRankAdapter> adapter) {
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
    terms_.clear();
    for (const ActiveAdapter& chosen : active_) {
      const auto adapter = find(chosen.name);
      terms_.push_back({adapter->lora_A, adapter->lora_B, adapter->scale() * chosen.weight, 0.0});
    }
    training_terms_ = terms_;
    for (std::size_t i = 0; i < active_.size(); ++i) {
      training_terms_[i].dropout = find(active_[i].name)->options.dropout;
    }
  }

  /// A copy that shares no storage.
  std::shared_ptr<AdapterSlots> copy(const std::optional<torch::Device>& device) const {
    const auto moved = [&](const torch::Tensor& tensor) {
      if (!tensor.defined()) return torch::Tensor();
      return tensor.detach().to(device.value_or(tensor.device()), tensor.scalar_type(), false, /*copy=*/true);
    };
    auto result = std::make_shared<AdapterSlots>();
    result->train(is_training());
    for (const auto& [name, slot] : slots_) {
      auto adapter = std::make_shared<LowRankAdapter>(slot->options, moved(slot->lora_A), moved(slot->lora_B));
      adapter->lora_A.set_requires_grad(slot->lora_A.requires_grad());
      adapter->lora_B.set_requires_grad(slot->lora_B.requires_grad());
      result->add(name, adapter);
    }
    result->choose(active_);
    result->unmerged_weight = moved(unmerged_weight);
    return result;
  }

  torch::Tensor unmerged_weight;  ///< the layer's weight before merge(); undefined when not merged

 private:
  std::vector<Slot> slots_;
  std::vector<ActiveAdapter> active_;
  std::vector<LowRankTerm> terms_;           // one for each of active_
  std::vector<LowRankTerm> training_terms_;  // the same with dropout
};

}  // namespace detail
}  // namespace graft
