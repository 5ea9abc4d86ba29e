#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "graft/core/error.hpp"
#include "graft/retrieval/fusion.hpp"
#include "graft/retrieval/join_training.hpp"
#include "graft/retrieval/metrics.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE double ndcg_of(const JoinExample& example, std::span<const RankedList> lists, double rank_constant) {
  constexpr std::size_t kPlaces = 10;
  std::vector<std::string> ranking;
  for (const Scored& entry : reciprocal_rank_fusion(lists, rank_constant)) {
    const auto found = example.documents.find(entry.id);
    if (found == example.documents.end())
      throw OptionError(message("the document of passage ", entry.id, " is not named; add it to the example"));
    std::string name = std::to_string(found->second);
    if (std::find(ranking.begin(), ranking.end(), name) == ranking.end()) ranking.push_back(std::move(name));
    if (ranking.size() == kPlaces) break;
  }
  Judgements right;
  for (const DocumentId document : example.right) right.emplace(std::to_string(document), 1);
  return ranking_quality(ranking, right, kPlaces).ndcg;
}

template <class Score>
double mean_of(std::span<const JoinExample> examples, const Score& score) {
  double sum = 0;
  for (const JoinExample& example : examples) sum += score(example);
  return sum / static_cast<double>(examples.size());
}

}  // namespace detail

GRAFT_INLINE double joined_ndcg(const JoinExample& example, const JoinWeights& weights) {
  const RankedList lists[] = {{example.vectors, weights.vector}, {example.words, weights.word}};
  return detail::ndcg_of(example, lists, weights.rank_constant);
}

GRAFT_INLINE JoinResult learn_join(std::span<const JoinExample> examples) {
  if (examples.empty()) throw OptionError("weights are learned from held-out questions, but there is none");
  const auto mean = [&](const JoinWeights& weights) {
    return detail::mean_of(examples, [&](const JoinExample& example) { return joined_ndcg(example, weights); });
  };
  const auto alone = [&](std::vector<Scored> JoinExample::*list) {
    return detail::mean_of(examples, [&](const JoinExample& example) {
      const RankedList lists[] = {{example.*list}};
      return detail::ndcg_of(example, lists, 60);
    });
  };
  JoinResult out;
  out.equal = out.joined = mean(out.weights);
  out.vectors = alone(&JoinExample::vectors);
  out.words = alone(&JoinExample::words);
  double distance = 0;  // from equal weights
  for (const double constant : {60.0, 20.0, 10.0, 5.0})
    for (int part = 0; part <= 20; ++part) {
      const JoinWeights weights{part / 20.0, (20 - part) / 20.0, constant};
      const double found = mean(weights), away = std::abs(part - 10);
      if (found > out.joined || (found == out.joined && away < distance)) {
        out.weights = weights;
        out.joined = found;
        distance = away;
      }
    }
  return out;
}

}  // namespace graft
