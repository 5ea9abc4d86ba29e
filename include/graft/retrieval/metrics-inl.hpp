#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <string_view>

#include "graft/retrieval/detail/split_mix.hpp"
#include "graft/retrieval/metrics.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE double mean(std::span<const double> values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

GRAFT_INLINE double gain(std::int64_t grade, std::size_t place) {
  return static_cast<double>(std::max<std::int64_t>(grade, 0)) / std::log2(static_cast<double>(place) + 1);
}

/// The sum of gains of the best ranking there could be, cut after k places.
GRAFT_INLINE double best_gain(const Judgements& relevant, std::size_t k) {
  std::vector<std::int64_t> grades;
  for (const auto& [name, grade] : relevant) grades.push_back(grade);
  std::sort(grades.begin(), grades.end(), std::greater<>());
  double sum = 0;
  for (std::size_t i = 0; i < std::min(k, grades.size()); ++i) sum += gain(grades[i], i + 1);
  return sum;
}

GRAFT_INLINE std::size_t count_relevant(const Judgements& relevant) {
  return static_cast<std::size_t>(
      std::count_if(relevant.begin(), relevant.end(), [](const auto& entry) { return entry.second > 0; }));
}

}  // namespace detail

GRAFT_INLINE RankingQuality ranking_quality(std::span<const std::string> ranking, const Judgements& relevant,
                                            std::size_t k) {
  if (k == 0) throw OptionError("a ranking is judged in its first k places, but k is 0; choose 1 or more");
  const std::size_t wanted = detail::count_relevant(relevant);
  if (wanted == 0) throw OptionError("a query has nothing relevant to find; leave it out");
  std::set<std::string_view> seen;
  for (const std::string& name : ranking)
    if (!seen.insert(name).second) throw OptionError(message("a ranking holds ", quoted(name), " twice"));

  RankingQuality out;
  std::size_t found = 0;
  for (std::size_t i = 0; i < std::min(k, ranking.size()); ++i) {
    const auto entry = relevant.find(ranking[i]);
    if (entry == relevant.end() || entry->second <= 0) continue;
    const auto place = static_cast<double>(i + 1);
    if (++found == 1) out.mrr = 1 / place;
    out.map += static_cast<double>(found) / place;
    out.ndcg += detail::gain(entry->second, i + 1);
  }
  out.recall = static_cast<double>(found) / static_cast<double>(wanted);
  out.precision = static_cast<double>(found) / static_cast<double>(k);
  out.hit_rate = found > 0;
  out.map /= static_cast<double>(wanted);
  out.ndcg /= detail::best_gain(relevant, k);
  return out;
}

GRAFT_INLINE Estimate bootstrap(std::span<const double> values, std::size_t samples, std::uint64_t seed) {
  if (values.empty()) throw OptionError("there are no values to take a mean of");
  if (samples == 0) throw OptionError("an interval needs at least 1 bootstrap sample; the usual number is 2000");
  detail::SplitMix random(seed);
  std::vector<double> means(samples);
  for (double& mean : means) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += values[random.below(values.size())];
    mean = sum / static_cast<double>(values.size());
  }
  std::sort(means.begin(), means.end());
  const auto at = [&](double share) {
    return means[static_cast<std::size_t>(share * static_cast<double>(samples - 1))];
  };
  return {detail::mean(values), at(0.025), at(0.975)};
}

GRAFT_INLINE Comparison compare(std::span<const double> a, std::span<const double> b, std::size_t samples,
                                std::uint64_t seed) {
  if (a.size() != b.size())
    throw ShapeError(message("two settings are compared query by query, but one has ", a.size(),
                             " values and the other ", b.size()));
  std::vector<double> differences(a.size());
  Comparison out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    differences[i] = b[i] - a[i];
    ++(b[i] > a[i] ? out.wins : b[i] < a[i] ? out.losses : out.ties);
  }
  out.difference = bootstrap(differences, samples, seed);
  detail::SplitMix random(seed + 1);
  const double observed = std::abs(std::accumulate(differences.begin(), differences.end(), 0.0)) * (1 - 1e-12);
  std::size_t as_large = 1;  // the observed signs are one of the possible draws
  for (std::size_t s = 0; s < samples; ++s) {
    double sum = 0;
    std::uint64_t signs = 0;
    for (std::size_t i = 0; i < differences.size(); ++i, signs >>= 1) {
      if (i % 64 == 0) signs = random.next();
      sum += signs & 1 ? differences[i] : -differences[i];
    }
    as_large += std::abs(sum) >= observed;
  }
  out.p_value = static_cast<double>(as_large) / static_cast<double>(samples + 1);
  return out;
}

GRAFT_INLINE RankingReport::RankingReport(std::size_t k) : k_(k) {
  if (k == 0) throw OptionError("rankings are judged in their first k places, but k is 0; choose 1 or more");
}

GRAFT_INLINE void RankingReport::add(std::span<const std::string> ranking, const Judgements& relevant) {
  if (detail::count_relevant(relevant) == 0) {
    ++unjudged_;
    return;
  }
  const RankingQuality quality = ranking_quality(ranking, relevant, k_);
  recall_.push_back(quality.recall);
  precision_.push_back(quality.precision);
  hit_rate_.push_back(quality.hit_rate);
  mrr_.push_back(quality.mrr);
  ndcg_.push_back(quality.ndcg);
  map_.push_back(quality.map);
}

GRAFT_INLINE RankingQuality RankingReport::mean() const {
  return {detail::mean(recall_), detail::mean(precision_), detail::mean(hit_rate_),
          detail::mean(mrr_),    detail::mean(ndcg_),      detail::mean(map_)};
}

}  // namespace graft
