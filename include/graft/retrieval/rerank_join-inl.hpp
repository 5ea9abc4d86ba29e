#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>

#include "graft/core/error.hpp"
#include "graft/retrieval/metrics.hpp"
#include "graft/retrieval/rerank_join.hpp"

namespace graft {

namespace detail {

/// The scores of a candidate: reranker, similarity, BM25.
using RerankRow = std::array<double, 3>;

/// With the least of its kind where one is missing.
GRAFT_INLINE std::vector<RerankRow> rerank_rows(std::span<const RerankScores> candidates) {
  const auto least = [&](std::optional<double> RerankScores::*score) {
    double out = std::numeric_limits<double>::infinity();
    for (const RerankScores& candidate : candidates)
      if (candidate.*score) out = std::min(out, *(candidate.*score));
    return std::isfinite(out) ? out : 0;
  };
  const double similarity = least(&RerankScores::similarity), word_score = least(&RerankScores::word_score);
  std::vector<RerankRow> out;
  for (const RerankScores& candidate : candidates)
    out.push_back(
        {candidate.reranker, candidate.similarity.value_or(similarity), candidate.word_score.value_or(word_score)});
  return out;
}

GRAFT_INLINE double rerank_ndcg(const RerankExample& example, std::span<const double> scores) {
  constexpr std::size_t kPlaces = 10;
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<std::string> ranking;
  for (const std::size_t i : order) {
    std::string name = std::to_string(example.documents[i]);
    if (std::find(ranking.begin(), ranking.end(), name) == ranking.end()) ranking.push_back(std::move(name));
    if (ranking.size() == kPlaces) break;
  }
  Judgements right;
  for (const DocumentId document : example.right) right.emplace(std::to_string(document), 1);
  return ranking_quality(ranking, right, kPlaces).ndcg;
}

/// Minus the logarithm of the chance of what is right, and its derivatives, one weight at a time.
class ConditionalLogit {
 public:
  explicit ConditionalLogit(std::span<const RerankExample> examples) {
    for (const RerankExample& example : examples) {
      Question question{rerank_rows(example.candidates), {}};
      double right = 0;
      for (const DocumentId document : example.documents) {
        const bool is_right = std::find(example.right.begin(), example.right.end(), document) != example.right.end();
        question.target.push_back(is_right);
        right += is_right;
      }
      if (right == 0 || right == static_cast<double>(question.target.size())) continue;
      for (double& target : question.target) target /= right;
      questions_.push_back(std::move(question));
    }
    for (std::size_t w = 0; w < 3; ++w) decay_[w] = kDecay * slope({}, w).second;
  }

  bool says_nothing() const { return questions_.empty(); }

  double loss(const RerankRow& weights) const {
    double sum = 0;
    for (std::size_t w = 0; w < 3; ++w) sum += decay_[w] * weights[w] * weights[w] / 2;
    std::vector<double> x;
    for (const Question& question : questions_) {
      const double log_sum = joined(question, weights, x);
      for (std::size_t i = 0; i < x.size(); ++i) sum += question.target[i] * (log_sum - x[i]);
    }
    return sum;
  }

  /// The first and second derivative by weight `w`.
  std::pair<double, double> slope(const RerankRow& weights, std::size_t w) const {
    double first = decay_[w] * weights[w], second = decay_[w];
    std::vector<double> x;
    for (const Question& question : questions_) {
      const double log_sum = joined(question, weights, x);
      double mean = 0, square = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double chance = std::exp(x[i] - log_sum), score = question.rows[i][w];
        mean += chance * score;
        square += chance * score * score;
        first -= question.target[i] * score;
      }
      first += mean;
      second += square - mean * mean;
    }
    return {first, second};
  }

  /// One weight after the other by Newton's steps, halved until the loss falls, and never below 0.
  RerankRow fit() const {
    RerankRow weights{};
    double now = loss(weights);
    constexpr int kRounds = 500;
    for (int round = 0; round < kRounds; ++round) {
      const double before = now;
      for (std::size_t w = 0; w < 3; ++w) {
        const auto [first, second] = slope(weights, w);
        if (!(second > 0)) continue;  // all scores of this kind are alike
        for (double share = 1; share > 1e-6; share /= 2) {
          RerankRow next = weights;
          next[w] = std::max(0.0, weights[w] - share * first / second);
          const double then = loss(next);
          if (!(then < now)) continue;
          weights = next;
          now = then;
          break;
        }
      }
      if (before - now < 1e-9 * before) break;
    }
    return weights;
  }

 private:
  static constexpr double kDecay = 1e-3;  // of what the questions say at first

  struct Question {
    std::vector<RerankRow> rows;
    std::vector<double> target;  // of each, in all 1
  };

  /// Fills `x` with the joins; the logarithm of the sum of their exponentials.
  static double joined(const Question& question, const RerankRow& weights, std::vector<double>& x) {
    x.clear();
    for (const RerankRow& row : question.rows)
      x.push_back(weights[0] * row[0] + weights[1] * row[1] + weights[2] * row[2]);
    const double most = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const double value : x) sum += std::exp(value - most);
    return most + std::log(sum);
  }

  std::vector<Question> questions_;
  RerankRow decay_{};
};

}  // namespace detail

GRAFT_INLINE void check_rerank_weights(const RerankWeights& weights) {
  for (const double weight : {weights.reranker, weights.vector, weights.word})
    if (!(weight >= 0) || !std::isfinite(weight))
      throw OptionError(message("a weight of the reranking is ", weight, "; choose 0 or more"));
  if (weights.reranker == 0 && weights.alone())
    throw OptionError("all weights of the reranking are 0; choose one above 0");
}

GRAFT_INLINE std::vector<double> join_reranked(std::span<const RerankScores> candidates, const RerankWeights& weights) {
  check_rerank_weights(weights);
  std::vector<double> out;
  for (const detail::RerankRow& row : detail::rerank_rows(candidates))
    out.push_back(weights.reranker * row[0] + weights.vector * row[1] + weights.word * row[2]);
  return out;
}

GRAFT_INLINE double reranked_ndcg(const RerankExample& example, const RerankWeights& weights) {
  if (example.documents.size() != example.candidates.size())
    throw OptionError(message("an example of reranking has ", example.candidates.size(), " candidates and ",
                              example.documents.size(), " documents; name the document of each"));
  return detail::rerank_ndcg(example, join_reranked(example.candidates, weights));
}

GRAFT_INLINE RerankResult learn_rerank_weights(std::span<const RerankExample> examples) {
  if (examples.empty()) throw OptionError("weights are learned from held-out questions, but there is none");
  const auto mean = [&](const auto& ndcg) {
    double sum = 0;
    for (const RerankExample& example : examples) sum += ndcg(example);
    return sum / static_cast<double>(examples.size());
  };
  RerankResult out;
  out.reranker = out.joined = mean([](const RerankExample& example) { return reranked_ndcg(example, {}); });
  out.search = mean([](const RerankExample& example) {
    return detail::rerank_ndcg(example, std::vector<double>(example.candidates.size()));
  });
  const detail::ConditionalLogit logit(examples);
  if (logit.says_nothing()) return out;
  const detail::RerankRow fit = logit.fit();
  const RerankWeights weights{fit[0], fit[1], fit[2]};
  if (weights.reranker == 0 && weights.alone()) return out;
  const double joined = mean([&](const RerankExample& example) { return reranked_ndcg(example, weights); });
  if (joined < out.reranker) return out;
  out.weights = weights;
  out.joined = joined;
  return out;
}

}  // namespace graft
