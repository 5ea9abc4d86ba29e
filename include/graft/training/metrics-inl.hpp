#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "graft/core/error.hpp"
#include "graft/training/metrics.hpp"

namespace graft {

GRAFT_INLINE ConfusionMatrix::ConfusionMatrix(std::int64_t classes) : classes_(classes) {
  if (classes < 2) throw OptionError(message("a confusion matrix of ", classes, " classes; there must be at least 2"));
  counts_.resize(static_cast<std::size_t>(classes) * static_cast<std::size_t>(classes));
}

GRAFT_INLINE ConfusionMatrix::ConfusionMatrix(std::int64_t classes, std::span<const std::int64_t> truth,
                                              std::span<const std::int64_t> predicted)
    : ConfusionMatrix(classes) {
  add(truth, predicted);
}

GRAFT_INLINE void ConfusionMatrix::add(std::span<const std::int64_t> truth, std::span<const std::int64_t> predicted) {
  if (truth.size() != predicted.size()) {
    throw ShapeError(message(truth.size(), " true classes against ", predicted.size(), " predicted ones"));
  }
  for (std::size_t i = 0; i < truth.size(); ++i) {
    for (const std::int64_t c : {truth[i], predicted[i]}) {
      if (c < 0 || c >= classes_) {
        throw OptionError(message("row ", i, " has class ", c, "; classes go from 0 to ", classes_ - 1));
      }
    }
  }
  for (std::size_t i = 0; i < truth.size(); ++i) {
    ++counts_[static_cast<std::size_t>(truth[i] * classes_ + predicted[i])];
  }
}

GRAFT_INLINE std::int64_t ConfusionMatrix::count(std::int64_t truth, std::int64_t predicted) const {
  for (const std::int64_t c : {truth, predicted}) {
    if (c < 0 || c >= classes_) throw OptionError(message("class ", c, "; classes go from 0 to ", classes_ - 1));
  }
  return counts_[static_cast<std::size_t>(truth * classes_ + predicted)];
}

GRAFT_INLINE std::int64_t ConfusionMatrix::truly(std::int64_t c) const {
  std::int64_t sum = 0;
  for (std::int64_t other = 0; other < classes_; ++other) sum += count(c, other);
  return sum;
}

GRAFT_INLINE std::int64_t ConfusionMatrix::predicted_as(std::int64_t c) const {
  std::int64_t sum = 0;
  for (std::int64_t other = 0; other < classes_; ++other) sum += count(other, c);
  return sum;
}

GRAFT_INLINE double ConfusionMatrix::accuracy() const {
  std::int64_t right = 0;
  for (std::int64_t c = 0; c < classes_; ++c) right += count(c, c);
  return ratio(right, total());
}

GRAFT_INLINE double ConfusionMatrix::mean_over_classes(double (ConfusionMatrix::*score)(std::int64_t) const) const {
  double sum = 0.0;
  std::int64_t occurring = 0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    if (truly(c) + predicted_as(c) == 0) continue;
    sum += (this->*score)(c);
    ++occurring;
  }
  return occurring == 0 ? 0.0 : sum / static_cast<double>(occurring);
}

GRAFT_INLINE double ConfusionMatrix::matthews() const {
  const auto all = static_cast<double>(total());
  double right = 0.0, both = 0.0, true_squares = 0.0, predicted_squares = 0.0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    const auto t = static_cast<double>(truly(c));
    const auto p = static_cast<double>(predicted_as(c));
    right += static_cast<double>(count(c, c));
    both += t * p;
    true_squares += t * t;
    predicted_squares += p * p;
  }
  const double spread = (all * all - true_squares) * (all * all - predicted_squares);
  return spread == 0.0 ? 0.0 : (right * all - both) / std::sqrt(spread);
}

namespace detail {

/// Ranks from 1, equal values sharing the mean of theirs.
GRAFT_INLINE std::vector<double> shared_ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    while (last + 1 < order.size() && values[order[last + 1]] == values[order[first]]) ++last;
    const double shared = static_cast<double>(first + last) / 2.0 + 1.0;
    for (std::size_t i = first; i <= last; ++i) ranks[order[i]] = shared;
    first = last + 1;
  }
  return ranks;
}

GRAFT_INLINE void check_correlated(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) throw ShapeError(message("a correlation of ", a.size(), " values with ", b.size()));
}

GRAFT_INLINE double mean_value(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace detail

GRAFT_INLINE double pearson(std::span<const double> a, std::span<const double> b) {
  detail::check_correlated(a, b);
  const double mean_a = detail::mean_value(a);
  const double mean_b = detail::mean_value(b);
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  const double spread = std::sqrt(aa) * std::sqrt(bb);
  return spread > 0.0 ? std::clamp(ab / spread, -1.0, 1.0) : std::numeric_limits<double>::quiet_NaN();
}

GRAFT_INLINE double spearman(std::span<const double> a, std::span<const double> b) {
  detail::check_correlated(a, b);
  const auto not_a_number = [](double value) { return std::isnan(value); };
  if (std::any_of(a.begin(), a.end(), not_a_number) || std::any_of(b.begin(), b.end(), not_a_number)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return pearson(detail::shared_ranks(a), detail::shared_ranks(b));
}

}  // namespace graft
