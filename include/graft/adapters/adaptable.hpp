#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/detail/dora_layer.hpp"
#include "graft/adapters/detail/selected_layers.hpp"
#include "graft/adapters/detail/slots.hpp"
#include "graft/adapters/detail/sole_layer.hpp"
#include "graft/adapters/layer_adapter.hpp"
#include "graft/adapters/low_rank.hpp"
#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {
namespace detail {

std::string joined(const std::vector<std::string>& parts, std::string_view separator);

/// The type that adapters of a weight are trained and summed in: float32 for one of 16 bits.
torch::ScalarType factor_type(torch::ScalarType weight);

/// Whether a selection's `rows` are tokens, not sequences.
bool rows_are_tokens(const SelectedLayers& selected, std::int64_t rows);

void require_unmerged(const SelectedLayer& here);

}  // namespace detail

/// A layer with adapter slots, whatever its type. Found in any module by dynamic_cast.
///
/// Threads: forward() of the layer may run on many at once, but not while any function here that is not const runs,
/// unless all that run are in an AdapterScope and the function is neither merge() nor unmerge().
class Adaptable {
 public:
  virtual ~Adaptable() = default;

  /// Adds a trainable adapter, makes it the only active one, and freezes the layer's own parameters. What other
  /// adapters train is left as it was. A and B have the weight's element type (float32 for a 16-bit weight) and its
  /// device. Throws OptionError if `name` is taken, empty or holds a dot, or `options` leaves a range stated in
  /// LoraOptions; StateError while merged.
  void add_adapter(const std::string& name, const LoraOptions& options);

  /// The same for an adapter of DoRA, which also trains the lengths of the rows of the updated weight; they start at
  /// those of the weight, so that a fresh one changes nothing. See Dora. Throws OptionError also for a layer type that
  /// graft has no DoRA for and for a bias on B.
  void add_dora(const std::string& name, const LoraOptions& options);

  /// The same for an adapter of IA3, which scales each output or input by a trained factor, 1 at first; see
  /// attach_ia3(). Throws OptionError also for a layer type that has none: linear layers and convolutions do.
  void add_ia3(const std::string& name, Ia3Side side);

  /// The same for rows of an embedding that are trained in the place of its own and start as these; see
  /// train_token_rows(). Throws OptionError also for no row, one that comes twice or is outside the table, and another
  /// layer type.
  void add_token_rows(const std::string& name, const std::vector<std::int64_t>& tokens);

  /// What these would refuse, each as a sentence; empty if nothing. `where` names the layer in them.
  std::vector<std::string> adapter_faults(const std::string& name, const LoraOptions& options,
                                          std::string_view where = "this layer") const;
  std::vector<std::string> dora_faults(const std::string& name, const LoraOptions& options,
                                       std::string_view where = "this layer") const;
  std::vector<std::string> ia3_faults(const std::string& name, Ia3Side side,
                                      std::string_view where = "this layer") const;
  std::vector<std::string> token_rows_faults(const std::string& name, const std::vector<std::int64_t>& tokens,
                                             std::string_view where = "this layer") const;

  /// Drops an adapter and its values. Throws OptionError for an unknown name, StateError while merged.
  void remove_adapter(const std::string& name);

  /// Throws OptionError if `from` is unknown or add_adapter() would refuse `to`.
  void rename_adapter(const std::string& from, const std::string& to);

  /// The adapters that forward() sums, each with its weight; none: the plain layer, at its cost. What is trained does
  /// not change. Adapters of IA3 and token rows are chosen alone in their layer, with weight 1. Throws OptionError for
  /// an unknown or repeated name, a weight that is not finite, or company that they cannot have; StateError while
  /// merged.
  void choose(std::vector<ActiveAdapter> active);

  /// Throws what choose() would throw for what is asked of it.
  void check_choice(const std::vector<ActiveAdapter>& active) const;

  /// Folds the active updates into the weight: summed in float32 (float64 for a float64 weight), rounded once. A copy
  /// of the weight is kept. A bias on B joins the layer's bias likewise. Does nothing if merged. Throws StateError if
  /// no adapter is active, the result would not be finite, or there is no bias to take one of B; all is then as it was.
  void merge();

