#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/detail/dropout_bits.hpp"
#include "graft/ops/dropout.hpp"
#include "graft/ops/kernels/layer_norm_kernels.hpp"
#include "graft/ops/layer_norm.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor plain_add_norm(const at::Tensor& x, const std::optional<at::Tensor>& residual,
                                       const at::Tensor& weight, const at::Tensor& bias, double eps, double p) {
  at::Tensor total = p > 0.0 ? plain_dropout(x, p) : x;
  if (residual) total = *residual + total;
  return at::layer_norm(total, weight.sizes(), weight, bias, eps);
}

/// `residual` may be undefined.
class AddNormFunction : public torch::autograd::Function<AddNormFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& any_x,
                            const std::optional<at::Tensor>& any_residual, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, double p) {
    const at::Tensor x = any_x.contiguous();
    const at::Tensor residual = any_residual ? any_residual->contiguous() : at::Tensor();
    const DropoutBits drawn = draw_dropout(p);
    const std::int64_t n = weight.size(0), rows = x.numel() / n, words = (n + 63) / 64;
    const auto number = x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
    at::Tensor y = at::empty(x.sizes(), x.options()), moments = at::empty({rows, 2}, number), bits;
    // Without residual and dropout the sum is x itself.
    const bool sums = residual.defined() || drawn.active();
    at::Tensor total = sums ? at::empty(x.sizes(), x.options()) : x;
    if (drawn.active()) bits = at::empty({rows, words}, at::kLong);
    with_element_type(x.scalar_type(), [&]<class S>() {
      using T = compute_t<S>;
      const S* from = static_cast<const S*>(x.const_data_ptr());
      const S* add = residual.defined() ? static_cast<const S*>(residual.const_data_ptr()) : nullptr;
      const at::Tensor dense_weight = weight.contiguous(), dense_bias = bias.contiguous();
      const S* by = static_cast<const S*>(dense_weight.const_data_ptr());
      const S* plus = static_cast<const S*>(dense_bias.const_data_ptr());
      auto* kept = bits.defined() ? static_cast<std::uint64_t*>(bits.data_ptr()) : nullptr;
      S* sum = sums ? static_cast<S*>(total.data_ptr()) : nullptr;
      S* to = static_cast<S*>(y.data_ptr());
      T* moment = moments.data_ptr<T>();
      parallel_for(rows, grain / n, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
          const std::int64_t at = row * n;
          if (kept != nullptr) {
            GRAFT_SIMD_CALL(float, keep_bits, kept, row* words, (row + 1) * words, drawn.key, drawn.threshold);
          }
          // Where no sum is kept, y is room for it until the row is normalised.
          const auto [mean, inverse] =
              GRAFT_SIMD_CALL(S, add_norm_row, from + at, add == nullptr ? nullptr : add + at, n,
                              kept == nullptr ? nullptr : kept + row * words, static_cast<T>(drawn.keep_scale()), by,
                              plus, static_cast<T>(eps), sum == nullptr ? to + at : sum + at, to + at);
          moment[2 * row] = mean;
          moment[2 * row + 1] = inverse;
        }
      });
    });
    context->save_for_backward({total, moments, weight, bits});
    context->saved_data["scale"] = drawn.keep_scale();
    context->saved_data["residual"] = residual.defined();
    context->saved_data["train"] = weight.requires_grad() || bias.requires_grad();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivative("layer_norm");
    const auto saved = context->get_saved_variables();
    const at::Tensor &total = saved[0], &moments = saved[1], &bits = saved[3];
    const at::Tensor weight = saved[2].contiguous(), dy = grads[0].contiguous();
    const bool train = context->saved_data["train"].toBool();
    const double scale = context->saved_data["scale"].toDouble();
    const std::int64_t n = weight.size(0), rows = total.numel() / n, words = (n + 63) / 64;
    // Rows go to the threads in this many runs, whatever their number: sums come out the same with any of them.
    const std::int64_t runs = std::min<std::int64_t>(16, std::max<std::int64_t>(rows * n / grain, 1));
    at::Tensor dtotal = at::empty(total.sizes(), total.options()), dx = dtotal;
    if (bits.defined()) dx = at::empty(total.sizes(), total.options());
    at::Tensor dweight, dbias;
    if (train) {
      dweight = at::zeros({runs, n}, moments.options());
      dbias = at::zeros({runs, n}, moments.options());
    }
    with_element_type(total.scalar_type(), [&]<class S>() {
      using T = compute_t<S>;
      const S* grad = static_cast<const S*>(dy.const_data_ptr());
      const S* sum = static_cast<const S*>(total.const_data_ptr());
      const S* by = static_cast<const S*>(weight.const_data_ptr());
      const auto* kept = bits.defined() ? static_cast<const std::uint64_t*>(bits.const_data_ptr()) : nullptr;
      const T* moment = moments.const_data_ptr<T>();
      S* to = static_cast<S*>(dtotal.data_ptr());
      S* to_x = bits.defined() ? static_cast<S*>(dx.data_ptr()) : nullptr;
      T* to_weight = train ? dweight.data_ptr<T>() : nullptr;
      T* to_bias = train ? dbias.data_ptr<T>() : nullptr;
      parallel_for(runs, 1, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t run = first; run < last; ++run) {
          for (std::int64_t row = rows * run / runs; row < rows * (run + 1) / runs; ++row) {
            const std::int64_t at = row * n;
            GRAFT_SIMD_CALL(S, add_norm_row_backward, grad + at, sum + at, n,
                            kept == nullptr ? nullptr : kept + row * words, static_cast<T>(scale), by, moment[2 * row],
                            moment[2 * row + 1], to + at, to_x == nullptr ? nullptr : to_x + at,
                            train ? to_weight + run * n : nullptr, train ? to_bias + run * n : nullptr);
          }
        }
      });
    });
    if (train) {
      dweight = dweight.sum(0).to(weight.scalar_type());
      dbias = dbias.sum(0).to(weight.scalar_type());
    }
    return {dx, context->saved_data["residual"].toBool() ? dtotal : at::Tensor(), dweight, dbias, {}, {}};
  }

 private:
  static constexpr std::int64_t grain = 1 << 13;  // elements that make a thread worth its start
};

