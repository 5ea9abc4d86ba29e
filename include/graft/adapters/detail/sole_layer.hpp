#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "graft/adapters/layer_adapter.hpp"

namespace graft::detail {

/// What adapters that are not of low rank do to a layer: IA3 and token rows, each alone in its layer.
///
///   ia3_shape(layer, side)          of IA3's factors in files; empty for a layer type without
///   output(x, adapter, plain)       plain(x) is the layer's own output
///   folded(weight, adapter)         the weight with the adapter in it; an IA3's bias is the caller's
///
/// A layer type without a specialisation has neither kind of adapter.
template <class Impl>
struct SoleLayer {
  static std::vector<std::int64_t> ia3_shape(const Impl&, Ia3Side) { return {}; }
  template <class Plain>
  static torch::Tensor output(const torch::Tensor& x, const LayerAdapter&, const Plain& plain) {
    return plain(x);
  }
  static torch::Tensor folded(const torch::Tensor& weight, const LayerAdapter&) { return weight; }
};

/// y = factors * plain(x), or plain(factors * x); `factors` in the shape in which they multiply both.
template <class Plain>
torch::Tensor ia3_output(const torch::Tensor& x, const Ia3Adapter& adapter, const torch::Tensor& factors,
                         const Plain& plain) {
  if (adapter.side == Ia3Side::input) return plain((x * factors).to(x.scalar_type()));
  const torch::Tensor y = plain(x);
  return (y * factors).to(y.scalar_type());
}

template <>
struct SoleLayer<torch::nn::LinearImpl> {
  static std::vector<std::int64_t> ia3_shape(const torch::nn::LinearImpl& layer, Ia3Side side) {
    return side == Ia3Side::output ? std::vector<std::int64_t>{layer.weight.size(0), 1}
                                   : std::vector<std::int64_t>{1, layer.weight.size(1)};
  }
  template <class Plain>
  static torch::Tensor output(const torch::Tensor& x, const LayerAdapter& adapter, const Plain& plain) {
    const auto& ia3 = dynamic_cast<const Ia3Adapter&>(adapter);
    return ia3_output(x, ia3, ia3.ia3_l.flatten(), plain);
  }
  static torch::Tensor folded(const torch::Tensor& weight, const LayerAdapter& adapter) {
    return weight * dynamic_cast<const Ia3Adapter&>(adapter).ia3_l.to(weight.scalar_type());
  }
};

template <std::size_t D, class Impl>
struct SoleConv {
  static std::vector<std::int64_t> ia3_shape(const Impl& layer, Ia3Side side) {
    if (layer.options.groups() != 1) return {};
    std::vector<std::int64_t> sizes(D + 2, 1);
    sizes[1] = layer.weight.size(side == Ia3Side::output ? 0 : 1);
    return sizes;
  }
  template <class Plain>
  static torch::Tensor output(const torch::Tensor& x, const LayerAdapter& adapter, const Plain& plain) {
    const auto& ia3 = dynamic_cast<const Ia3Adapter&>(adapter);
    return ia3_output(x, ia3, ia3.ia3_l.squeeze(0), plain);
  }
  static torch::Tensor folded(const torch::Tensor& weight, const LayerAdapter& adapter) {
    const auto& ia3 = dynamic_cast<const Ia3Adapter&>(adapter);
    const torch::Tensor factors = ia3.side == Ia3Side::output ? ia3.ia3_l.transpose(0, 1) : ia3.ia3_l;
    return weight * factors.to(weight.scalar_type());
  }
};

template <>
struct SoleLayer<torch::nn::Conv1dImpl> : SoleConv<1, torch::nn::Conv1dImpl> {};
template <>
struct SoleLayer<torch::nn::Conv2dImpl> : SoleConv<2, torch::nn::Conv2dImpl> {};

template <>
struct SoleLayer<torch::nn::EmbeddingImpl> {
  static std::vector<std::int64_t> ia3_shape(const torch::nn::EmbeddingImpl&, Ia3Side) { return {}; }
  template <class Plain>
  static torch::Tensor output(const torch::Tensor& ids, const LayerAdapter& adapter, const Plain& plain) {
    const auto& rows = dynamic_cast<const TokenRowsAdapter&>(adapter);
    const auto [tokens, order] = torch::tensor(rows.tokens, torch::kLong).to(ids.device()).sort();
    const torch::Tensor flat = ids.flatten().to(torch::kLong);
    const torch::Tensor place = torch::searchsorted(tokens, flat).clamp_max(tokens.size(0) - 1);
    const torch::Tensor own = (tokens.index_select(0, place) == flat).view(ids.sizes()).unsqueeze(-1);
    const torch::Tensor y = plain(ids);
    const torch::Tensor values =
        rows.trainable_tokens_delta.index_select(0, order.index_select(0, place)).view(y.sizes());
    return torch::where(own, values.to(y.scalar_type()), y);
  }
  static torch::Tensor folded(const torch::Tensor& weight, const LayerAdapter& adapter) {
    const auto& rows = dynamic_cast<const TokenRowsAdapter&>(adapter);
    const torch::Tensor tokens = torch::tensor(rows.tokens, torch::kLong).to(weight.device());
    return weight.index_copy(0, tokens, rows.trainable_tokens_delta.to(weight.scalar_type()));
  }
};

}  // namespace graft::detail
