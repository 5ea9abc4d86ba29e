#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graft/adapters/layer_adapter.hpp"
#include "graft/core/mode.hpp"

namespace graft {

class Ia3Adapter;
template <class Options>
struct LayerOptions;

/// What of a layer IA3 scales.
enum class Ia3Side {
  output,  ///< each output, its bias included
  input,   ///< each input: PEFT's feed-forward layers
};

/// Ia3Options{.feed_forward = {"output.dense"}} for a model, Ia3Options{.side = Ia3Side::input} for one layer.
struct Ia3Options {
  using Adapter = Ia3Adapter;

  Ia3Side side = Ia3Side::output;
  /// In attach(): layers whose inputs are scaled, those whose path is the name or ends with ".name" (BERT: targets key,
  /// value, output.dense; feed-forward output.dense). A name that takes none of the layers is an OptionError.
  std::vector<std::string> feed_forward = {};
};

/// IA3: a layer's outputs, or its inputs, are multiplied by one trained factor each,
///   y = l * (x W^T + bias)   or   y = (l * x) W^T + bias,   l = 1 at first
///
/// For layer types that say where those lie; convolutions without groups. Chosen alone in its layer.
/// Source: Liu et al., Few-Shot Parameter-Efficient Fine-Tuning, arXiv:2205.05638, section 3.3.
class Ia3Adapter : public LayerAdapter {
 public:
  Ia3Adapter(Ia3Side side, torch::Tensor factors)
      : side(side), ia3_l(register_parameter("ia3_l", std::move(factors))) {}

  static std::vector<std::string> faults(const Adaptable& layer, const Ia3Options& options, std::string_view where);
  static std::shared_ptr<Ia3Adapter> make(const Adaptable& layer, const Ia3Options& options);
  static void settle(std::vector<LayerOptions<Ia3Options>>& layers);
  static const AdapterKind& in_files();

  GRAFT_INLINE torch::Tensor output(Adaptable& layer, const torch::Tensor& x) const override;
  GRAFT_INLINE torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const override;
  GRAFT_INLINE torch::Tensor folded_bias(const Adaptable& layer, const torch::Tensor& bias,
                                         double share) const override;
  bool sums() const override { return false; }
  const AdapterKind* kind() const override { return &in_files(); }

  const Ia3Side side;
  torch::Tensor ia3_l;  ///< linear: [out, 1] or [1, in]; convolution: [1, channels, 1...]; as in PEFT's files

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<Ia3Adapter>(side, moved(ia3_l));
  }
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/kinds/ia3-inl.hpp"
#endif
