#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/gelu.hpp"
#include "graft/ops/kernels/gelu_kernels.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor plain_gelu(const at::Tensor& x) { return at::gelu(x); }

class GeluFunction : public torch::autograd::Function<GeluFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& any) {
    const at::Tensor x = any.contiguous();
    context->save_for_backward({x});
    at::Tensor y = at::empty(x.sizes(), x.options());
    with_element_type(x.scalar_type(), [&]<class S>() {
      const S* from = static_cast<const S*>(x.const_data_ptr());
      S* to = static_cast<S*>(y.data_ptr());
      parallel_for(x.numel(), grain, [&](std::int64_t first, std::int64_t last) {
        GRAFT_SIMD_CALL(S, gelu_row, from + first, last - first, to + first);
      });
    });
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivative("gelu");
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor dy = grads[0].contiguous();
    at::Tensor dx = at::empty(x.sizes(), x.options());
    with_element_type(x.scalar_type(), [&]<class S>() {
      const S* from = static_cast<const S*>(x.const_data_ptr());
      const S* grad = static_cast<const S*>(dy.const_data_ptr());
      S* to = static_cast<S*>(dx.data_ptr());
      parallel_for(x.numel(), grain, [&](std::int64_t first, std::int64_t last) {
        GRAFT_SIMD_CALL(S, gelu_row_backward, from + first, grad + first, last - first, to + first);
      });
    });
    return {dx};
  }

 private:
  static constexpr std::int64_t grain = 1 << 13;  // elements that make a thread worth its start
};

}  // namespace detail

GRAFT_INLINE at::Tensor gelu(const at::Tensor& x) {
  return detail::has_kernel(x) ? detail::GeluFunction::apply(x) : detail::plain_gelu(x);
}

}  // namespace graft
