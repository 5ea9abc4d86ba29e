#pragma once

// A store open for questions.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graft/rag/embedder.hpp"
#include "graft/retrieval/retriever.hpp"

/// What --mode says.
enum class SearchMode { hybrid, dense, bm25 };

SearchMode mode_named(const std::string& name);

/// A store open for questions, with the model that made its vectors unless only words are searched.
class Search {
 public:
  Search(const std::string& name, const std::string& model, bool vectors);

  graft::Store& store() { return *store_; }
  graft::Retriever& retriever() { return *retriever_; }
  const graft::Embedder& embedder() const { return *embedder_; }

  /// Makes `query`, which has a text, one of `mode`; `vector` is the text's, if it is known already.
  void set_mode(graft::Query& query, SearchMode mode, std::vector<float> vector = {}) const;

 private:
  std::unique_ptr<graft::Store> store_;
  std::optional<graft::Embedder> embedder_;
  std::optional<graft::Retriever> retriever_;
};
