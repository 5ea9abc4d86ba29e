#include "library.hpp"

#include <optional>

#include "graft/rag/embedder.hpp"
#include "graft/retrieval/ingest.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"

struct Library::Parts {
  graft::Embedder embedder;
  graft::SqliteStore store;
  std::optional<graft::Retriever> retriever = std::nullopt;
};

Library::Library(const std::filesystem::path& file, const std::string& encoder)
    : parts_(new Parts{graft::Embedder(encoder), graft::SqliteStore(file)}) {}

Library::~Library() = default;

void Library::add(std::span<const FactDocument> documents, bool later) {
  std::vector<graft::Document> chosen;
  for (const FactDocument& document : documents)
    if (document.later == later) chosen.push_back({.uri = document.name, .text = document.text});
  const graft::Chunker chunker(parts_->embedder.length(), "tokens of " + parts_->embedder.space().model,
                               {.size = parts_->embedder.passage_tokens(), .overlap = 20});
  const graft::PassageModel passages = parts_->embedder.passage_model();
  graft::ingest(parts_->store, chunker, &passages, chosen);
}

std::vector<graft::Hit> Library::search(const std::string& question, std::size_t top) {
  auto& [embedder, store, retriever] = *parts_;
  if (!retriever) retriever.emplace(store, graft::RetrieverOptions{.space = embedder.space()});
  return retriever->search({.text = question, .vector = embedder.query(question), .top = top});
}
