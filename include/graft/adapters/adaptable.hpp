#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/detail/slots.hpp"
#include "graft/adapters/layer_adapter.hpp"
#include "graft/adapters/low_rank.hpp"
#include "graft/core/mode.hpp"

namespace graft {

struct LoraOptions;

/// Options of a kind of adapter; see LayerAdapter.
template <class Options>
concept AdapterOptions = requires {
  typename Options::Adapter;
};

/// A layer with adapter slots, whatever its type. Found in any module by dynamic_cast.
///
/// "Adapter" is here one of this layer's, under its name; "slots" is what holds them all.
/// Threads: forward() of the layer may run on many at once, but not while any function here that is not const runs,
/// unless all that run are in an AdapterScope and the function is neither merge() nor unmerge().
class Adaptable {
 public:
  virtual ~Adaptable() = default;

  /// Adds a trainable adapter of the kind that the options name (LoRA if none is named: add("a", {.rank = 2})), makes
  /// it the only active one, and freezes the layer's own parameters. What other adapters train is left as it was. Its
  /// parameters have the weight's element type (float32 for a 16-bit weight) and its device. Throws OptionError for
  /// what faults() says; StateError while merged.
  template <class Options = LoraOptions>
  void add(const std::string& name, const Options& options) {
    require_unmerged("add an adapter");
    refuse(faults(name, options));
    put(name, Options::Adapter::make(*this, options));
  }

  /// What add() would refuse, each as a sentence; empty if nothing: a name that is taken, empty or holds a dot, and
  /// what the options' kind says. `where` names the layer in them.
  template <class Options = LoraOptions>
  std::vector<std::string> faults(const std::string& name, const Options& options,
                                  std::string_view where = "this layer") const {
    std::vector<std::string> all = name_faults(name, where);
    for (std::string& fault : Options::Adapter::faults(*this, options, where)) all.push_back(std::move(fault));
    return all;
  }

  /// Those of a name alone.
  std::vector<std::string> name_faults(const std::string& name, std::string_view where = "this layer") const;

  /// add() of an adapter that is made already, for this layer.
  void put(const std::string& name, std::shared_ptr<LayerAdapter> adapter);

  /// Drops an adapter and its values. Throws OptionError for an unknown name, StateError while merged.
  void remove_adapter(const std::string& name);

  /// Throws OptionError if `from` is unknown or add() would refuse `to`.
  void rename_adapter(const std::string& from, const std::string& to);

  /// The adapters that forward() sums, each with its weight; none: the plain layer, at its cost. What is trained does
  /// not change. Adapters that scale or replace (see LayerAdapter::sums()) are chosen alone in their layer, with weight
  /// 1. Throws OptionError for an unknown or repeated name, a weight that is not finite, or company that they cannot
  /// have; StateError while merged.
  void choose(std::vector<ActiveAdapter> active);

  /// Throws what choose() would throw for what is asked of it.
  void check_choice(const std::vector<ActiveAdapter>& active) const;

  /// Folds the active adapters into weight and bias: summed in float32 (float64 for a float64 weight), rounded once. A
  /// copy of what changes is kept. Does nothing if merged. Throws StateError if no adapter is active, the result would
  /// not be finite, or there is no bias to take one of an adapter; all is then as it was.
  void merge();

  /// Gives the weight back the very bits it had before merge(). Does nothing if not merged. Throws StateError if the
  /// weight was trained, loaded or written meanwhile, as forward() does from then on.
  void unmerge();

  bool merged() const;
  std::vector<std::string> adapters() const;  ///< names, in the order they were added
  std::vector<ActiveAdapter> active() const;

  /// The adapter called `name` if there is one and it is of this kind, else nullptr: adapter<LowRankAdapter>("a").
  template <class Kind = LayerAdapter>
  std::shared_ptr<Kind> adapter(const std::string& name) const {
    const auto held = slots();
    return held ? std::dynamic_pointer_cast<Kind>(held->find(name)) : nullptr;
  }

  /// What the adapter adds to the weight, (alpha / r) B A for LoRA, in the weight's shape, in float32 or float64.
  torch::Tensor update(const std::string& name) const;

  /// What holds the adapters; nullptr without any.
  std::shared_ptr<detail::AdapterSlots> slots() const;

  /// Of an embedding: what an output layer that shares its weight gives for x [..., dim], [..., rows]. That is x W^T
  /// with W as it is unmerged, and what the active adapters make of it (see LayerAdapter::tied_output()).
  torch::Tensor tied_output(const torch::Tensor& x) const;

  // What kinds of adapters ask of a layer.

  virtual const LayerType& layer_type() const = 0;

  virtual torch::Tensor main_weight() const = 0;
  /// The layer's bias; undefined if it has none.
  virtual torch::Tensor own_bias() const = 0;
  /// The weight without what merge() folded into it.
  torch::Tensor base_weight() const;
  /// Whether merge() changed the bias.
  bool bias_is_merged() const;

