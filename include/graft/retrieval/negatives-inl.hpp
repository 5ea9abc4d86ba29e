#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/negatives.hpp"
#include "graft/retrieval/retriever.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE void check_negatives(std::span<const StoreQuestion> questions, const NegativesOptions& options) {
  if (options.first_rank < 1 || options.last_rank < options.first_rank || options.last_rank > 1'000'000)
    throw OptionError(message("negatives are looked for at ranks ", options.first_rank, " to ", options.last_rank,
                              "; choose a first rank of 1 or more, and a last one from there to 1000000"));
  if (!options.by_vector && !options.by_word)
    throw OptionError("negatives are to be found neither by vector nor by word; choose one");
  for (const double limit : {options.most_share, options.margin, options.judge_margin})
    if (!(limit >= 0) || !std::isfinite(limit))
      throw OptionError(message("a limit of negatives is ", limit, "; choose 0 or more"));
  for (std::size_t i = 0; i < questions.size(); ++i) {
    if (questions[i].right.empty())
      throw OptionError(message("question ", i, ", ", quoted(questions[i].text, 60), ", has no right document"));
    if (!questions[i].vector.empty() && !options.space)
      throw OptionError(message("question ", i, " has a vector, but no space is named in the options"));
  }
}

/// The score of a metric, larger for nearer vectors.
GRAFT_INLINE double metric_score(Metric metric, std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0, distance = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
    distance += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  }
  if (metric == Metric::euclidean) return -distance;
  return metric == Metric::cosine ? ab / std::sqrt(aa * bb) : ab;
}

/// Looks for negatives of one question after the other.
class NegativeMiner {
 public:
  NegativeMiner(Store& store, const NegativesOptions& options)
      : options_(options), retriever_(store, {.space = options.space}), snapshot_(store.read()) {}

  std::vector<Negative> mine(const StoreQuestion& question, NegativesReport& report) {
    const std::vector<Passage> candidates = candidates_of(question);
    const Right right = right_of(question);
    std::vector<PassageId> ids;
    for (const Passage& passage : candidates) ids.push_back(passage.id);
    const std::vector<std::optional<double>> scores = scores_of(question, ids);
    const std::vector<double> judged = judge(question, right.passage, candidates);
    std::unordered_set<DocumentId> taken;
    std::vector<Negative> out;
    for (std::size_t i = 0; i < candidates.size() && out.size() < options_.per_question; ++i) {
      const Passage& passage = candidates[i];
      if (std::find(question.right.begin(), question.right.end(), passage.document) != question.right.end())
        ++report.right;
      else if (scores[i] && right.score && *scores[i] > most(*right.score))
        ++report.too_near;
      else if (!judged.empty() && judged[i + 1] >= judged[0] - options_.judge_margin)
        ++report.judged_good;
      else if (!taken.insert(passage.document).second)
        ++report.same_document;
      else
        out.push_back(
            {passage.id, passage.document, scores[i], judged.empty() ? std::nullopt : std::optional(judged[i + 1])});
    }
    ++report.questions;
    report.found += out.size();
    report.none += out.empty();
    return out;
  }

  NegativeExample example(const StoreQuestion& question, const Negative& negative) {
    const Right right = right_of(question);
    return {question.text, right.passage.text, snapshot_->passages(std::vector{negative.passage})[0].text, right.score,
            negative.score};
  }

 private:
  struct Right {
    Passage passage = {};
    std::optional<double> score = {};
  };

  double most(double right) const {
    const double by_share = options_.most_share > 1 ? std::numeric_limits<double>::infinity()
                                                    : right - (1 - options_.most_share) * std::abs(right);
    return std::min(by_share, options_.margin > 0 ? right - options_.margin : by_share);
  }

  /// Of both rankings in turn, each passage once.
  std::vector<Passage> candidates_of(const StoreQuestion& question) {
    std::vector<std::vector<Hit>> rankings;
    if (options_.by_vector && !question.vector.empty())
      rankings.push_back(
          retriever_.search({.vector = question.vector, .encoder = question.encoder, .top = options_.last_rank}));
    if (options_.by_word && !question.text.empty())
      rankings.push_back(retriever_.search({.text = question.text, .top = options_.last_rank}));
    std::unordered_set<PassageId> seen;
    std::vector<Passage> out;
    for (std::size_t rank = options_.first_rank - 1; rank < options_.last_rank; ++rank)
      for (const auto& ranking : rankings)
        if (rank < ranking.size() && seen.insert(ranking[rank].passage.id).second) out.push_back(ranking[rank].passage);
    return out;
  }

  std::vector<std::optional<double>> scores_of(const StoreQuestion& question, const std::vector<PassageId>& ids) {
    std::vector<std::optional<double>> out(ids.size());
    if (question.vector.empty()) return out;
    const std::vector<PassageId> lacking = snapshot_->without_vectors(*options_.space, ids);
    const std::unordered_set<PassageId> without(lacking.begin(), lacking.end());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (without.contains(ids[i])) continue;
      const std::vector<float> vector = snapshot_->vectors(*options_.space, std::vector{ids[i]});
      out[i] = metric_score(options_.space->metric, question.vector, vector);
    }
    return out;
  }

  /// The nearest passage of the right documents; without a vector the first.
  Right right_of(const StoreQuestion& question) {
    Right out;
    bool first = true;
    for (const DocumentId document : question.right) {
      const std::vector<Passage> passages = snapshot_->passages_of(document);
      std::vector<PassageId> ids;
      for (const Passage& passage : passages) ids.push_back(passage.id);
      const auto scores = scores_of(question, ids);
      for (std::size_t i = 0; i < passages.size(); ++i) {
        if (!first && !(scores[i] && (!out.score || *scores[i] > *out.score))) continue;
        out = {passages[i], scores[i]};
        first = false;
      }
    }
    if (first)
      throw OptionError(message("the right documents of ", quoted(question.text, 60), " have no passage in the store"));
    return out;
  }

  /// The judge's scores of the right passage and of each candidate; none without a judge.
  std::vector<double> judge(const StoreQuestion& question, const Passage& right,
                            const std::vector<Passage>& candidates) {
    if (!options_.judge) return {};
    std::vector<std::string> texts = {searchable(right.range.heading, right.text)};
    for (const Passage& passage : candidates) texts.push_back(searchable(passage.range.heading, passage.text));
    std::vector<double> out = options_.judge(question.text, texts);
    if (out.size() != texts.size())
      throw ShapeError(message("the judge gave ", out.size(), " scores for ", texts.size(), " passages"));
    for (const double score : out)
      if (!std::isfinite(score)) throw OptionError(message("the judge gave a passage the score ", score));
    return out;
  }

  const NegativesOptions& options_;
  Retriever retriever_;
  std::unique_ptr<Snapshot> snapshot_;
};

}  // namespace detail

GRAFT_INLINE MinedNegatives mine_negatives(Store& store, std::span<const StoreQuestion> questions,
                                           const NegativesOptions& options) {
  detail::check_negatives(questions, options);
  detail::NegativeMiner miner(store, options);
  MinedNegatives out;
  std::vector<std::size_t> with;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    out.of_questions.push_back(miner.mine(questions[i], out.report));
    if (!out.of_questions.back().empty()) with.push_back(i);
    if (options.progress) options.progress(i + 1);
  }
  constexpr std::size_t kExamples = 5;
  const std::size_t shown = std::min(kExamples, with.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const std::size_t at = with[i * with.size() / shown];
    out.report.examples.push_back(miner.example(questions[at], out.of_questions[at][0]));
  }
  return out;
}

}  // namespace graft
