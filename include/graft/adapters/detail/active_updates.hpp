#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "graft/adapters/layer_adapter.hpp"

namespace graft::detail {

/// What chosen adapters of one layer do to its output, ready for forward().
class ActiveUpdates {
 public:
  struct Chosen {
    std::shared_ptr<LayerAdapter> adapter;
    double weight = 1.0;
    std::shared_ptr<const RowSet> rows = nullptr;  // that alone get it; null: all
  };
  struct DoraUpdate {
    std::shared_ptr<DoraAdapter> adapter;
    LowRankTerm term;  // without the adapter's weight
    double weight;
  };

  ActiveUpdates() = default;

  explicit ActiveUpdates(std::vector<Chosen> chosen) : chosen_(std::move(chosen)) {
    for (const Chosen& one : chosen_) add(one);
  }

  const std::vector<LowRankTerm>& terms(bool training) const { return training ? training_terms_ : terms_; }
  const std::vector<DoraUpdate>& doras(bool training) const { return training ? training_doras_ : doras_; }

  /// The adapter that is not of low rank and therefore alone; nullptr if there is none.
  const LayerAdapter* sole() const { return sole_.get(); }

  /// Whether the terms say all.
  bool only_terms() const { return doras_.empty() && !sole_ && !has_bias_; }
  bool has_bias() const { return has_bias_; }

  /// The sum of the biases on B; undefined if there is none.
  torch::Tensor bias() const {
    torch::Tensor sum;
    for (const Chosen& one : chosen_) {
      const auto adapter = std::dynamic_pointer_cast<LowRankAdapter>(one.adapter);
      if (!adapter || !adapter->lora_B_bias.defined()) continue;
      const torch::Tensor share = adapter->lora_B_bias * (adapter->scale() * one.weight);
      sum = sum.defined() ? sum + share : share;
    }
    return sum;
  }

  const std::vector<Chosen>& chosen() const { return chosen_; }

 private:
  void add(const Chosen& one) {
    const auto adapter = std::dynamic_pointer_cast<LowRankAdapter>(one.adapter);
    if (!adapter) {
      sole_ = one.adapter;
      return;
    }
    LowRankTerm term{adapter->lora_A, adapter->lora_B, adapter->scale(), 0.0, one.rows};
    LowRankTerm training = term;
    training.dropout = adapter->options.dropout;
    if (const auto dora = std::dynamic_pointer_cast<DoraAdapter>(adapter)) {
      doras_.push_back({dora, term, one.weight});
      training_doras_.push_back({dora, training, one.weight});
      return;
    }
    term.scale *= one.weight;
    training.scale = term.scale;
    terms_.push_back(term);
    training_terms_.push_back(training);
    if (adapter->start_A.defined()) {
      const LowRankTerm start{adapter->start_A, adapter->start_B, -term.scale, 0.0, one.rows};
      terms_.push_back(start);
      training_terms_.push_back(start);
    }
    has_bias_ = has_bias_ || adapter->lora_B_bias.defined();
  }

  std::vector<Chosen> chosen_;
  std::vector<LowRankTerm> terms_;           // DoRA's apart
  std::vector<LowRankTerm> training_terms_;  // the same with dropout
  std::vector<DoraUpdate> doras_;
  std::vector<DoraUpdate> training_doras_;  // the same with dropout
  std::shared_ptr<LayerAdapter> sole_;
  bool has_bias_ = false;
};

}  // namespace graft::detail