  /// The layer's output without any adapter, plus these terms, which a type takes if LayerType::fuses says so.
  virtual torch::Tensor plain(const torch::Tensor& x, std::span<const LowRankTerm> terms = {}) = 0;
  /// The same without the bias.
  virtual torch::Tensor unbiased(const torch::Tensor& x, std::span<const LowRankTerm> terms = {}) = 0;

  /// Shapes of the factors for `rank`. Throws OptionError for a layer that takes no low-rank adapter at all.
  virtual LowRankShape factor_shape(std::int64_t rank) const = 0;
  /// Draws A and B at a start where the update is zero.
  virtual void draw(torch::Tensor& A, torch::Tensor& B, LowRankStart start) const = 0;
  /// B A in the shape of the weight.
  virtual torch::Tensor product(const torch::Tensor& A, const torch::Tensor& B) const = 0;

  /// Type and device of the parameters of its adapters: float32, or float64 for a weight of that type.
  torch::TensorOptions factor_options() const;
  std::int64_t count(const LayerAxis& axis) const { return main_weight().size(axis.weight); }
  /// c, one number for each output or input of the layer, in the shape in which it multiplies the weight, or what the
  /// layer gives or takes.
  torch::Tensor over_weight(const torch::Tensor& c, const LayerAxis& axis) const;
  static torch::Tensor over_data(const torch::Tensor& c, const LayerAxis& axis);

 protected:
  virtual const torch::nn::Module& module() const = 0;
  virtual torch::nn::Module& module() = 0;

  /// forward() of the layer: its output with the active adapters, or with those that the thread's AdapterScope says.
  torch::Tensor adapted(const torch::Tensor& x);

  /// The terms of what is active for x, where they say all that it does; nullopt where they do not.
  std::optional<std::span<const LowRankTerm>> active_terms(const torch::Tensor& x) const;

  /// The layer whose children hold `slots` is the one with this weight. LibTorch's clone() of a parent assigns the
  /// layer's LibTorch part and nothing of Adaptable: `weight` is then another tensor, and the registered child holds
  /// the adapters, not slots_.
  void remember(std::shared_ptr<detail::AdapterSlots> slots);

 private:
  const detail::AdapterSlots* held() const;
  static void refuse(const std::vector<std::string>& faults);
  std::shared_ptr<detail::AdapterSlots> require(const std::string& name) const;
  void require_unmerged(std::string_view what) const;
  void require_merged_as_left() const;
  torch::Tensor output(const torch::Tensor& x, const detail::ActiveUpdates& updates);
  torch::Tensor selected_output(const torch::Tensor& x, const detail::SelectedLayers& all,
                                const detail::SelectedLayer& here);
  torch::Tensor output_by_group(const torch::Tensor& x, const detail::SelectedLayer& here, bool by_token);

  using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  std::shared_ptr<detail::AdapterSlots> slots_;
  WeakTensor seen_weight_{c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>()};  // slots_ are its layer's
};

/// A LibTorch layer that can carry adapters; with plain LoRA
///   y = layer(x) + sum over active adapters of (alpha / r) dropout(x) A^T B^T
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
  torch::Tensor forward(const torch::Tensor& x) { return adapted(x); }

  /// A linear layer as linear_group() wants it, for layers that read the same x, such as query, key and value. Empty
  /// where a part cannot say all of the layer: an active adapter is not plain LoRA. Valid until an adapter is added,
  /// removed, chosen or merged, and within the scope that it was made in.
  std::optional<LinearPart> part(const torch::Tensor& x) const requires std::same_as<Impl, torch::nn::LinearImpl> {
    const auto terms = active_terms(x);
    if (!terms) return std::nullopt;
    return LinearPart{this->weight, this->bias, *terms, cache_};
  }

  /// A copy of the layer and of its adapters that shares no storage with this one. LibTorch's own would drop the
  /// adapters and require gradients of what is frozen.
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override {
    const auto mine = slots();
    AdaptableImpl bare(*this);  // shares every tensor; LibTorch's clone() refuses a layer with a child it did not make
    if (mine) bare.unregister_module("adapters");
    const auto plain = bare.Impl::clone(device);

    auto copy = std::make_shared<AdaptableImpl>(bare);
    static_cast<Impl&>(*copy) = dynamic_cast<const Impl&>(*plain);
    copy->cache_ = fresh_cache();
    const auto own = this->named_parameters(/*recurse=*/false);
    for (auto& parameter : copy->named_parameters(/*recurse=*/false)) {
      parameter.value().set_requires_grad(own[parameter.key()].requires_grad());
    }
    copy->remember(mine ? copy->register_module("adapters", mine->copy(device)) : nullptr);
    return copy;
  }