  /// Gives the weight back the very bits it had before merge(). Does nothing if not merged.
  void unmerge();

  bool merged() const;
  std::vector<std::string> adapters() const;  ///< names, in the order they were added
  std::vector<ActiveAdapter> active() const;

  /// The adapter called `name`, of any kind, or nullptr.
  std::shared_ptr<LayerAdapter> slot(const std::string& name) const;

  /// The same if it is of low rank, else nullptr.
  std::shared_ptr<LowRankAdapter> adapter(const std::string& name) const {
    return std::dynamic_pointer_cast<LowRankAdapter>(slot(name));
  }

  /// What the adapter adds to the weight, (alpha / r) B A for LoRA, in the weight's shape, in float32 or float64.
  torch::Tensor update(const std::string& name) const;

  /// The layer's main parameter.
  virtual torch::Tensor main_weight() const = 0;

  /// The same without what merge() folded into it.
  torch::Tensor base_weight() const {
    const auto all = slots();
    return all && all->unmerged_weight.defined() ? all->unmerged_weight : main_weight();
  }

  /// What PEFT's files call the factors behind the layer's name: "lora_A.weight", "lora_B.weight".
  virtual std::pair<std::string, std::string> factor_keys() const = 0;

  /// Shape of DoRA's magnitudes; empty for a layer type without DoRA.
  virtual std::vector<std::int64_t> magnitude_shape() const = 0;

  /// The layer's bias; undefined if it has none.
  virtual torch::Tensor own_bias() const = 0;

  /// Shape of IA3's factors; empty for a layer type without IA3.
  virtual std::vector<std::int64_t> ia3_shape(Ia3Side side) const = 0;

  /// Whether rows of the layer's weight belong to tokens.
  virtual bool is_embedding() const = 0;

  /// What an AdapterSelection reads.
  std::shared_ptr<const detail::AdapterSlots> adapter_slots() const { return slots(); }

  /// Shapes of the factors for `rank`. Throws OptionError for a layer that takes no adapter at all.
  virtual LowRankShape factor_shape(std::int64_t rank) const = 0;

 protected:
  virtual std::shared_ptr<detail::AdapterSlots> slots() const = 0;  // nullptr when the layer has no adapter
  virtual std::shared_ptr<detail::AdapterSlots> make_slots() = 0;
  virtual void drop_slots() = 0;
  virtual void freeze_own_parameters() = 0;
  virtual void draw(torch::Tensor& A, torch::Tensor& B, const LoraOptions& options) const = 0;
  virtual bool starts_from_weight() const = 0;
  virtual torch::Tensor folded_alone(const torch::Tensor& weight, const LayerAdapter& adapter) const = 0;
  virtual torch::Tensor product(const torch::Tensor& A, const torch::Tensor& B) const = 0;
  virtual torch::Tensor over_weight(const torch::Tensor& units) const = 0;
  virtual torch::Tensor row_lengths(DoraAdapter& adapter) const = 0;
  virtual bool takes_bias() const = 0;

 private:
  torch::Tensor updated(const torch::Tensor& weight, LowRankAdapter& adapter, double share) const;
  std::pair<torch::Tensor, torch::Tensor> draw_factors(const LoraOptions& options) const;
  void add(const std::string& name, std::shared_ptr<LayerAdapter> adapter);
  void name_faults(const std::string& name, std::string_view where, std::vector<std::string>& faults) const;
  std::shared_ptr<detail::AdapterSlots> require(const std::string& name) const;
  void require_unmerged(std::string_view what) const;
};

/// A LibTorch layer that can carry low-rank adapters:  y = layer(x) + sum over active adapters of (alpha / r)
/// dropout(x) A^T B^T
///
/// Shapes are those of LowRank<Impl>. The layer's own parameters keep their names (`weight`, `bias`); an adapter's are
/// `adapters.NAME.lora_A` and `adapters.NAME.lora_B`. A fresh adapter changes nothing. Constructed as Impl is.
/// Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1.
template <class Impl>
class AdaptableImpl : public Impl, public Adaptable {
  static_assert(LowRankAdaptable<Impl>,
                "this layer type has no graft::LowRank<Impl>: write a specialisation (docs/adapters.md, "
                "\"A layer of one's own\")");

