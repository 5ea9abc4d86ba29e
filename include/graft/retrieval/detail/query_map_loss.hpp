#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "graft/retrieval/detail/padded_vectors.hpp"
#include "graft/retrieval/detail/softmax_scan.hpp"

namespace graft::detail {

/// W x for `count` questions x, both [count, stride] and padded; W is [width, stride].
inline LineVector<float> map_questions(const float* weights, std::size_t width, std::size_t stride,
                                       const float* questions, std::size_t count) {
  LineVector<float> out(count * stride, 0.0f), scores(count * kPanel), last;
  for (std::size_t o = 0; o < width; o += kPanel) {
    const std::size_t here = std::min<std::size_t>(kPanel, width - o);
    const float* rows = weights + o * stride;
    if (here < kPanel) {
      last.assign(kPanel * stride, 0);
      std::copy(rows, rows + here * stride, last.begin());
      rows = last.data();
    }
    score_panel(questions, count, stride, rows, scores.data());
    for (std::size_t q = 0; q < count; ++q)
      std::copy(&scores[q * kPanel], &scores[q * kPanel] + here, &out[q * stride + o]);
  }
  return out;
}

/// How far a linear map of questions is from putting each next to its document: the mean over the questions x of
///   -log( e^l(p) / sum over all documents d that are not masked of e^l(d) ),  p the right document of x
/// where l(d) = scale * score(W x, d) by the metric of the space. Weights and gradient are [width, stride], padded.
class QueryMapLoss {
 public:
  struct Row {
    std::size_t question = 0;                    // of `questions`
    std::size_t document = 0;                    // of `documents`: the right one, which is not masked
    std::span<const std::uint32_t> masked = {};  // documents that have no part in it, sorted
  };

  /// `questions` [Q, stride] and `documents` [N, stride], padded to padded_rows(); under cosine scaled to length 1.
  /// Both must outlive this.
  QueryMapLoss(Metric metric, double scale, std::size_t width, const LineVector<float>& questions,
               const LineVector<float>& documents, std::size_t count, unsigned threads)
      : metric_(metric),
        factor_(metric == Metric::euclidean ? 2 * scale : scale),
        width_(width),
        questions_(questions.data()),
        rows_{documents.data(), count, padded_width(static_cast<std::int64_t>(width))},
        threads_(threads) {
    if (metric != Metric::euclidean) return;
    bias_.assign(padded_rows(count), 0);
    for (std::size_t d = 0; d < count; ++d) bias_[d] = static_cast<float>(-scale * inner(document(d), document(d)));
    rows_.bias = bias_.data();
  }
  QueryMapLoss(const QueryMapLoss&) = delete;
  QueryMapLoss& operator=(const QueryMapLoss&) = delete;

  std::size_t stride() const { return rows_.stride; }

  /// The mean loss of `batch`; sets `gradient` to its derivative by the weights.
  double operator()(const LineVector<float>& weights, std::span<const Row> batch, LineVector<float>& gradient) {
    const std::size_t count = batch.size(), stride = rows_.stride;
    inputs_.assign(padded_rows(count) * stride, 0);
    masked_.clear();
    for (std::size_t b = 0; b < count; ++b) {
      const float* from = questions_ + batch[b].question * stride;
      std::copy(from, from + stride, inputs_.begin() + static_cast<std::ptrdiff_t>(b * stride));
      masked_.push_back(batch[b].masked);
    }
    map(weights, count);
    softmax_sums(rows_, mapped_, masked_, threads_, parts_);
    double loss = 0;
    // [panels of the batch, width, kPanel]: as weights of the questions in the sums that are the gradient's rows
    slopes_.assign(padded_rows(count) * width_, 0);
    for (std::size_t b = 0; b < count; ++b) loss += slope(b, count, document(batch[b].document), batch[b].document);
    gradient.assign(width_ * stride, 0);
    softmax_kernels().add_rows(slopes_.data(), width_ * kPanel, padded_rows(count) / kPanel, width_, inputs_.data(),
                               stride, gradient.data());
    return loss / static_cast<double>(count);
  }

 private:
  const float* document(std::size_t d) const { return rows_.data + d * rows_.stride; }
  double inner(const float* a, const float* b) const { return dot_kernels().inner_pair(a, b, rows_.stride); }

  /// mapped_ [count, stride] = factor W x, under cosine scaled to the length `factor`.
  void map(const LineVector<float>& weights, std::size_t count) {
    mapped_ = map_questions(weights.data(), width_, rows_.stride, inputs_.data(), count);
    scales_.assign(count, factor_);
    for (std::size_t b = 0; b < count; ++b) {
      float* const y = &mapped_[b * rows_.stride];
      // A question that is mapped to zero has no direction: it keeps a score of 0 with all.
      if (metric_ == Metric::cosine) scales_[b] = factor_ / std::max(1e-12, std::sqrt(inner(y, y)));
      for (std::size_t i = 0; i < width_; ++i) y[i] *= static_cast<float>(scales_[b]);
    }
  }

  /// The loss of question b; puts its derivative by W x, for the mean of `count`, into slopes_.
  double slope(std::size_t b, std::size_t count, const float* right, std::size_t document) {
    const float* const y = &mapped_[b * rows_.stride];
    float* const g = &parts_[0].rows[b * rows_.stride];
    const auto over = static_cast<float>(1 / parts_[0].total[b]);
    for (std::size_t i = 0; i < width_; ++i) g[i] = g[i] * over - right[i];
    const double along = metric_ == Metric::cosine ? inner(g, y) / (factor_ * factor_) : 0;
    const double scale = scales_[b] / static_cast<double>(count);
    float* const to = slopes_.data() + b / kPanel * width_ * kPanel + b % kPanel;
    for (std::size_t i = 0; i < width_; ++i) to[i * kPanel] = static_cast<float>(scale * (g[i] - along * y[i]));
    const double logit = inner(y, right) + (rows_.bias ? rows_.bias[document] : 0);
    return std::log(parts_[0].total[b]) + parts_[0].most[b] - logit;
  }

  Metric metric_;
  double factor_;
  std::size_t width_;
  const float* questions_;
  SoftmaxRows rows_;
  unsigned threads_;
  std::vector<float> bias_;
  LineVector<float> inputs_, mapped_, slopes_;
  std::vector<double> scales_;
  std::vector<std::span<const std::uint32_t>> masked_;
  std::vector<SoftmaxSums> parts_;
};

}  // namespace graft::detail
