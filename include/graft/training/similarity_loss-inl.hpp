#pragma once

#include "graft/core/error.hpp"
#include "graft/training/similarity_loss.hpp"

namespace graft {

namespace detail {

/// Throws ShapeError unless all are [N, D] and `of_each`, if defined, is [N].
GRAFT_INLINE void check_rows(std::span<const torch::Tensor> vectors, const torch::Tensor& of_each = {}) {
  for (const torch::Tensor& some : vectors)
    if (some.dim() != 2 || some.sizes() != vectors[0].sizes())
      throw ShapeError(
          message("vectors [N, D] are compared row by row, got ", vectors[0].sizes(), " and ", some.sizes()));
  if (of_each.defined() && (of_each.dim() != 1 || of_each.size(0) != vectors[0].size(0)))
    throw ShapeError(
        message("there are ", vectors[0].size(0), " rows, and what is wanted of them has the shape ", of_each.sizes()));
}

GRAFT_INLINE torch::Tensor row_cosines(const torch::Tensor& a, const torch::Tensor& b) {
  return (of_length_one(a) * of_length_one(b)).sum(1);
}

}  // namespace detail

GRAFT_INLINE Loss cosent_loss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& wanted,
                              double scale) {
  detail::check_rows(std::vector{a, b}, wanted);
  detail::check_scale(scale);
  const torch::Tensor scores = detail::row_cosines(a, b) * scale;
  // [i, j]: by how much pair i is nearer than pair j, which should be nearer.
  const torch::Tensor excess = scores.unsqueeze(1) - scores.unsqueeze(0);
  const torch::Tensor is_order = wanted.unsqueeze(1) < wanted.unsqueeze(0);
  const torch::Tensor terms = torch::cat({torch::zeros({1}, scores.options()), excess.masked_select(is_order)});
  return {terms.logsumexp({0}), 1.0};
}

GRAFT_INLINE Loss cosine_loss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& wanted) {
  detail::check_rows(std::vector{a, b}, wanted);
  return mean_squared_error(detail::row_cosines(a, b), wanted.to(a.scalar_type()));
}

GRAFT_INLINE Loss triplet_loss(const torch::Tensor& questions, const torch::Tensor& right, const torch::Tensor& wrong,
                               double margin) {
  detail::check_rows(std::vector{questions, right, wrong});
  if (!(margin >= 0)) throw OptionError(message("margin is ", margin, "; it must be 0 or more"));
  const torch::Tensor near = (questions - right).norm(2, {1}), far = (questions - wrong).norm(2, {1});
  return {torch::relu(near - far + margin).sum(), static_cast<double>(questions.size(0))};
}

GRAFT_INLINE Loss margin_mse_loss(const torch::Tensor& questions, const torch::Tensor& right,
                                  const torch::Tensor& wrong, const torch::Tensor& margins) {
  detail::check_rows(std::vector{questions, right, wrong}, margins);
  return mean_squared_error((questions * (right - wrong)).sum(1), margins.to(questions.scalar_type()));
}

GRAFT_INLINE Loss matryoshka_loss(std::span<const torch::Tensor> vectors, std::span<const MatryoshkaWidth> widths,
                                  const std::function<Loss(std::span<const torch::Tensor> cut)>& loss_of) {
  if (widths.empty()) throw OptionError("a matryoshka loss has no widths; give some, such as 128, 256 and 384");
  Loss all;
  for (const auto& [width, weight] : widths) {
    std::vector<torch::Tensor> cut;
    for (const torch::Tensor& some : vectors) {
      if (width < 1 || some.dim() != 2 || width > some.size(1))
        throw OptionError(message("width ", width, " is none of vectors ", some.sizes()));
      cut.push_back(detail::of_length_one(some.narrow(1, 0, width)));
    }
    const Loss part = loss_of(cut);
    all.sum = all.sum.defined() ? all.sum + part.sum * weight : part.sum * weight;
    all.count = part.count;
  }
  return all;
}

}  // namespace graft
