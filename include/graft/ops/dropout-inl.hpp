#pragma once

#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/detail/dropout_bits.hpp"
#include "graft/ops/dropout.hpp"
#include "graft/ops/kernels/row_kernels.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor plain_dropout(const at::Tensor& x, double p) { return at::dropout(x, p, /*train=*/true); }

/// Rows of D elements with their keep bits: words of 64 elements, a whole number of words for each row.
struct KeptRows {
  std::int64_t rows, columns, words;

  explicit KeptRows(const at::Tensor& x)
      : rows(x.dim() == 0 ? 1 : x.numel() / std::max<std::int64_t>(x.size(-1), 1)),
        columns(x.dim() == 0 ? 1 : x.size(-1)),
        words((columns + 63) / 64) {}

  /// Rows that make a thread worth its start.
  std::int64_t grain() const { return (1 << 14) / std::max<std::int64_t>(columns, 1); }
};

/// scale x where kept; `fresh` draws the bits of a row before they are used.
template <class Fresh>
at::Tensor keep_rows(const at::Tensor& x, const at::Tensor& bits, double scale, const Fresh& fresh) {
  const KeptRows layout(x);
  at::Tensor y = at::empty(x.sizes(), x.options());
  auto* words = static_cast<std::uint64_t*>(bits.data_ptr());
  with_element_type(x.scalar_type(), [&]<class S>() {
    const S* from = static_cast<const S*>(x.const_data_ptr());
    S* to = static_cast<S*>(y.data_ptr());
    parallel_for(layout.rows, layout.grain(), [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        fresh(words, row * layout.words, (row + 1) * layout.words);
        GRAFT_SIMD_CALL(S, copy_kept, from + row * layout.columns, layout.columns, words + row * layout.words,
                        static_cast<compute_t<S>>(scale), to + row * layout.columns);
      }
    });
  });
  return y;
}

class DropoutFunction : public torch::autograd::Function<DropoutFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, double p) {
    const DropoutBits drawn = draw_dropout(p);
    const KeptRows layout(x);
    const at::Tensor bits = at::empty({layout.rows * layout.words}, at::kLong);
    context->save_for_backward({bits});
    context->saved_data["scale"] = drawn.keep_scale();
    return keep_rows(x.contiguous(), bits, drawn.keep_scale(),
                     [&](std::uint64_t* words, std::int64_t first, std::int64_t last) {
                       GRAFT_SIMD_CALL(float, keep_bits, words, first, last, drawn.key, drawn.threshold);
                     });
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivative("dropout");
    const auto saved = context->get_saved_variables();
    return {keep_rows(grads[0].contiguous(), saved[0], context->saved_data["scale"].toDouble(), [](auto...) {}), {}};
  }
};

}  // namespace detail

GRAFT_INLINE at::Tensor dropout(const at::Tensor& x, double p) {
  detail::check_dropout(p);
  if (p == 0.0) return x;
  return detail::has_kernel(x) ? detail::DropoutFunction::apply(x, p) : detail::plain_dropout(x, p);
}

}  // namespace graft