  const LayerType& layer_type() const override {
    static const LayerType type = LayerType::of<Impl>();
    return type;
  }
  torch::Tensor main_weight() const override { return this->weight; }
  torch::Tensor own_bias() const override {
    if constexpr (requires(const Impl& layer) { torch::Tensor(layer.bias); }) return this->bias;
    return {};
  }
  torch::Tensor plain(const torch::Tensor& x, std::span<const LowRankTerm> terms = {}) override {
    if constexpr (CachesWeight<Impl>) {
      return LowRank<Impl>::forward(*this, x, terms, cache_);
    } else if constexpr (FusesLowRank<Impl>) {
      return LowRank<Impl>::forward(*this, x, terms);
    } else {
      return Impl::forward(x);
    }
  }
  torch::Tensor unbiased(const torch::Tensor& x, std::span<const LowRankTerm> terms = {}) override {
    if constexpr (requires { LowRank<Impl>::forward_unbiased(*this, x, terms, cache_); }) {
      return LowRank<Impl>::forward_unbiased(*this, x, terms, cache_);
    } else if constexpr (requires { LowRank<Impl>::forward_unbiased(*this, x, terms); }) {
      return LowRank<Impl>::forward_unbiased(*this, x, terms);
    } else {
      const torch::Tensor y = plain(x, terms), bias = own_bias();
      return bias.defined() ? y - over_data(bias, layer_type().outputs.value()) : y;
    }
  }
  LowRankShape factor_shape(std::int64_t rank) const override { return LowRank<Impl>::shape(*this, rank); }
  void draw(torch::Tensor& A, torch::Tensor& B, LowRankStart start) const override {
    LowRank<Impl>::initialise(A, B, start);
  }
  torch::Tensor product(const torch::Tensor& A, const torch::Tensor& B) const override {
    return LowRank<Impl>::update(*this, A, B);
  }

 protected:
  const torch::nn::Module& module() const override { return *this; }
  torch::nn::Module& module() override { return *this; }

 private:
  struct NoCache {};
  using Cache = std::conditional_t<CachesWeight<Impl>, std::shared_ptr<WeightCache>, NoCache>;
  static Cache fresh_cache() {
    if constexpr (CachesWeight<Impl>) return std::make_shared<WeightCache>();
    return Cache();
  }

  [[no_unique_address]] Cache cache_ = fresh_cache();
  bool remembered_ = (remember(nullptr), true);  // the weight that the constructor made
};

/// Holder of a frozen layer with one trained adapter, called "default", of the kind that Options names:
///   Lora<torch::nn::Linear> query(torch::nn::LinearOptions(768, 768), LoraOptions{.rank = 8, .alpha = 16});
///
/// The first argument is the layer's own options; without adapter options their defaults hold. At first its output is
/// that of the plain layer. Throws OptionError as Adaptable::add() does.
template <class Layer, AdapterOptions Options>
class Adapted : public torch::nn::ModuleHolder<AdaptableImpl<typename Layer::ContainedType>> {
 public:
  using Impl = AdaptableImpl<typename Layer::ContainedType>;

  template <class LayerOptions>
  requires std::constructible_from<Impl, LayerOptions&&>
  explicit Adapted(LayerOptions&& layer, const Options& adapter = {})
      : torch::nn::ModuleHolder<Impl>(std::make_shared<Impl>(std::forward<LayerOptions>(layer))) {
    this->impl_->add("default", adapter);
  }

  /// Holds a layer that exists, as it is. Empty until one is assigned: Lora<torch::nn::Linear> query = nullptr.
  Adapted(std::shared_ptr<Impl> layer) : torch::nn::ModuleHolder<Impl>(std::move(layer)) {}
  Adapted(std::nullptr_t) : torch::nn::ModuleHolder<Impl>(nullptr) {}
};

/// LibTorch's layers with adapter slots; constructed like them.
using Linear = torch::nn::ModuleHolder<AdaptableImpl<torch::nn::LinearImpl>>;
using Embedding = torch::nn::ModuleHolder<AdaptableImpl<torch::nn::EmbeddingImpl>>;
using Conv1d = torch::nn::ModuleHolder<AdaptableImpl<torch::nn::Conv1dImpl>>;
using Conv2d = torch::nn::ModuleHolder<AdaptableImpl<torch::nn::Conv2dImpl>>;

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

namespace detail {

/// The type that adapters of a weight are trained and summed in: float32 for one of 16 bits.
torch::ScalarType factor_type(torch::ScalarType weight);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/adaptable-inl.hpp"
#else
extern template class graft::AdaptableImpl<torch::nn::LinearImpl>;
extern template class graft::AdaptableImpl<torch::nn::EmbeddingImpl>;
extern template class graft::AdaptableImpl<torch::nn::Conv1dImpl>;
extern template class graft::AdaptableImpl<torch::nn::Conv2dImpl>;
#endif