 public:
  using Impl::Impl;

  /// The layer's output plus that of every active adapter, or of those that the thread's AdapterScope says. Shapes of
  /// Impl::forward.
  torch::Tensor forward(const torch::Tensor& x) {
    if (const auto* selected = detail::SelectedLayers::current()) {
      const auto found = selected->layers.find(this);
      if (found != selected->layers.end()) return selected_output(x, *selected, found->second);
    }
    if (current()) return output(x, slots_.get());
    const auto found = slots();
    return output(x, found.get());
  }

  /// A linear layer as linear_group() wants it, for layers that read the same x, such as query, key and value. Empty
  /// where a part cannot say all of the layer: an active adapter is not plain LoRA. Valid until an adapter is added,
  /// removed, chosen or merged, and within the scope that it was made in.
  std::optional<LinearPart> part(const torch::Tensor& x) const requires std::same_as<Impl, torch::nn::LinearImpl>;

  /// A copy of the layer and of its adapters that shares no storage with this one. LibTorch's own would drop the
  /// adapters and require gradients of what is frozen.
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override;

  torch::Tensor main_weight() const override { return this->weight; }
  std::pair<std::string, std::string> factor_keys() const override {
    return {LowRank<Impl>::key_A, LowRank<Impl>::key_B};
  }
  LowRankShape factor_shape(std::int64_t rank) const override { return LowRank<Impl>::shape(*this, rank); }
  std::vector<std::int64_t> ia3_shape(Ia3Side side) const override {
    return detail::SoleLayer<Impl>::ia3_shape(*this, side);
  }
  bool is_embedding() const override { return std::same_as<Impl, torch::nn::EmbeddingImpl>; }
  std::vector<std::int64_t> magnitude_shape() const override {
    if constexpr (detail::DoraAdaptable<Impl>) return detail::DoraLayer<Impl>::shape(*this);
    return {};
  }
  torch::Tensor own_bias() const override {
    if constexpr (requires(const Impl& layer) { torch::Tensor(layer.bias); }) return this->bias;
    return {};
  }

 protected:
  std::shared_ptr<detail::AdapterSlots> slots() const override;
  std::shared_ptr<detail::AdapterSlots> make_slots() override;
  void drop_slots() override;
  void freeze_own_parameters() override {
    for (torch::Tensor& parameter : this->parameters(/*recurse=*/false)) detail::set_trained(parameter, false);
  }
  bool starts_from_weight() const override { return detail::StartsFromWeight<Impl>; }
  void draw(torch::Tensor& A, torch::Tensor& B, const LoraOptions& options) const override {
    if constexpr (detail::StartsFromWeight<Impl>) {
      if (starts_at_weight(options.start)) return LowRank<Impl>::decompose(*this, A, B, options);
    }
    LowRank<Impl>::initialise(A, B, options.start);
  }
  torch::Tensor folded_alone(const torch::Tensor& weight, const LayerAdapter& adapter) const override {
    return detail::SoleLayer<Impl>::folded(weight, adapter);
  }
  torch::Tensor product(const torch::Tensor& A, const torch::Tensor& B) const override {
    return LowRank<Impl>::update(*this, A, B);
  }
  bool takes_bias() const override { return detail::BiasOnB<Impl>; }
  torch::Tensor over_weight(const torch::Tensor& units) const override {
    if constexpr (detail::DoraAdaptable<Impl>) return detail::DoraLayer<Impl>::over_weight(*this, units);
    return units;
  }
  torch::Tensor row_lengths(DoraAdapter& adapter) const override {
    if constexpr (detail::DoraAdaptable<Impl>) {
      return adapter.norms->of(detail::DoraLayer<Impl>::rows(*this), adapter.lora_A.detach().flatten(1),
                               adapter.lora_B.detach().flatten(1), adapter.scale());
    }
    return {};
  }

