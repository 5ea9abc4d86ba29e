#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/adapters/layer_adapter.hpp"
#include "graft/adapters/low_rank.hpp"
#include "graft/core/mode.hpp"

namespace graft {

class LowRankAdapter;

/// Whether A and B come from the weight, so that s B A is a part of it at the start. The papers take that part off the
/// weight. graft leaves the weight as it is and counts the update from there, s (B A - start), which is the same
/// function with the same gradients; without the adapter the model is the exact base. Linear layers alone have it.
inline bool starts_at_weight(LowRankStart start) {
  return start == LowRankStart::pissa || start == LowRankStart::olora;
}

/// What alpha is divided by.
enum class LowRankScale {
  rank,          ///< alpha / r: Hu et al., LoRA, arXiv:2106.09685
  root_of_rank,  ///< alpha / sqrt(r), rsLoRA: Kalajdzievski, arXiv:2312.03732
};

/// Size and regularisation of a low-rank update: LoraOptions{.rank = 4, .alpha = 8.0}.
struct LoraOptions {
  using Adapter = LowRankAdapter;

  std::int64_t rank = 8;                       ///< r, from 1 to what the layer's shape allows
  double alpha = 16.0;                         ///< the update is multiplied by alpha / r; 0 to 10^9
  double dropout = 0.0;                        ///< chance in [0, 1) that an input of A is zeroed in training
  LowRankStart start = LowRankStart::kaiming;  ///< initial values
  LowRankScale divisor = LowRankScale::rank;   ///< r, or its root
  bool bias = false;  ///< trains a bias on B too, zero at first; not for embeddings. PEFT calls it lora_bias

  /// What B A is multiplied by before it joins the layer's weight.
  double scale() const {
    const auto r = static_cast<double>(rank);
    return alpha / (divisor == LowRankScale::rank ? r : std::sqrt(r));
  }
};

/// LoRA: y = layer(x) + s (dropout(x) A^T) B^T, of which A and B are trained. Where they do not start at zero (PiSSA,
/// OLoRA) the update is what they gained: s (B A - start_B start_A).
/// Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1.
class LowRankAdapter : public LayerAdapter {
 public:
  /// `start` holds start_A and start_B, or nothing.
  LowRankAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B, torch::Tensor bias = {},
                 std::pair<torch::Tensor, torch::Tensor> start = {});

  static std::vector<std::string> faults(const Adaptable& layer, const LoraOptions& options, std::string_view where);
  static std::shared_ptr<LowRankAdapter> make(const Adaptable& layer, const LoraOptions& options);
  static const AdapterKind& in_files();

  GRAFT_INLINE torch::Tensor output(Adaptable& layer, const torch::Tensor& x) const override;
  GRAFT_INLINE std::optional<FusedUpdate> fused() const override;
  GRAFT_INLINE torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const override;
  GRAFT_INLINE torch::Tensor folded_bias(const Adaptable& layer, const torch::Tensor& bias,
                                         double share) const override;
  std::vector<torch::Tensor> output_side() const override { return {lora_B}; }
  const AdapterKind* kind() const override { return &in_files(); }

  /// s: what B A is multiplied by before it joins the layer's weight.
  double scale() const { return options.scale(); }

  const LoraOptions options;
  torch::Tensor lora_A;       ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B;       ///< shape by LowRank<Impl>::shape
  torch::Tensor lora_B_bias;  ///< [out] with LoraOptions::bias, else undefined
  torch::Tensor start_A;      ///< A at the start, frozen; undefined if the update started at zero
  torch::Tensor start_B;      ///< B likewise

 protected:
  GRAFT_INLINE std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override;

  /// A and B at their start.
  static std::pair<torch::Tensor, torch::Tensor> drawn(const Adaptable& layer, const LoraOptions& options);
  /// The terms of the update, with training's dropout.
  std::vector<LowRankTerm> terms() const;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/kinds/lora-inl.hpp"
#endif
