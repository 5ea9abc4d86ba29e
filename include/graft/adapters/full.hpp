#pragma once

#include <concepts>
#include <memory>
#include <utility>

#include "graft/adapters/adaptable.hpp"

namespace graft {

/// Holder of a layer that is trained in full: Full<torch::nn::Linear> head(torch::nn::LinearOptions(768, 2)).
///
/// Constructed as Layer is. Every parameter of the layer requires gradients; an adapter can be added later, by name.
/// Layer is a LibTorch holder such as torch::nn::Linear, or a holder of one's own whose layer has a LowRank.
/// Lora<Layer> offers the same interface, so that a net can be written once over either:
///   template <template <class> class Wrap> struct NetImpl : torch::nn::Module { Wrap<torch::nn::Linear> a, b; };
template <class Layer>
class Full : public torch::nn::ModuleHolder<AdaptableImpl<typename Layer::ContainedType>> {
 public:
  using Impl = AdaptableImpl<typename Layer::ContainedType>;
  using torch::nn::ModuleHolder<Impl>::ModuleHolder;

  /// For such nets: takes the options that Lora<Layer> takes, and has no use for them.
  template <class LayerOptions, AdapterOptions Options>
  requires std::constructible_from<Impl, LayerOptions&&> Full(LayerOptions&& layer, const Options&)
      : torch::nn::ModuleHolder<Impl>(std::make_shared<Impl>(std::forward<LayerOptions>(layer))) {}
};

}  // namespace graft