GRAFT_INLINE at::Tensor checked_add_norm(const at::Tensor& x, const std::optional<at::Tensor>& residual,
                                         const at::Tensor& weight, const at::Tensor& bias, double eps, double p) {
  check_dropout(p);
  if (weight.dim() != 1 || x.dim() == 0 || x.size(-1) != weight.size(0) || weight.size(0) < 1 ||
      bias.sizes() != weight.sizes() || (residual && residual->sizes() != x.sizes())) {
    throw ShapeError(message("a layer norm got x ", x.sizes(), ", residual ",
                             residual ? residual->sizes() : at::IntArrayRef{}, ", weight ", weight.sizes(), ", bias ",
                             bias.sizes(), "; it wants x and residual [..., D], weight and bias [D]"));
  }
  const bool one_type = weight.scalar_type() == x.scalar_type() && bias.scalar_type() == x.scalar_type() &&
                        (!residual || residual->scalar_type() == x.scalar_type());
  if (has_kernel(x) && one_type && weight.device().is_cpu() && (!residual || residual->device().is_cpu())) {
    return AddNormFunction::apply(x, residual, weight, bias, eps, p);
  }
  return plain_add_norm(x, residual, weight, bias, eps, p);
}

}  // namespace detail

GRAFT_INLINE at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  return detail::checked_add_norm(x, std::nullopt, weight, bias, eps, 0.0);
}

GRAFT_INLINE at::Tensor add_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                                 const at::Tensor& bias, double eps, double p) {
  return detail::checked_add_norm(x, residual, weight, bias, eps, p);
}

}  // namespace graft
