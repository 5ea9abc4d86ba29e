#pragma once

// The way that changes no weight: documents in a store, looked up for each question.

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "facts.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"

/// A store of documents with the model that reads them.
class Library {
 public:
  Library(const std::filesystem::path& file, const std::string& encoder) : embedder_(encoder), store_(file) {}

  void add(std::span<const FactDocument> documents, bool later) {
    std::vector<graft::Document> chosen;
    for (const FactDocument& document : documents)
      if (document.later == later) chosen.push_back({.uri = document.name, .text = document.text});
    const graft::Chunker chunker(embedder_.length(), "tokens of " + embedder_.space().model,
                                 {.size = embedder_.passage_tokens(), .overlap = 20});
    const graft::PassageModel passages = embedder_.passage_model();
    graft::ingest(store_, chunker, &passages, chosen);
  }

  /// The best passages for a question, by words and vectors.
  std::vector<graft::Hit> search(const std::string& question, std::size_t top) {
    if (!retriever_) retriever_.emplace(store_, graft::RetrieverOptions{.space = embedder_.space()});
    return retriever_->search({.text = question, .vector = embedder_.query(question), .top = top});
  }

 private:
  graft::Embedder embedder_;
  graft::SqliteStore store_;
  std::optional<graft::Retriever> retriever_;
};
