#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "graft/ops/detail/blocked_product.hpp"
#include "graft/ops/detail/choose_product.hpp"
#include "graft/ops/detail/few_rows_product.hpp"
#include "graft/ops/detail/low_rank_products.hpp"
#include "graft/ops/detail/onednn_product.hpp"
#include "graft/ops/linear.hpp"

namespace graft::detail {

inline constexpr std::int64_t widened_at_once = std::int64_t{1} << 20;  // elements that stay in the caches

/// Calls body(first row, how many, those rows in float32) for a bfloat16 weight [out, in], piece by piece.
template <class Body>
void for_widened_rows(const at::Tensor& weight, const Body& body) {
  const std::int64_t out = weight.size(0);
  const std::int64_t step = std::max<std::int64_t>(widened_at_once / std::max<std::int64_t>(weight.size(1), 1), 16);
  for (std::int64_t first = 0; first < out; first += step) {
    const std::int64_t count = std::min(step, out - first);
    body(first, count, weight.narrow(0, first, count).to(at::kFloat));
  }
}

/// onto + x [T, in] weight [out, in]^T + more, where `onto` is [out], [T, out] or undefined. The weight is of x's type,
/// or bfloat16 where x is float32.
inline at::Tensor base_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& onto,
                               WeightCache* cache, const LowRankFactors& more = {}) {
  const auto widened = [&] {
    if (weight.numel() <= widened_at_once) return base_product(x, weight.to(at::kFloat), onto, nullptr, more);
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    for_widened_rows(weight, [&](std::int64_t first, std::int64_t count, const at::Tensor& rows) {
      const at::Tensor share = onto.defined() ? onto.narrow(-1, first, count) : onto;
      y.narrow(1, first, count).copy_(base_product(x, rows, share, nullptr));
    });
    add_low_rank(y, more);
    return y;
  };
  const auto onednn = [&] {
    const bool has_bias = onto.defined() && onto.dim() == 1;
    at::Tensor y = onednn_linear(x, cache != nullptr ? cache->packed(weight, false) : weight.contiguous(),
                                 has_bias ? std::optional(onto) : std::nullopt);
    if (onto.defined() && !has_bias) y.add_(onto);
    return y;
  };
  const auto multiply = [&](ProductWay way) {
    if (way == ProductWay::blocked) return matrix_product<float>(x, weight.t(), onto, more);
    if (way == ProductWay::widened) return widened();
    at::Tensor y = way == ProductWay::few_rows ? few_rows_product(x, weight, onto)
                   : way == ProductWay::onednn ? onednn()
                   : onto.defined()            ? at::addmm(onto, x, weight.t())
                                               : at::mm(x, weight.t());
    add_low_rank(y, more);
    return y;
  };
  return multiply(
      choose_product({x, weight, weight.size(0), few_rows, cache != nullptr}, [&](ProductWay way) { multiply(way); }));
}

/// onto + dy [T, out] weight [out, in] + more, where `onto` is [T, in] or undefined.
inline at::Tensor base_product_backward(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& onto,
                                        WeightCache* cache, const LowRankFactors& more = {}) {
  const auto widened = [&] {
    if (weight.numel() <= widened_at_once) return base_product_backward(dy, weight.to(at::kFloat), onto, nullptr, more);
    at::Tensor dx = onto;
    for_widened_rows(weight, [&](std::int64_t first, std::int64_t count, const at::Tensor& rows) {
      dx = base_product_backward(dy.narrow(1, first, count), rows, dx, nullptr);
    });
    add_low_rank(dx, more);
    return dx;
  };
  const auto onednn = [&] {
    return onednn_linear(dy, cache != nullptr ? cache->packed(weight, true) : weight.t().contiguous(), std::nullopt);
  };
  const auto multiply = [&](ProductWay way) {
    if (way == ProductWay::blocked) return matrix_product<float>(dy, weight, onto, more);
    if (way == ProductWay::widened) return widened();
    at::Tensor dx = way == ProductWay::few_rows ? few_rows_product_backward(dy, weight)
                    : way == ProductWay::onednn ? onednn()
                                                : at::mm(dy, weight);
    if (onto.defined()) dx.add_(onto);
    add_low_rank(dx, more);
    return dx;
  };
  return multiply(choose_product({dy, weight, weight.size(1), few_rows_backward, cache != nullptr},
                                 [&](ProductWay way) { multiply(way); }));
}

}  // namespace graft::detail
