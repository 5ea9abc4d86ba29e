#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// What fits a query: name of a document -> grade. A grade of 1 and more is relevant; 0 and less is not.
using Judgements = std::map<std::string, std::int64_t>;

/// How good one ranking is, in its first k places. All in [0, 1].
struct RankingQuality {
  double recall = 0;     ///< relevant ones found / relevant ones there are
  double precision = 0;  ///< relevant ones found / k
  double hit_rate = 0;   ///< 1 if any is found
  double mrr = 0;        ///< 1 / place of the first relevant one, 0 if there is none
  double ndcg = 0;       ///< sum of grade / log2(place + 1), against that of the best ranking there could be
  double map = 0;        ///< precision at each relevant one, summed, / relevant ones there are
};

/// The quality of `ranking`, best first, at `k`. The measures are those of trec_eval: nDCG takes the grade as the gain
/// (Jarvelin and Kekalainen, 2002), average precision divides by all relevant ones.
/// Throws OptionError if k is 0, nothing is relevant, or a name stands in `ranking` twice.
RankingQuality ranking_quality(std::span<const std::string> ranking, const Judgements& relevant, std::size_t k);

/// A mean and where it would likely lie for other queries of the same kind.
struct Estimate {
  double mean = 0;
  double low = 0;   ///< 2.5 % of bootstrap samples lie below
  double high = 0;  ///< 2.5 % lie above
};

/// The mean of `values` and its 95 % interval by bootstrap: the mean of as many values drawn with replacement,
/// `samples` times. The same values and seed give the same numbers everywhere.
/// Throws OptionError if there are no values or no samples.
Estimate bootstrap(std::span<const double> values, std::size_t samples = 2000, std::uint64_t seed = 1);

/// Two settings over the same queries.
struct Comparison {
  Estimate difference;  ///< b - a, query by query
  double p_value = 1;   ///< how often a difference as large comes from random signs alone; small: not by chance
  std::size_t wins = 0, losses = 0, ties = 0;  ///< queries where b is better, worse, equal
};

/// Compares `b` with `a`, one value a query in the same order: a paired randomisation test with two sides (Fisher;
/// Smucker et al., 2007) and the interval of bootstrap(). Throws ShapeError if the lengths differ, OptionError as
/// bootstrap() does.
Comparison compare(std::span<const double> a, std::span<const double> b, std::size_t samples = 2000,
                   std::uint64_t seed = 1);

/// Rankings of many queries, collected: add() each, then read the means.
class RankingReport {
 public:
  /// Throws OptionError if k is 0.
  explicit RankingReport(std::size_t k);

  /// A query without anything relevant cannot be judged: it is counted in unjudged() and in nothing else.
  void add(std::span<const std::string> ranking, const Judgements& relevant);

  std::size_t k() const { return k_; }
  std::size_t judged() const { return recall_.size(); }
  std::size_t unjudged() const { return unjudged_; }

  /// Means over the judged queries; zeros if there are none.
  RankingQuality mean() const;

  /// One value a judged query, in the order of add(): for bootstrap() and compare().
  const std::vector<double>& recall() const { return recall_; }
  const std::vector<double>& precision() const { return precision_; }
  const std::vector<double>& hit_rate() const { return hit_rate_; }
  const std::vector<double>& mrr() const { return mrr_; }
  const std::vector<double>& ndcg() const { return ndcg_; }
  const std::vector<double>& map() const { return map_; }

 private:
  std::size_t k_;
  std::size_t unjudged_ = 0;
  std::vector<double> recall_, precision_, hit_rate_, mrr_, ndcg_, map_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/metrics-inl.hpp"
#endif
