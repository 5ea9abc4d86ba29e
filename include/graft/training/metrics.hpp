#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft {

/// How often each class was taken for each: counts of (truth, prediction) for classes 0 ... classes - 1.
///
/// Every score below is 0 where it would divide by nothing, and equals scikit-learn's of the same name.
class ConfusionMatrix {
 public:
  /// Throws OptionError if `classes` is below 2.
  explicit ConfusionMatrix(std::int64_t classes);

  /// A matrix of all pairs. Throws as add() does.
  ConfusionMatrix(std::int64_t classes, std::span<const std::int64_t> truth, std::span<const std::int64_t> predicted);

  /// Counts pairs. Throws ShapeError if the spans differ in length, OptionError if a class is out of range; then
  /// nothing is counted.
  void add(std::span<const std::int64_t> truth, std::span<const std::int64_t> predicted);

  std::int64_t classes() const { return classes_; }
  std::int64_t count(std::int64_t truth, std::int64_t predicted) const;
  std::int64_t total() const { return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}); }

  /// Share of pairs in which truth and prediction agree.
  double accuracy() const;

  /// Of what was taken for class `c`, the share that is; of what is class `c`, the share that was found; and the
  /// harmonic mean of the two. For two classes, c = 1 is the usual binary score.
  double precision(std::int64_t c = 1) const { return ratio(count(c, c), predicted_as(c)); }
  double recall(std::int64_t c = 1) const { return ratio(count(c, c), truly(c)); }
  double f1(std::int64_t c = 1) const { return ratio(2 * count(c, c), predicted_as(c) + truly(c)); }

  /// Means over the classes that occur at all, in truth or prediction.
  double macro_precision() const { return mean_over_classes(&ConfusionMatrix::precision); }
  double macro_recall() const { return mean_over_classes(&ConfusionMatrix::recall); }
  double macro_f1() const { return mean_over_classes(&ConfusionMatrix::f1); }

  /// Matthews' correlation of truth and prediction in [-1, 1], for any number of classes.
  /// Source: Gorodkin, Computational Biology and Chemistry 28 (2004), the R_K statistic.
  double matthews() const;

 private:
  static double ratio(std::int64_t part, std::int64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  }
  std::int64_t truly(std::int64_t c) const;
  std::int64_t predicted_as(std::int64_t c) const;
  double mean_over_classes(double (ConfusionMatrix::*score)(std::int64_t) const) const;

  std::int64_t classes_;
  std::vector<std::int64_t> counts_;  // [truth][predicted]
};

/// Pearson's correlation, in [-1, 1]. Not a number if one side is constant or there are fewer than two pairs.
/// Throws ShapeError if the spans differ in length.
double pearson(std::span<const double> a, std::span<const double> b);

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of their ranks.
double spearman(std::span<const double> a, std::span<const double> b);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/metrics-inl.hpp"
#endif
