#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/query_encoders.hpp"

namespace graft {

/// A question's two rankings, best first, and the documents that answer it.
struct JoinExample {
  std::vector<Scored> vectors;                          ///< passages by vector
  std::vector<Scored> words;                            ///< passages by word
  std::unordered_map<PassageId, DocumentId> documents;  ///< of each passage in either
  std::vector<DocumentId> right;                        ///< at least one
};

/// nDCG@10 of documents, means over the examples.
struct JoinResult {
  JoinWeights weights;
  double joined = 0;  ///< with these weights: no less than the next three
  double vectors = 0;
  double words = 0;
  double equal = 0;  ///< with weights 1 and 1 and constant 60
};

/// The weights of the reciprocal rank fusion that find best what answers held-out questions: of shares of the vectors
/// from 0 to 1 in steps of 1/20, and rank constants 5, 10, 20 and 60, those with the largest nDCG@10 of documents, each
/// counted once; of equals those nearest to equal weights. Throws OptionError without examples, or for one without a
/// right document, or with a passage whose document is not named.
JoinResult learn_join(std::span<const JoinExample> examples);

/// nDCG@10 of documents of one example, joined by these weights as Retriever does.
double joined_ndcg(const JoinExample& example, const JoinWeights& weights);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/join_training-inl.hpp"
#endif
