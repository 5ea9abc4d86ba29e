#pragma once

// A store open for questions.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graft/rag/cross_encoder.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/retrieval/query_encoders.hpp"
#include "graft/retrieval/retriever.hpp"
#include "query_adapter.hpp"
#include "question_options.hpp"

/// What --mode says.
enum class SearchMode { hybrid, dense, bm25 };

SearchMode mode_named(const std::string& name);

/// A store open for questions, with the model that made its vectors unless only words are searched.
class Search {
 public:
  Search(const std::string& name, const std::string& model, bool vectors, const QuestionOptions& options = {});

  graft::Store& store() { return *store_; }
  graft::Retriever& retriever() { return *retriever_; }
  const graft::Embedder& embedder() const { return *embedder_; }

  /// Makes `query`, which has a text, one of `mode`; `vector` is the text's as the model made it, if it is known
  /// already. Without `adapted` the adapter is left out, without `reranked` the cross-encoder.
  void set_mode(graft::Query& query, SearchMode mode, std::vector<float> vector = {}, bool adapted = true,
                bool reranked = true) const;

 private:
  std::unique_ptr<graft::Store> store_;
  std::optional<graft::Embedder> embedder_;
  std::optional<QueryAdapter> adapter_;
  graft::JoinWeights plain_join_, adapted_join_;
  std::optional<graft::CrossEncoder> reranker_;
  std::size_t rerank_depth_;
  std::optional<double> least_score_;
  graft::RerankWeights rerank_weights_;
  std::optional<graft::Retriever> retriever_;
};
