#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "graft/tensor/detail/few_rows_kernels.hpp"
#include "graft/tensor/detail/matrix_backend.hpp"
#include "graft/tensor/detail/parallel.hpp"
#include "graft/tensor/linear.hpp"

namespace graft::detail {

// Up to so many rows a BLAS loses more by rearranging the weight than it gains by it; with two threads.
inline constexpr std::int64_t few_rows = 32, few_rows_backward = 16;

/// Whether x [T, n] is few rows, and laid out with `weight` as the kernels for them want it.
inline bool has_few_rows(const at::Tensor& x, const at::Tensor& weight, std::int64_t most) {
  return x.size(0) <= most && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         x.is_contiguous() && weight.is_contiguous();
}

/// base_product() and base_product_backward() for few rows. Each number is summed by one thread, in one order.
inline at::Tensor few_rows_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const std::int64_t rows = x.size(0), n = x.size(1), out = weight.size(0);
  at::Tensor y = at::zeros({rows, out}, x.options());
  if (bias.defined()) y.copy_(bias.expand({rows, out}));
  const float* from = x.const_data_ptr<float>();
  const float* with = weight.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  parallel_for(out, (1 << 16) / std::max<std::int64_t>(rows * n, 1), [&](std::int64_t first, std::int64_t last) {
    GRAFT_SIMD_CALL(float, dot_rows<float>, from, rows, n, with, first, last, to, out);
  });
  return y;
}
inline at::Tensor few_rows_product_backward(const at::Tensor& dy, const at::Tensor& weight) {
  const std::int64_t rows = dy.size(0), m = dy.size(1), n = weight.size(1);
  at::Tensor dx = at::empty({rows, n}, dy.options());
  const float* from = dy.const_data_ptr<float>();
  const float* with = weight.const_data_ptr<float>();
  float* to = dx.data_ptr<float>();
  parallel_for(n, std::max<std::int64_t>(64, (1 << 16) / std::max<std::int64_t>(rows * m, 1)),
               [&](std::int64_t first, std::int64_t last) {
                 GRAFT_SIMD_CALL(float, axpy_rows<float>, from, rows, m, with, n, first, last, to);
               });
  return dx;
}

/// x [T, in] weight [out, in]^T + bias.
inline at::Tensor base_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                               WeightCache* cache) {
  return MatrixChoices::instance().run(
      x, weight.size(0), cache != nullptr,
      [&] {
        if (has_few_rows(x, weight, few_rows)) return few_rows_product(x, weight, bias);
        return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
      },
      [&] {
        const std::optional<at::Tensor> b = bias.defined() ? std::optional(bias) : std::nullopt;
        return onednn_linear(x, cache != nullptr ? cache->packed(weight, false) : weight.contiguous(), b);
      });
}

/// dy [T, out] weight [out, in].
inline at::Tensor base_product_backward(const at::Tensor& dy, const at::Tensor& weight, WeightCache* cache) {
  return MatrixChoices::instance().run(
      dy, weight.size(1), cache != nullptr,
      [&] {
        if (has_few_rows(dy, weight, few_rows_backward)) return few_rows_product_backward(dy, weight);
        return at::mm(dy, weight);
      },
      [&] {
        return onednn_linear(dy, cache != nullptr ? cache->packed(weight, true) : weight.t().contiguous(),
                             std::nullopt);
      });
}

}  // namespace graft::detail
