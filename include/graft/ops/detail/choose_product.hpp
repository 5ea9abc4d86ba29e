#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include "graft/core/mode.hpp"
#include "graft/ops/matrix_backend.hpp"

namespace graft::detail {

/// The ways to a product of activations x [T, n] with a weight.
enum class ProductWay {
  few_rows,  ///< graft's kernels that read the weight as it lies: few_rows_product.hpp
  widened,   ///< a bfloat16 weight beside float32 activations, a float32 copy of some rows at a time
  torch,     ///< LibTorch's mm
  onednn,    ///< onednn_product.hpp
  blocked,   ///< graft's kernels that copy both in blocks: blocked_product.hpp
};

/// A product, as far as the choice depends on it.
struct ProductShape {
  const at::Tensor& x;       ///< [T, n]
  const at::Tensor& weight;  ///< of x's type, or bfloat16 where x is float32
  std::int64_t results;      ///< numbers to a row of the product
  std::int64_t few;          ///< so many rows count as few
  bool packed;               ///< whether oneDNN finds the weight packed
};

/// Decides who multiplies: by the layout, then by matrix_backend(). `run` multiplies one way; it is only called under
/// MatrixBackend::measured, for the first product of a shape, to be timed.
ProductWay choose_product(const ProductShape& product, c10::function_ref<void(ProductWay)> run);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/ops/detail/choose_product-inl.hpp"
#endif
