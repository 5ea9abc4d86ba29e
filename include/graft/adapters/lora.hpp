#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>

#include "graft/adapters/adaptable.hpp"

namespace graft {

/// Holder of a frozen layer with one trained low-rank adapter, called "default":
///   Lora<torch::nn::Linear> query(torch::nn::LinearOptions(768, 768), LoraOptions{.rank = 8, .alpha = 16});
///
/// The first argument is the layer's own options; without LoraOptions its defaults hold. At first its output is that of
/// the plain layer. Throws OptionError if the options leave a range stated in LoraOptions.
template <class Layer>
class Lora : public torch::nn::ModuleHolder<AdaptableImpl<typename Layer::ContainedType>> {
 public:
  using Impl = AdaptableImpl<typename Layer::ContainedType>;

  template <class LayerOptions>
  requires std::constructible_from<Impl, LayerOptions&&>
  explicit Lora(LayerOptions&& layer, const LoraOptions& adapter = {})
      : torch::nn::ModuleHolder<Impl>(std::make_shared<Impl>(std::forward<LayerOptions>(layer))) {
    this->impl_->add_adapter("default", adapter);
  }

  /// Holds a layer that exists, as it is. Empty until one is assigned: Lora<torch::nn::Linear> query = nullptr.
  Lora(std::shared_ptr<Impl> layer) : torch::nn::ModuleHolder<Impl>(std::move(layer)) {}
  Lora(std::nullptr_t) : torch::nn::ModuleHolder<Impl>(nullptr) {}
};

}  // namespace graft
