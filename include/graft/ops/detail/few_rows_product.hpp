#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "graft/ops/kernels/few_rows_kernels.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft::detail {

// Up to so many rows a BLAS loses more by rearranging the weight than it gains by it; with two threads.
inline constexpr std::int64_t few_rows = 32, few_rows_backward = 16;

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

}  // namespace graft::detail
