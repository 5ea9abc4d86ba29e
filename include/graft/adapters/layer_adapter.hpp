#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "graft/core/mode.hpp"
#include "graft/ops/linear.hpp"

namespace graft {

class Adaptable;
class AdapterKind;
class HeadCopies;

/// An output that a layer gives with one product of its own: its plain output plus these terms plus bias_scale * bias.
struct FusedUpdate {
  std::vector<LowRankTerm> terms = {};  ///< with the dropout that they have in training
  torch::Tensor bias = {};              ///< one for each output, or undefined
  double bias_scale = 1.0;
};

/// What one adapter does to one layer. Its parameters are what it trains, its buffers what it keeps beside them.
///
/// A kind of adapter derives from it and has, beside these virtual functions, two that are static:
///
///   faults(const Adaptable&, const Options&, where)   what of the options does not fit the layer, each as a sentence
///                                                     that names the layer as `where` does; empty if nothing
///   make(const Adaptable&, const Options&)            a fresh adapter for the layer, as std::shared_ptr
///
/// and may have, for options that depend on the other layers (see attach()):
///
///   settle(std::vector<LayerOptions<Options>>&)       completes the options of all layers before any is looked at
///
/// Its options name it: `using Adapter = ...`. docs/adapters.md shows one whole.
/// Threads: output() may run on many at once.
class LayerAdapter : public torch::nn::Module {
 public:
  /// The layer's output for x with this adapter alone. `layer` gives its output without any: layer.plain(x).
  virtual torch::Tensor output(Adaptable& layer, const torch::Tensor& x) const = 0;

  /// The same as terms of the layer's own product, for kinds that have such a form. Several adapters, and the groups of
  /// a mixed batch, then cost one product together. Asked when adapters are chosen: the tensors are to be the
  /// parameters themselves. Where the layer type takes terms, forward() goes by this, not by output().
  virtual std::optional<FusedUpdate> fused() const { return std::nullopt; }

  /// `weight`, the layer's with perhaps other updates in it, in float32 or float64, with `share` times this adapter's
  /// update. Outside autograd.
  virtual torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const = 0;

  /// The same of the layer's bias, undefined if it has none. Throws StateError where one is needed.
  GRAFT_INLINE virtual torch::Tensor folded_bias(const Adaptable& layer, const torch::Tensor& bias, double share) const;

  /// Whether it can be weighed and summed with others. An adapter that scales or replaces what the layer has cannot: it
  /// is chosen alone there, with weight 1.
  virtual bool sums() const { return true; }

  /// Of an embedding whose weight an output layer shares: what that layer gives for x [..., dim], where y [..., rows]
  /// is what it gives without the adapter. A kind that is about what goes in leaves y alone, as PEFT does.
  virtual torch::Tensor tied_output(const torch::Tensor& /*x*/, const torch::Tensor& y) const { return y; }
  /// Whether tied_output() is another than y.
  virtual bool ties() const { return false; }

  /// The parameters that meet the layer's output, which LoRA+ gives a larger rate.
  virtual std::vector<torch::Tensor> output_side() const { return {}; }

  /// How PEFT's files have the kind; nullptr if they do not.
  virtual const AdapterKind* kind() const { return nullptr; }

  /// The model's heads as the adapter has them, kept by the first of its layers; else null.
  std::shared_ptr<HeadCopies> heads;

  /// A copy on `device`, or where it is, that shares no storage and trains the same.
  std::shared_ptr<LayerAdapter> copy(const std::optional<torch::Device>& device = std::nullopt) const;

 protected:
  /// What copy() calls: a new adapter whose tensors are moved(mine).
  using Moved = std::function<torch::Tensor(const torch::Tensor&)>;
  virtual std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const = 0;
};

/// A model whose output layer may have no weight of its own, but share an embedding's.
class TiedOutput {
 public:
  /// That weight; undefined if the output layer has its own.
  virtual torch::Tensor tied_weight() const = 0;

 protected:
  ~TiedOutput() = default;
};

/// An adapter's name and the factor its update is multiplied by.
struct ActiveAdapter {
  std::string name;
  double weight = 1.0;
};

namespace detail {

/// Sets it only where it differs: another thread may be reading the flag of a frozen parameter.
void set_trained(torch::Tensor& parameter, bool trained);

/// A copy on `device`, or where it is; undefined stays undefined.
torch::Tensor copied(const torch::Tensor& tensor, const std::optional<torch::Device>& device);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/layer_adapter-inl.hpp"
#endif
