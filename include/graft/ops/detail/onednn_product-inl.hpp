#pragma once

#include <string_view>

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "graft/ops/detail/onednn_product.hpp"
#include "graft/ops/simd.hpp"

namespace graft::detail {

GRAFT_INLINE at::Tensor onednn_pack(const at::Tensor& weight) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                             .typed<at::Tensor(const at::Tensor&, std::optional<std::int64_t>)>();
  return op.call(weight, std::nullopt);
}

GRAFT_INLINE at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight,
                                      const std::optional<at::Tensor>& bias) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>)>();
  return op.call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

GRAFT_INLINE bool onednn_takes(const at::Tensor& x) {
  static const bool present = at::hasMKLDNN() &&
                              c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}) &&
                              c10::Dispatcher::singleton().findSchema({"mkldnn::_reorder_linear_weight", ""});
  return present && x.device().is_cpu() && x.numel() > 0 &&
         (x.scalar_type() == at::kFloat || (x.scalar_type() == at::kBFloat16 && widest_simd() == Simd::avx512));
}

}  // namespace graft::detail
