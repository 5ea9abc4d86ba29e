#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "graft/core/error.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft::detail {

/// Refuses a second derivative, which the fused operations do not have; without this it would come out as zero unseen.
inline void refuse_second_derivative(const char* operation) {
  if (at::GradMode::is_enabled()) {
    throw StateError(message(operation, " has no second derivative; run backward with create_graph = false"));
  }
}

/// True if the kernels of this folder take tensors like `x`: on the CPU, of one of the types they are written for.
inline bool has_kernel(const at::Tensor& x) {
  return x.device().is_cpu() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble || x.scalar_type() == at::kBFloat16);
}

/// Calls body.template operator()<S>() with the C++ type of the elements of a tensor for which has_kernel() holds.
template <class Body>
auto with_element_type(at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kFloat:
      return body.template operator()<float>();
    case at::kDouble:
      return body.template operator()<double>();
    default:
      return body.template operator()<c10::BFloat16>();
  }
}

}  // namespace graft::detail
