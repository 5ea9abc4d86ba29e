#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Holder of a frozen layer with one adapter of DoRA, called "default":
///   Dora<torch::nn::Linear> query(torch::nn::LinearOptions(768, 768), LoraOptions{.rank = 8, .alpha = 16});
///
///   y = (m / n) (W x + s B A dropout(x)) + bias,   n the lengths of the rows of W + s B A
///
/// m [out], A and B are trained; n counts as a constant in backward, as the paper and PEFT have it. B A is never made:
/// n comes from W A^T and A A^T, and is kept while nothing of it changes. For Linear, Embedding (a length for each
/// dimension), Conv1d and Conv2d. In training with dropout PEFT also drops inputs of (m / n - 1) W x; here W sees all
/// of x, which has the same mean and saves a product with W. Source: Liu et al., DoRA, arXiv:2402.09353, section 4.
template <class Layer>
class Dora : public torch::nn::ModuleHolder<AdaptableImpl<typename Layer::ContainedType>> {
 public:
  using Impl = AdaptableImpl<typename Layer::ContainedType>;

  template <class LayerOptions>
  requires std::constructible_from<Impl, LayerOptions&&>
  explicit Dora(LayerOptions&& layer, const LoraOptions& adapter = {})
      : torch::nn::ModuleHolder<Impl>(std::make_shared<Impl>(std::forward<LayerOptions>(layer))) {
    this->impl_->add_dora("default", adapter);
  }

  /// Holds a layer that exists, as it is. Empty until one is assigned: Dora<torch::nn::Linear> query = nullptr.
  Dora(std::shared_ptr<Impl> layer) : torch::nn::ModuleHolder<Impl>(std::move(layer)) {}
  Dora(std::nullptr_t) : torch::nn::ModuleHolder<Impl>(nullptr) {}
};

/// attach() with adapters of DoRA.
template <LayersByPath<LoraOptions> Layers>
void attach_dora(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
                 const std::string& name = "default") {
  const detail::AdapterKind<const LoraOptions&> kind{&Adaptable::add_dora, &Adaptable::dora_faults};
  detail::attach_kind(kind, module, layers, heads, name);
}

TargetReport attach_dora(torch::nn::Module& module, const LoraOptions& options, const Targets& targets,
                         const LayerPatterns& patterns = {}, const std::string& name = "default");

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/dora-inl.hpp"
#endif
