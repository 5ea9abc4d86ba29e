#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "graft/core/error.hpp"
#include "graft/ops/activation_checkpoint.hpp"
#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/token_log_probabilities.hpp"
#include "graft/tensor/generator_state.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor all_log_probabilities(const at::Tensor& logits) {
  const at::ScalarType wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::log_softmax(logits, -1, wide);
}

GRAFT_INLINE at::Tensor plain_token_log_probabilities(const at::Tensor& hidden, const at::Tensor& targets,
                                                      const LanguageHead& head) {
  return all_log_probabilities(head(hidden)).gather(1, targets.unsqueeze(1)).squeeze(1);
}

/// Scales the kept gradient of each row by what its result got.
class KeptRowGradients : public torch::autograd::Function<KeptRowGradients> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& /*hidden*/,
                            const at::Tensor& values, const at::Tensor& gradients) {
    context->save_for_backward({gradients});
    return values.clone();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivative("token_log_probabilities");
    const at::Tensor kept = context->get_saved_variables()[0];
    return {kept * grads[0].to(kept.scalar_type()).unsqueeze(1), {}, {}};
  }
};

/// The results of all rows and their gradients by the hidden states; nothing if the head trains something.
GRAFT_INLINE std::optional<std::pair<at::Tensor, at::Tensor>> rows_of_frozen_head(const at::Tensor& hidden,
                                                                                  const at::Tensor& targets,
                                                                                  const LanguageHead& head,
                                                                                  std::int64_t rows) {
  std::vector<at::Tensor> values;
  at::Tensor gradients;
  for (std::int64_t first = 0; first < hidden.size(0); first += rows) {
    const std::int64_t count = std::min(rows, hidden.size(0) - first);
    const at::Tensor own = hidden.detach().narrow(0, first, count).requires_grad_(hidden.requires_grad());
    const at::Tensor index = targets.narrow(0, first, count).unsqueeze(1), logits = head(own);
    if (first == 0 && !trained_leaves(logits, {own}).empty()) return std::nullopt;
    at::Tensor change = all_log_probabilities(logits.detach());
    values.push_back(change.gather(1, index).squeeze(1));
    if (!logits.requires_grad()) continue;
    // By the logits: one at the target, less the probabilities.
    change.exp_().neg_();
    change.scatter_add_(1, index, at::ones_like(index, change.options()));
    const auto gradient = torch::autograd::grad({logits}, {own}, {change.to(logits.scalar_type())});
    if (!gradients.defined()) gradients = at::empty(hidden.sizes(), gradient[0].options());
    gradients.narrow(0, first, count).copy_(gradient[0]);
  }
  return std::pair(at::cat(values), gradients);
}

}  // namespace detail

GRAFT_INLINE at::Tensor token_log_probabilities(const at::Tensor& hidden, const at::Tensor& targets,
                                                const LanguageHead& head, std::int64_t rows) {
  if (hidden.dim() != 2 || targets.dim() != 1 || hidden.size(0) != targets.size(0) ||
      targets.scalar_type() != at::kLong)
    throw ShapeError(message("a language head needs hidden states [M, D] and targets [M] of int64, got ",
                             hidden.sizes(), " and ", targets.sizes(), " of ", targets.scalar_type()));
  if (rows < 1) throw OptionError(message("logits of ", rows, " rows at a time; take 1 or more"));
  if (hidden.size(0) == 0) return detail::plain_token_log_probabilities(hidden, targets, head);
  const GeneratorState before = GeneratorState::now();
  if (const auto made = detail::rows_of_frozen_head(hidden, targets, head, rows)) {
    const auto& [values, gradients] = *made;
    return gradients.defined() ? detail::KeptRowGradients::apply(hidden, values, gradients) : values;
  }
  before.restore();
  std::vector<at::Tensor> values;
  const std::vector<at::Tensor> parts = hidden.split(rows), wanted = targets.split(rows);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    values.push_back(checkpointed(
        [head, target = wanted[i]](const at::Tensor& part) {
          return detail::plain_token_log_probabilities(part, target, head);
        },
        parts[i]));
  }
  return at::cat(values);
}

}  // namespace graft