 private:
  torch::Tensor output(const torch::Tensor& x, const detail::AdapterSlots* slots) {
    if (!slots || slots->unmerged_weight.defined()) return sum(x, {});
    return output(x, slots->updates());
  }
  torch::Tensor output(const torch::Tensor& x, const detail::ActiveUpdates& updates);
  torch::Tensor dora_sum(const torch::Tensor& x, const detail::ActiveUpdates& updates);
  torch::Tensor selected_output(const torch::Tensor& x, const detail::SelectedLayers& all,
                                const detail::SelectedLayer& here);
  torch::Tensor output_by_group(const torch::Tensor& x, const detail::SelectedLayer& here, bool by_token);

  torch::Tensor sum(const torch::Tensor& x, std::span<const LowRankTerm> terms) {
    if constexpr (requires { LowRank<Impl>::forward(*this, x, terms, cache_); }) {
      return LowRank<Impl>::forward(*this, x, terms, cache_);
    } else {
      return LowRank<Impl>::forward(*this, x, terms);
    }
  }

  // LibTorch's clone() of a parent assigns this layer's LibTorch part and nothing of what is below: `weight` is then
  // another tensor, and the registered child holds the adapters, not slots_.
  bool current() const { return seen_weight_._unsafe_get_target() == this->weight.unsafeGetTensorImpl(); }

  using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

  std::shared_ptr<WeightCache> cache_ = std::make_shared<WeightCache>();
  std::shared_ptr<detail::AdapterSlots> slots_;
  WeakTensor seen_weight_{this->weight.getIntrusivePtr()};  // of the layer whose child slots_ is
};

/// torch::nn::Linear with adapter slots; constructed like it.
class Linear : public torch::nn::ModuleHolder<AdaptableImpl<torch::nn::LinearImpl>> {
 public:
  using torch::nn::ModuleHolder<AdaptableImpl<torch::nn::LinearImpl>>::ModuleHolder;
};

/// What linear layers give for one x, such as query, key and value: as one linear_group() where a part() says all of
/// each, which keeps x once.
template <std::same_as<Linear>... Layers>
std::vector<torch::Tensor> forward_together(const torch::Tensor& x, Layers&... layers) {
  std::vector<LinearPart> parts;
  for (const std::optional<LinearPart>& part : {layers->part(x)...}) {
    if (!part) return {layers(x)...};
    parts.push_back(*part);
  }
  return linear_group(x, parts);
}

/// torch::nn::Embedding with adapter slots; constructed like it.
class Embedding : public torch::nn::ModuleHolder<AdaptableImpl<torch::nn::EmbeddingImpl>> {
 public:
  using torch::nn::ModuleHolder<AdaptableImpl<torch::nn::EmbeddingImpl>>::ModuleHolder;
};

/// torch::nn::Conv1d with adapter slots; constructed like it.
class Conv1d : public torch::nn::ModuleHolder<AdaptableImpl<torch::nn::Conv1dImpl>> {
 public:
  using torch::nn::ModuleHolder<AdaptableImpl<torch::nn::Conv1dImpl>>::ModuleHolder;
};

/// torch::nn::Conv2d with adapter slots; constructed like it.
class Conv2d : public torch::nn::ModuleHolder<AdaptableImpl<torch::nn::Conv2dImpl>> {
 public:
  using torch::nn::ModuleHolder<AdaptableImpl<torch::nn::Conv2dImpl>>::ModuleHolder;
};

}  // namespace graft

#include "graft/adapters/detail/adaptable_layer.hpp"
#ifndef GRAFT_COMPILED
#include "graft/adapters/adaptable-inl.hpp"
#else
extern template class graft::AdaptableImpl<torch::nn::LinearImpl>;
extern template class graft::AdaptableImpl<torch::nn::EmbeddingImpl>;
extern template class graft::AdaptableImpl<torch::nn::Conv1dImpl>;
extern template class graft::AdaptableImpl<torch::nn::Conv2dImpl>;
#endif
