#pragma once

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include <torch/autograd.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/functional/normalization.h>

#include "graft/core/error.hpp"
#include "graft/training/ranking_loss.hpp"

namespace graft {

namespace detail {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/// x / |x| by rows, as torch.nn.functional.normalize has it.
GRAFT_INLINE torch::Tensor of_length_one(const torch::Tensor& x) {
  return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
}

GRAFT_INLINE void check_scale(double scale) {
  if (!(scale > 0) || scale == std::numeric_limits<double>::infinity())
    throw OptionError(message("scale is ", scale, "; it must be above 0 and finite, such as 20"));
}

/// log(sum(exp)) of scores [N, M] by blocks of columns, and the mean of the vectors that the softmax weighs.
struct OnlineSoftmax {
  torch::Tensor largest, sum, weighed;  // [N, 1], [N, 1], [N, D]

  explicit OnlineSoftmax(const torch::Tensor& questions)
      : largest(torch::full({questions.size(0), 1}, minus_infinity, questions.options())),
        sum(torch::zeros_like(largest)),
        weighed(torch::zeros_like(questions)) {}

  /// Scores [N, m] of vectors [m, D].
  void add(const torch::Tensor& scores, const torch::Tensor& vectors) {
    const torch::Tensor now = torch::maximum(largest, scores.amax({1}, /*keepdim=*/true));
    // Where nothing was a rival yet there is nothing to rescale either.
    const torch::Tensor base = torch::where(now == minus_infinity, torch::zeros_like(now), now);
    const torch::Tensor rescale = (largest - base).exp(), shares = (scores - base).exp();
    sum = sum * rescale + shares.sum({1}, /*keepdim=*/true);
    weighed = (weighed * rescale).addmm(shares, vectors);
    largest = now;
  }

  torch::Tensor log_sum() const { return (largest + sum.log()).squeeze(1); }
};

/// questions [N, D] -> [N], given what the blocks came to: values and the gradient of each by its question.
class StoredSoftmaxFunction : public torch::autograd::Function<StoredSoftmaxFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& questions,
                               const torch::Tensor& losses, const torch::Tensor& gradients) {
    (void)questions;
    context->save_for_backward({gradients});
    return losses.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0].unsqueeze(1) * context->get_saved_variables()[0], {}, {}};
  }
};

}  // namespace detail

GRAFT_INLINE torch::Tensor similarities(const torch::Tensor& a, const torch::Tensor& b, Similarity similarity) {
  if (a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(1))
    throw ShapeError(message("vectors [N, D] and [M, D] are compared, got ", a.sizes(), " and ", b.sizes()));
  if (similarity == Similarity::dot) return a.matmul(b.t());
  return detail::of_length_one(a).matmul(detail::of_length_one(b).t());
}

GRAFT_INLINE Loss in_batch_softmax(const torch::Tensor& questions, const torch::Tensor& answers,
                                   const torch::Tensor& not_rivals, const InBatchSoftmaxOptions& options) {
  detail::check_scale(options.scale);
  torch::Tensor scores = similarities(questions, answers, options.similarity) * options.scale;
  const std::int64_t n = scores.size(0), m = scores.size(1);
  if (m < n)
    throw ShapeError(message("there are ", m, " answers for ", n, " questions; the first of them answer one each"));
  if (not_rivals.defined()) {
    if (not_rivals.sizes() != scores.sizes() || not_rivals.scalar_type() != torch::kBool)
      throw ShapeError(message("not_rivals is ", not_rivals.sizes(), " of ", c10::toString(not_rivals.scalar_type()),
                               "; it must be ", scores.sizes(), " of Bool"));
    if (not_rivals.diagonal().any().item<bool>())
      throw OptionError("not_rivals leaves out the right answer of a question; (i, i) must be false");
    scores = scores.masked_fill(not_rivals.to(scores.device()), detail::minus_infinity);
  }
  const torch::Tensor right = scores.diagonal();
  torch::Tensor all = scores.logsumexp({1});
  if (options.symmetric) all = (all + scores.narrow(1, 0, n).logsumexp({0})) / 2;
  return {(all - right).sum(), static_cast<double>(n)};
}

