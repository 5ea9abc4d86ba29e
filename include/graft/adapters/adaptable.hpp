#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/detail/dora_layer.hpp"
#include "graft/adapters/detail/slots.hpp"
#include "graft/adapters/low_rank.hpp"
#include "graft/core/error.hpp"

namespace graft {

/// A layer with adapter slots, whatever its type. Found in any module by dynamic_cast.
///
/// Threads: forward() of the layer may run on many at once, but not while any function here that is not const runs.
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

  /// What add_adapter() would refuse, each as a sentence; empty if nothing. `where` names the layer in them.
  std::vector<std::string> adapter_faults(const std::string& name, const LoraOptions& options,
                                          std::string_view where = "this layer") const;
  std::vector<std::string> dora_faults(const std::string& name, const LoraOptions& options,
                                       std::string_view where = "this layer") const;

  /// Drops an adapter and its values. Throws OptionError for an unknown name, StateError while merged.
  void remove_adapter(const std::string& name);

  /// Throws OptionError if `from` is unknown or add_adapter() would refuse `to`.
  void rename_adapter(const std::string& from, const std::string& to);

  /// The adapters that forward() sums, each with its weight; none: the plain layer, at its cost. What is trained does
  /// not change. Throws OptionError for an unknown or repeated name or a weight that is not finite, StateError while
  /// merged.
  void choose(std::vector<ActiveAdapter> active);

  /// Folds the active updates into the weight: summed in float32 (float64 for a float64 weight), rounded once. A copy
  /// of the weight is kept. A bias on B joins the layer's bias likewise. Does nothing if merged. Throws StateError if
  /// no adapter is active, the result would not be finite, or there is no bias to take one of B; all is then as it was.
  void merge();

  /// Gives the weight back the very bits it had before merge(). Does nothing if not merged.
  void unmerge();

  bool merged() const;
  std::vector<std::string> adapters() const;  ///< names, in the order they were added
  std::vector<ActiveAdapter> active() const;

  /// The adapter called `name`, or nullptr.
  std::shared_ptr<LowRankAdapter> adapter(const std::string& name) const;

  /// What the adapter adds to the weight, (alpha / r) B A for LoRA, in the weight's shape, in float32 or float64.
  torch::Tensor update(const std::string& name) const;

  /// The layer's main parameter.
  virtual torch::Tensor main_weight() const = 0;

  /// What PEFT's files call the factors behind the layer's name: "lora_A.weight", "lora_B.weight".
  virtual std::pair<std::string, std::string> factor_keys() const = 0;

  /// Shape of DoRA's magnitudes; empty for a layer type without DoRA.
  virtual std::vector<std::int64_t> magnitude_shape() const = 0;

  /// The layer's bias; undefined if it has none.
  virtual torch::Tensor own_bias() const = 0;

  /// Shapes of the factors for `rank`. Throws OptionError for a layer that takes no adapter at all.
  virtual LowRankShape factor_shape(std::int64_t rank) const = 0;

 protected:
  virtual std::shared_ptr<detail::AdapterSlots> slots() const = 0;  // nullptr when the layer has no adapter
  virtual std::shared_ptr<detail::AdapterSlots> make_slots() = 0;
  virtual void drop_slots() = 0;
  virtual void freeze_own_parameters() = 0;
  virtual void draw(torch::Tensor& A, torch::Tensor& B, LowRankStart start) const = 0;
  virtual torch::Tensor product(const torch::Tensor& A, const torch::Tensor& B) const = 0;
  virtual torch::Tensor over_weight(const torch::Tensor& units) const = 0;
  virtual torch::Tensor row_lengths(DoraAdapter& adapter) const = 0;
  virtual bool takes_bias() const = 0;

 private:
  torch::Tensor updated(const torch::Tensor& weight, LowRankAdapter& adapter, double share) const;
  std::pair<torch::Tensor, torch::Tensor> draw_factors(const LoraOptions& options) const;
  void add(const std::string& name, std::shared_ptr<LowRankAdapter> adapter);
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

  /// The layer's output plus that of every active adapter. Shapes of Impl::forward.
  torch::Tensor forward(const torch::Tensor& x) {
    if (current()) return output(x, slots_.get());
    const auto found = slots();
    return output(x, found.get());
  }

  /// Whether part() says all of the layer: no active adapter is DoRA's or has a bias on B.
  bool is_part() const requires std::same_as<Impl, torch::nn::LinearImpl> {
    const auto found = slots();
    return !found || found->unmerged_weight.defined() || (found->doras().empty() && !found->has_bias());
  }

  /// A linear layer as linear_group() wants it: for layers that read the same x, such as query, key and value. Valid
  /// until an adapter is added, removed, chosen or merged.
  LinearPart part() const requires std::same_as<Impl, torch::nn::LinearImpl> {
    const auto found = slots();
    return {this->weight, this->bias, terms(found.get()), cache_};
  }

  /// A copy of the layer and of its adapters that shares no storage with this one. LibTorch's own would drop the
  /// adapters and require gradients of what is frozen.
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override;

  torch::Tensor main_weight() const override { return this->weight; }
  std::pair<std::string, std::string> factor_keys() const override {
    return {LowRank<Impl>::key_A, LowRank<Impl>::key_B};
  }
  LowRankShape factor_shape(std::int64_t rank) const override { return LowRank<Impl>::shape(*this, rank); }
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
    for (torch::Tensor& parameter : this->parameters(/*recurse=*/false)) parameter.set_requires_grad(false);
  }
  void draw(torch::Tensor& A, torch::Tensor& B, LowRankStart start) const override {
    LowRank<Impl>::initialise(A, B, start);
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
  static std::span<const LowRankTerm> terms(const detail::AdapterSlots* slots) {
    if (!slots || slots->unmerged_weight.defined()) return {};
    return slots->terms();
  }

  torch::Tensor output(const torch::Tensor& x, const detail::AdapterSlots* slots) {
    if (!slots || slots->unmerged_weight.defined()) return sum(x, {});
    if (!slots->doras().empty()) return dora_sum(x, *slots);
    torch::Tensor y = sum(x, slots->terms());
    if constexpr (detail::BiasOnB<Impl>) {
      if (slots->has_bias()) y = detail::DoraLayer<Impl>::plus_bias(y, slots->bias().to(y.scalar_type()));
    }
    return y;
  }

  torch::Tensor dora_sum(const torch::Tensor& x, const detail::AdapterSlots& slots);

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

#include "graft/adapters/detail/adaptable-inl.hpp"
