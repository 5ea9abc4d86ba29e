#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/retrieval/document.hpp"
#include "graft/retrieval/filter.hpp"
#include "graft/retrieval/rerank_join.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

/// How well each passage answers the question, larger is better: a cross-encoder, for one.
using RerankFunction =
    std::function<std::vector<double>(const std::string& question, std::span<const std::string> passages)>;

/// A question. With a text it searches words, with a vector vectors, with both it joins the two rankings.
struct Query {
  std::string text = {};
  std::vector<float> vector = {};  ///< [width], made by the model of the retriever's space, or by `encoder`

  /// Fingerprint of what made the vector: QueryMap::fingerprint(), for one. The store must know it
  /// (query_encoders.hpp). Empty: the model of the retriever's space.
  std::string encoder = {};
  std::optional<Filter> filter = {};
  std::size_t top = 10;     ///< hits wanted
  std::size_t depth = 100;  ///< candidates taken from each ranking; at least `top` are

  double vector_weight = 1.0;  ///< in the reciprocal rank fusion of both rankings, 0 or more
  double word_weight = 1.0;
  double rank_constant = 60.0;  ///< k of that fusion, 0 or more: the smaller, the more the first places count

  std::optional<double> least_similarity = {};  ///< leaves out candidates whose vector is less near
  RerankFunction rerank = {};  ///< gives the first `rerank_depth` candidates their scores; others fall out
  std::size_t rerank_depth = 50;
  RerankWeights rerank_weights = {};       ///< of what it gives and of the search's scores: learn_rerank_weights()
  std::optional<double> least_score = {};  ///< leaves out candidates below it: of the reranker, else of the search

  std::optional<double> diversity = {};  ///< lambda of MMR in [0, 1]: 1 is plain similarity, less avoids repetition
  std::size_t per_document = 0;  ///< hits that one document may have, and candidates in each ranking; 0: any number
  std::int64_t neighbours = 0;   ///< passages before and after a hit that Hit::context takes in
};

/// A passage that was found.
struct Hit {
  Passage passage;
  StoredDocument document;
  double score = 0;  ///< of the last stage: similarity, BM25, their fusion, the reranker's, or all by rerank_weights
  std::optional<double> similarity = {};    ///< by vector, if it was among those candidates
  std::optional<double> word_score = {};    ///< by BM25, likewise
  std::optional<double> rerank_score = {};  ///< as Query::rerank gives it
  std::string context;                      ///< the passage with its neighbours, as it stands in the document
  std::size_t context_begin = 0;            ///< bytes of the document that `context` is
  std::size_t context_end = 0;
};

}  // namespace graft
