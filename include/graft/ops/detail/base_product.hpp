#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "graft/ops/kernels/few_rows_kernels.hpp"
#include "graft/ops/detail/low_rank_products.hpp"
#include "graft/ops/detail/matrix_backend.hpp"
#include "graft/tensor/parallel.hpp"
#include "graft/ops/detail/product.hpp"
#include "graft/ops/linear.hpp"

namespace graft::detail {

// Up to so many rows a BLAS loses more by rearranging the weight than it gains by it; with two threads.
inline constexpr std::int64_t few_rows = 32, few_rows_backward = 16;

/// Whether the weight is one of bfloat16 for float32 activations.
inline bool is_narrower(const at::Tensor& weight, const at::Tensor& x) {
  return weight.scalar_type() == at::kBFloat16 && x.scalar_type() == at::kFloat;
}

/// Whether x [T, n] is few rows, and laid out with `weight` as the kernels for them want it.
inline bool has_few_rows(const at::Tensor& x, const at::Tensor& weight, std::int64_t most) {
  return x.size(0) <= most && x.scalar_type() == at::kFloat && x.is_contiguous() && weight.is_contiguous() &&
         (weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kBFloat16);
}

template <class Body>
void with_weight_data(const at::Tensor& weight, const Body& body) {
  if (weight.scalar_type() == at::kBFloat16) return body(weight.const_data_ptr<c10::BFloat16>());
  body(weight.const_data_ptr<float>());
}

/// base_product() and base_product_backward() for few rows. Each number is summed by one thread, in one order.
inline at::Tensor few_rows_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& onto) {
  const std::int64_t rows = x.size(0), n = x.size(1), out = weight.size(0);
  at::Tensor y = onto.defined() ? at::empty({rows, out}, x.options()).copy_(onto.expand({rows, out}))
                                : at::zeros({rows, out}, x.options());
  const float* from = x.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  with_weight_data(weight, [&]<class W>(const W* with) {
    parallel_for(out, (1 << 16) / std::max<std::int64_t>(rows * n, 1), [&](std::int64_t first, std::int64_t last) {
      GRAFT_SIMD_CALL(float, dot_rows<float>, from, n, rows, n, with, n, first, last, to, out);
    });
  });
  return y;
}
inline at::Tensor few_rows_product_backward(const at::Tensor& dy, const at::Tensor& weight) {
  const std::int64_t rows = dy.size(0), m = dy.size(1), n = weight.size(1);
  at::Tensor dx = at::empty({rows, n}, dy.options());
  const float* from = dy.const_data_ptr<float>();
  float* to = dx.data_ptr<float>();
  with_weight_data(weight, [&]<class W>(const W* with) {
    parallel_for(n, std::max<std::int64_t>(64, (1 << 16) / std::max<std::int64_t>(rows * m, 1)),
                 [&](std::int64_t first, std::int64_t last) {
                   GRAFT_SIMD_CALL(float, axpy_rows<float>, from, rows, m, with, n, first, last, to);
                 });
  });
  return dx;
}

inline constexpr std::int64_t widened_at_once = std::int64_t{1} << 20;

/// Calls body(first row, how many, those rows in float32) for a bfloat16 weight [out, in] in pieces that stay in the
/// caches.
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
  const auto and_more = [&](at::Tensor y) {
    add_low_rank(y, more);
    return y;
  };
  if (has_few_rows(x, weight, few_rows)) return and_more(few_rows_product(x, weight, onto));
  if (is_narrower(weight, x)) {
    if (weight.numel() <= widened_at_once) return base_product(x, weight.to(at::kFloat), onto, nullptr, more);
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    for_widened_rows(weight, [&](std::int64_t first, std::int64_t count, const at::Tensor& rows) {
      const at::Tensor share = onto.defined() ? onto.narrow(-1, first, count) : onto;
      y.narrow(1, first, count).copy_(base_product(x, rows, share, nullptr));
    });
    return and_more(y);
  }
  return MatrixChoices::instance().run(
      x, weight.size(0), cache != nullptr,
      [&] { return and_more(onto.defined() ? at::addmm(onto, x, weight.t()) : at::mm(x, weight.t())); },
      [&] {
        const bool has_bias = onto.defined() && onto.dim() == 1;
        at::Tensor y = onednn_linear(x, cache != nullptr ? cache->packed(weight, false) : weight.contiguous(),
                                     has_bias ? std::optional(onto) : std::nullopt);
        if (onto.defined() && !has_bias) y.add_(onto);
        return and_more(y);
      },
      [&] { return matrix_product<float>(x, weight.t(), onto, more); });
}

/// onto + dy [T, out] weight [out, in] + more, where `onto` is [T, in] or undefined.
inline at::Tensor base_product_backward(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& onto,
                                        WeightCache* cache, const LowRankFactors& more) {
  const auto and_more = [&](at::Tensor dx) {
    if (onto.defined()) dx.add_(onto);
    add_low_rank(dx, more);
    return dx;
  };
  if (has_few_rows(dy, weight, few_rows_backward)) return and_more(few_rows_product_backward(dy, weight));
  if (is_narrower(weight, dy)) {
    if (weight.numel() <= widened_at_once) return base_product_backward(dy, weight.to(at::kFloat), onto, nullptr, more);
    at::Tensor dx = onto;
    for_widened_rows(weight, [&](std::int64_t first, std::int64_t count, const at::Tensor& rows) {
      dx = base_product_backward(dy.narrow(1, first, count), rows, dx, nullptr, {});
    });
    add_low_rank(dx, more);
    return dx;
  }
  return MatrixChoices::instance().run(
      dy, weight.size(1), cache != nullptr, [&] { return and_more(at::mm(dy, weight)); },
      [&] {
        return and_more(
            onednn_linear(dy, cache != nullptr ? cache->packed(weight, true) : weight.t().contiguous(), std::nullopt));
      },
      [&] { return matrix_product<float>(dy, weight, onto, more); });
}

}  // namespace graft::detail
