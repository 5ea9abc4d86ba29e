#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/layer_adapter.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/seen_tensor.hpp"

namespace graft {

class Adaptable;

namespace detail {

/// What chosen adapters of one layer do to its output, ready for forward().
class ActiveUpdates {
 public:
  struct Chosen {
    std::shared_ptr<LayerAdapter> adapter;
    double weight = 1.0;
    std::shared_ptr<const RowSet> rows = nullptr;  // that alone get it; null: all
  };

  ActiveUpdates() = default;
  /// `fuses`: whether the layer's product takes terms.
  ActiveUpdates(std::vector<Chosen> chosen, bool fuses);

  const std::vector<Chosen>& chosen() const { return chosen_; }
  const std::vector<LowRankTerm>& terms(bool training) const { return training ? training_terms_ : terms_; }
  /// Those that the terms and bias() do not speak for.
  const std::vector<Chosen>& others() const { return others_; }

  /// Whether the terms say all.
  bool only_terms() const { return others_.empty() && biases_.empty(); }
  bool has_bias() const { return !biases_.empty(); }
  /// The sum of what is added to the outputs, one for each.
  torch::Tensor bias() const;

 private:
  std::vector<Chosen> chosen_;
  std::vector<LowRankTerm> terms_;
  std::vector<LowRankTerm> training_terms_;  // the same with dropout
  std::vector<std::pair<torch::Tensor, double>> biases_;
  std::vector<Chosen> others_;
};

/// Every adapter of a layer, as the layer's child "adapters": parameters are called adapters.NAME.lora_A and lora_B.
/// It is a child, not a member, because LibTorch's clone() of a parent copies a layer's children but slices off members
/// of what derives from the layer.
class AdapterSlots : public torch::nn::Module {
 public:
  using Slot = std::pair<std::string, std::shared_ptr<LayerAdapter>>;

  explicit AdapterSlots(bool fuses) : fuses_(fuses) {}

  const std::vector<Slot>& all() const { return slots_; }
  const std::vector<ActiveAdapter>& active() const { return active_; }
  const ActiveUpdates& updates() const { return updates_; }

  std::shared_ptr<LayerAdapter> find(const std::string& name) const;
  void add(const std::string& name, std::shared_ptr<LayerAdapter> adapter);
  void remove(const std::string& name);
  void rename(const std::string& from, const std::string& to);
  void choose(std::vector<ActiveAdapter> active);
  ActiveUpdates updates_of(const std::vector<ActiveAdapter>& active) const;

  /// A copy that shares no storage.
  std::shared_ptr<AdapterSlots> copy(const std::optional<torch::Device>& device) const;

  torch::Tensor unmerged_weight;            ///< the layer's weight before merge(); undefined when not merged
  torch::Tensor unmerged_bias;              ///< the same of its bias, if an adapter changed it
  std::optional<SeenTensor> merged_weight;  ///< the weight as merge() left it; nothing of a copy

 private:
  bool fuses_;
  std::vector<Slot> slots_;
  std::vector<ActiveAdapter> active_;
  ActiveUpdates updates_;  // of active_
};

/// What an AdapterSelection says to one layer.
struct SelectedLayer {
  /// Sequences of a mixed batch that have one adapter.
  struct Group {
    std::shared_ptr<const RowSet> tokens;     // their rows where a row is a token
    std::shared_ptr<const RowSet> sequences;  // and where a row is a sequence
    ActiveUpdates updates;
  };

  std::shared_ptr<const AdapterSlots> slots;  // null if the layer has none
  ActiveUpdates updates;                      // every row's; of a mixed batch, with the rows that are tokens
  ActiveUpdates sequence_updates;             // of a mixed batch, with the rows that are sequences
  std::vector<Group> groups;                  // of a mixed batch
};

/// What an AdapterSelection says to a model.
struct SelectedLayers : std::enable_shared_from_this<SelectedLayers> {
  std::unordered_map<const Adaptable*, SelectedLayer> layers;
  bool mixed = false;
  std::int64_t tokens = 0, sequences = 0;  // of a mixed batch

  /// What the scope that this thread is in says; nullptr without one.
  static const SelectedLayers*& current() {
    static thread_local const SelectedLayers* selected = nullptr;
    return selected;
  }
};

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/detail/slots-inl.hpp"
#endif
