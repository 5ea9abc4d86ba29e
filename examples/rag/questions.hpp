#pragma once

// A store open for questions.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graft/rag/embedder.hpp"
#include "graft/retrieval/retriever.hpp"
#include "models.hpp"
#include "store.hpp"

/// What --mode says.
enum class SearchMode { hybrid, dense, bm25 };

inline SearchMode mode_named(const std::string& name) {
  return name == "bm25" ? SearchMode::bm25 : name == "dense" ? SearchMode::dense : SearchMode::hybrid;
}

/// A store open for questions, with the model that made its vectors unless only words are searched.
class Search {
 public:
  Search(const std::string& name, const std::string& model, bool vectors) : store_(open_store(name, false)) {
    graft::RetrieverOptions options;
    if (vectors) {
      embedder_.emplace(model_of(*store_, model));
      options.space = embedder_->space();
      options.index_file = index_file(name);
    }
    retriever_.emplace(*store_, options);
    if (vectors && !model.empty()) note_model(embedder_->space().model, model);
  }

  graft::Store& store() { return *store_; }
  graft::Retriever& retriever() { return *retriever_; }
  const graft::Embedder& embedder() const { return *embedder_; }

  /// Makes `query`, which has a text, one of `mode`; `vector` is the text's, if it is known already.
  void set_mode(graft::Query& query, SearchMode mode, std::vector<float> vector = {}) const {
    if (mode != SearchMode::bm25) query.vector = vector.empty() ? embedder_->query(query.text) : std::move(vector);
    if (mode == SearchMode::dense) query.text.clear();
  }

 private:
  std::unique_ptr<graft::Store> store_;
  std::optional<graft::Embedder> embedder_;
  std::optional<graft::Retriever> retriever_;
};
