#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/detail/dora_norms.hpp"
#include "graft/adapters/low_rank.hpp"

namespace graft {

/// One adapter of one layer: its options and what it trains.
class LowRankAdapter : public torch::nn::Module {
 public:
  LowRankAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B, torch::Tensor bias = {})
      : options(options),
        lora_A(register_parameter("lora_A", std::move(A))),
        lora_B(register_parameter("lora_B", std::move(B))) {
    if (bias.defined()) lora_B_bias = register_parameter("lora_B_bias", std::move(bias));
  }

  /// What B A is multiplied by before it joins the layer's weight.
  double scale() const { return options.scale(); }

  const LoraOptions options;
  torch::Tensor lora_A;       ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B;       ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B_bias;  ///< [out] with LoraOptions::bias, else undefined
};

/// A low-rank adapter whose updated weight has rows of trained lengths; see Dora.
class DoraAdapter : public LowRankAdapter {
 public:
  DoraAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B, torch::Tensor magnitude)
      : LowRankAdapter(options, std::move(A), std::move(B)),
        lora_magnitude_vector(register_parameter("lora_magnitude_vector", std::move(magnitude))) {}

  torch::Tensor lora_magnitude_vector;  ///< one length for each unit of the layer, shaped as in PEFT's files
  const std::shared_ptr<detail::DoraNorms> norms = std::make_shared<detail::DoraNorms>();
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

  /// An active adapter that is more than a term.
  struct Dora {
    std::shared_ptr<DoraAdapter> adapter;
    LowRankTerm term;  // without the adapter's weight
    double weight;
  };
  const std::vector<Dora>& doras() const { return is_training() ? training_doras_ : doras_; }

  /// The sum of the active adapters' biases on B; undefined if there is none.
  torch::Tensor bias() const {
    torch::Tensor sum;
    for (const ActiveAdapter& chosen : active_) {
      const auto adapter = find(chosen.name);
      if (!adapter->lora_B_bias.defined()) continue;
      const torch::Tensor share = adapter->lora_B_bias * (adapter->scale() * chosen.weight);
      sum = sum.defined() ? sum + share : share;
    }
    return sum;
  }
  bool has_bias() const { return has_bias_; }

  void choose(std::vector<ActiveAdapter> active) {
    active_ = std::move(active);
    terms_.clear();
    training_terms_.clear();
    doras_.clear();
    training_doras_.clear();
    has_bias_ = false;
    for (const ActiveAdapter& chosen : active_) {
      const auto adapter = find(chosen.name);
      LowRankTerm term{adapter->lora_A, adapter->lora_B, adapter->scale(), 0.0};
      LowRankTerm training = term;
      training.dropout = adapter->options.dropout;
      if (const auto dora = std::dynamic_pointer_cast<DoraAdapter>(adapter)) {
        doras_.push_back({dora, term, chosen.weight});
        training_doras_.push_back({dora, training, chosen.weight});
        continue;
      }
      term.scale *= chosen.weight;
      training.scale = term.scale;
      terms_.push_back(term);
      training_terms_.push_back(training);
      has_bias_ = has_bias_ || adapter->lora_B_bias.defined();
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
      const torch::Tensor A = moved(slot->lora_A), B = moved(slot->lora_B);
      std::shared_ptr<LowRankAdapter> adapter;
      if (const auto dora = std::dynamic_pointer_cast<DoraAdapter>(slot)) {
        adapter = std::make_shared<DoraAdapter>(slot->options, A, B, moved(dora->lora_magnitude_vector));
      } else {
        adapter = std::make_shared<LowRankAdapter>(slot->options, A, B, moved(slot->lora_B_bias));
      }
      const auto own = slot->named_parameters();
      for (auto& parameter : adapter->named_parameters()) {
        parameter.value().set_requires_grad(own[parameter.key()].requires_grad());
      }
      result->add(name, adapter);
    }
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
  std::vector<LowRankTerm> terms_;           // of the active adapters, DoRA's apart
  std::vector<LowRankTerm> training_terms_;  // the same with dropout
  std::vector<Dora> doras_;                  // the active ones of DoRA
  std::vector<Dora> training_doras_;         // the same with dropout
  bool has_bias_ = false;
};

}  // namespace detail
}  // namespace graft
