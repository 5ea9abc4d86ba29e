#pragma once

#include "graft/training/step.hpp"

namespace graft {
namespace detail {

/// Makes float32 of 16-bit gradients: backward adds to a gradient in the gradient's own type.
GRAFT_INLINE void widen_gradients(const NamedTensors& parameters) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parameters) {
    torch::Tensor& gradient = tensor.mutable_grad();
    if (gradient.defined() && gradient.element_size() < 4) gradient = gradient.to(torch::kFloat);
  }
}

}  // namespace detail

GRAFT_INLINE StepGradients make_gradients(Optimizer& optimizer, std::size_t batches,
                                          const std::function<Loss(std::size_t)>& loss_of, double clip_norm) {
  optimizer.zero_grad();
  Loss all;
  for (std::size_t i = 0; i < batches; ++i) {
    const Loss loss = loss_of(i);
    if (!loss.sum.defined()) continue;
    loss.sum.backward();
    if (batches > 1) detail::widen_gradients(optimizer.parameters());
    if (!all.sum.defined()) {
      all = {loss.sum.detach(), loss.count};
    } else {
      all = {all.sum.to(torch::kDouble) + loss.sum.detach(), all.count.plus(loss.count)};
    }
  }
  if (!all.sum.defined()) return {};
  return {all, gradient_scale(optimizer.parameters(), all.count, clip_norm)};
}

}  // namespace graft
