#pragma once

#include <cmath>
#include <limits>

#include <torch/nn/functional/loss.h>

#include "graft/core/error.hpp"
#include "graft/training/rerank_loss.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE void check_lists(const torch::Tensor& values, const torch::Tensor& others, const torch::Tensor& offsets) {
  if (values.dim() != 1 || others.sizes() != values.sizes())
    throw ShapeError(message("lists of passages need one number for each of P passages from both sides, got ",
                             values.sizes(), " and ", others.sizes()));
  if (offsets.dim() != 1 || offsets.size(0) < 1 || offsets.scalar_type() != torch::kInt64 || !offsets.is_cpu())
    throw ShapeError(message("offsets of lists are [L + 1] int64 on the CPU, got ", offsets.sizes(), " ",
                             c10::toString(offsets.scalar_type())));
  const auto at = offsets.accessor<std::int64_t, 1>();
  const std::int64_t lists = offsets.size(0) - 1;
  if (at[0] != 0 || at[lists] != values.size(0))
    throw ShapeError(message("offsets of lists go from ", at[0], " to ", at[lists], ", but there are ", values.size(0),
                             " passages; they go from 0 to that"));
  for (std::int64_t l = 0; l < lists; ++l)
    if (at[l + 1] <= at[l]) throw ShapeError(message("list ", l, " has no passage; leave it out"));
}

/// log softmax(values) within each list: [P] -> [P].
GRAFT_INLINE torch::Tensor list_log_softmax(const torch::Tensor& values, const torch::Tensor& offsets) {
  if (values.size(0) == 0) return values;
  const torch::Tensor sizes = offsets.diff();
  const torch::Tensor list = torch::repeat_interleave(sizes);
  const torch::Tensor place = torch::arange(values.size(0), torch::kInt64) - offsets.index_select(0, list);
  const c10::List<std::optional<torch::Tensor>> at{list.to(values.device()), place.to(values.device())};
  torch::Tensor table = torch::full({sizes.size(0), sizes.max().item<std::int64_t>()},
                                    -std::numeric_limits<double>::infinity(), values.options());
  return table.index_put(at, values).log_softmax(1).index(at);
}

}  // namespace detail

GRAFT_INLINE Loss pointwise_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets,
                                          const PointwiseOptions& options) {
  if (logits.dim() != 1 || targets.sizes() != logits.sizes())
    throw ShapeError(message("binary cross-entropy needs logits [N] and targets [N], got ", logits.sizes(), " and ",
                             targets.sizes()));
  if (!(options.positive_weight > 0) || !std::isfinite(options.positive_weight))
    throw OptionError(message("positive_weight is ", options.positive_weight, "; choose a number above 0"));
  const auto sum = torch::nn::functional::binary_cross_entropy_with_logits(
      logits, targets.to(logits.scalar_type()),
      torch::nn::functional::BinaryCrossEntropyWithLogitsFuncOptions()
          .pos_weight(torch::full({}, options.positive_weight, logits.options().requires_grad(false)))
          .reduction(torch::kSum));
  return {sum, static_cast<double>(targets.numel())};
}

GRAFT_INLINE Loss listwise_cross_entropy(const torch::Tensor& logits, const torch::Tensor& grades,
                                         const torch::Tensor& offsets, const ListwiseOptions& options) {
  detail::check_lists(logits, grades, offsets);
  if (!(options.grade_scale > 0) || !std::isfinite(options.grade_scale))
    throw OptionError(message("grade_scale is ", options.grade_scale, "; choose a number above 0"));
  const torch::Tensor targets =
      detail::list_log_softmax(grades.detach().to(logits.scalar_type()) * options.grade_scale, offsets).exp();
  return {-(targets * detail::list_log_softmax(logits, offsets)).sum(), static_cast<double>(offsets.size(0) - 1)};
}

GRAFT_INLINE Loss listwise_margin_error(const torch::Tensor& scores, const torch::Tensor& teacher,
                                        const torch::Tensor& offsets) {
  detail::check_lists(scores, teacher, offsets);
  const torch::Tensor sizes = offsets.diff();
  const torch::Tensor first = offsets.slice(0, 0, -1).index_select(0, torch::repeat_interleave(sizes));
  const torch::Tensor others = (torch::arange(scores.size(0), torch::kInt64) != first).nonzero().squeeze(1);
  const auto margins = [&](const torch::Tensor& values) {
    return values.index_select(0, first.index_select(0, others).to(values.device())) -
           values.index_select(0, others.to(values.device()));
  };
  return mean_squared_error(margins(scores), margins(teacher.detach().to(scores.scalar_type())));
}

}  // namespace graft