GRAFT_INLINE StoredSoftmax::StoredSoftmax(torch::Tensor vectors, const StoredSoftmaxOptions& options,
                                          torch::Tensor documents, torch::Tensor left_out)
    : options_(options), documents_(std::move(documents)), left_out_(std::move(left_out)) {
  detail::check_scale(options.scale);
  if (options.block < 1)
    throw OptionError(message("block is ", options.block, "; a block needs vectors, such as 4096"));
  if (!(options.same_above > 0))
    throw OptionError(message("same_above is ", options.same_above, "; it must be above 0"));
  if (vectors.dim() != 2) throw ShapeError(message("stored vectors are [M, D], got ", vectors.sizes()));
  for (const auto* of_each : {&documents_, &left_out_})
    if (of_each->defined() && (of_each->dim() != 1 || of_each->size(0) != vectors.size(0)))
      throw ShapeError(message("there are ", vectors.size(0),
                               " stored vectors, and what is said of each has the shape ", of_each->sizes()));
  vectors_ = scored(vectors.detach());
}

GRAFT_INLINE torch::Tensor StoredSoftmax::scored(const torch::Tensor& vectors) const {
  return options_.similarity == Similarity::cosine ? detail::of_length_one(vectors) : vectors;
}

GRAFT_INLINE Loss StoredSoftmax::operator()(const torch::Tensor& questions, const torch::Tensor& right) const {
  if (questions.dim() != 2 || questions.size(1) != vectors_.size(1) || right.dim() != 1 ||
      right.size(0) != questions.size(0))
    throw ShapeError(message("questions [N, ", vectors_.size(1), "] have right vectors [N], got ", questions.sizes(),
                             " and ", right.sizes()));
  if (right.numel() > 0 && (right.min().item<std::int64_t>() < 0 || right.max().item<std::int64_t>() >= size()))
    throw OptionError(message("a right vector is none of the ", size(), " that are stored"));
  const torch::Tensor compared = scored(questions);
  torch::Tensor losses, gradients;
  {
    const torch::NoGradGuard no_grad;
    const torch::Tensor x = compared.detach(), of_right = vectors_.index_select(0, right);
    const torch::Tensor direction = detail::of_length_one(of_right);
    const torch::Tensor documents = documents_.defined() ? documents_.index_select(0, right).unsqueeze(1) : documents_;
    const torch::Tensor right_scores = (x * of_right).sum({1}) * options_.scale;
    detail::OnlineSoftmax softmax(x);
    softmax.add(right_scores.unsqueeze(1), torch::zeros({1, x.size(1)}, x.options()));
    softmax.weighed = of_right.clone();
    for (std::int64_t begin = 0; begin < size(); begin += options_.block) {
      const std::int64_t count = std::min(options_.block, size() - begin);
      const torch::Tensor block = vectors_.narrow(0, begin, count);
      torch::Tensor none = torch::arange(begin, begin + count, right.options()).unsqueeze(0) == right.unsqueeze(1);
      if (options_.same_above <= 1)
        none.logical_or_(direction.matmul(detail::of_length_one(block).t()) >= options_.same_above);
      if (documents_.defined()) none.logical_or_(documents_.narrow(0, begin, count).unsqueeze(0) == documents);
      if (left_out_.defined()) none.logical_or_(left_out_.narrow(0, begin, count).unsqueeze(0));
      softmax.add((x.matmul(block.t()) * options_.scale).masked_fill_(none, detail::minus_infinity), block);
    }
    losses = softmax.log_sum() - right_scores;
    gradients = (softmax.weighed / softmax.sum - of_right) * options_.scale;
  }
  return {detail::StoredSoftmaxFunction::apply(compared, losses, gradients).sum(),
          static_cast<double>(questions.size(0))};
}

}  // namespace graft
