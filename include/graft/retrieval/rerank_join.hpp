#pragma once

#include <optional>
#include <span>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/document.hpp"

namespace graft {

/// What a reranker's score and the search's own scores count in the order of reranked candidates: each 0 or more and
/// finite, not all 0. As they come the reranker decides alone.
struct RerankWeights {
  double reranker = 1;
  double vector = 0;  ///< of the similarity by vector
  double word = 0;    ///< of BM25
  bool operator==(const RerankWeights&) const = default;

  /// Whether the search's scores count for nothing.
  bool alone() const { return vector == 0 && word == 0; }
};

/// Throws OptionError for weights out of range.
void check_rerank_weights(const RerankWeights& weights);

/// What is known of a candidate.
struct RerankScores {
  double reranker = 0;
  std::optional<double> similarity = {};  ///< by vector, if it was found so
  std::optional<double> word_score = {};  ///< by BM25, likewise
};

/// Of each candidate of one question, larger is better:
///   weights.reranker reranker + weights.vector similarity + weights.word word_score
/// What was not found by vector, or not by word, has there the least score of those that were; where none was, that
/// part is 0. Throws OptionError for weights out of range.
std::vector<double> join_reranked(std::span<const RerankScores> candidates, const RerankWeights& weights);

/// A question's candidates in the order of the search, and the documents that answer it.
struct RerankExample {
  std::vector<RerankScores> candidates;
  std::vector<DocumentId> documents;  ///< of each candidate
  std::vector<DocumentId> right;      ///< at least one
};

/// nDCG@10 of documents, means over the examples.
struct RerankResult {
  RerankWeights weights;
  double joined = 0;    ///< with these weights: no less than the reranker alone
  double reranker = 0;  ///< alone
  double search = 0;    ///< as the search has them
};

/// The weights under which the right candidates of held-out questions are likeliest, the chance of one being
///   exp(its join) / sum over the question's candidates of exp(theirs),
/// none of them negative (conditional logit; McFadden, 1974): what is said with more certainty counts more. A little
/// weight decay keeps them finite where every question is answered. If the reranker alone has the larger nDCG@10, or no
/// example tells right from wrong, the weights are RerankWeights(). Throws OptionError without examples, or for one
/// without a right document, or with another number of documents than candidates.
RerankResult learn_rerank_weights(std::span<const RerankExample> examples);

/// nDCG@10 of documents of one example, each at the place of its first passage, reranked as Retriever does.
double reranked_ndcg(const RerankExample& example, const RerankWeights& weights);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/rerank_join-inl.hpp"
#endif
