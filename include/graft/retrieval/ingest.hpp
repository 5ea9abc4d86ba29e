#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/chunker.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

/// Texts to vectors [texts.size(), width], laid end to end.
using EmbedFunction = std::function<std::vector<float>(std::span<const std::string> texts)>;

/// What makes vectors of passages, and the space they live in.
struct PassageModel {
  VectorSpace space;
  EmbedFunction embed;
};

/// What an ingest has done so far. A document counts once it is durable.
struct IngestReport {
  std::size_t added = 0;
  std::size_t changed = 0;    ///< another text, cutting, source, date or other metadata
  std::size_t completed = 0;  ///< the same, but vectors of this model were missing
  std::size_t unchanged = 0;
  std::size_t refused = 0;
  std::size_t passages = 0;  ///< cut
  std::size_t embedded = 0;  ///< passages that the model was called for
  bool stopped = false;      ///< by IngestOptions::stop
};

/// The documents that were given so far: the source of each by its uri.
using GivenDocuments = std::unordered_map<std::string, std::string>;

struct IngestOptions {
  std::size_t batch = 256;  ///< passages, and at most as many documents, that are embedded and committed together

  std::function<bool()> stop = {};  ///< asked before each document; true ends the ingest. What was not
                                    ///< committed is as if never seen, and the next run does it
  std::function<void(const IngestReport&)> progress = {};  ///< called after each commit
  std::function<void(const Document&, const OptionError&)> refused =
      {};  ///< takes a document that the store does not
           ///< take; without it that error ends the ingest

  GivenDocuments* given = nullptr;  ///< of earlier ingests that count as one with this; what is given here is added
  std::function<bool(const std::string& source)> still_there =
      {};  ///< asked of the source of a document in the store when another source gives its uri: true refuses the
           ///< other. Without it the other takes its place
};

/// Brings documents into the store, cut by `chunker` and, with a `model`, embedded. `next` gives the documents one by
/// one and then nothing. Documents of the store that `next` does not give stay as they are.
///
/// A uri names one document: a second one of it is refused, and so is one whose uri the store has from a source that is
/// `still_there`. A document whose text is in the store, cut the same way, is not cut again. A passage is embedded
/// unless its document has one of the same words with a vector of this model: of a text that was edited, or is cut in
/// another way, only what is new. Nothing is locked while documents are read, cut and embedded; each batch is one
/// transaction. Throws what `next`, the length function, the model and the store throw; batches before are kept.
IngestReport ingest(Store& store, const Chunker& chunker, const PassageModel* model,
                    const std::function<std::optional<Document>()>& next, const IngestOptions& options = {});

/// The same for documents in memory.
IngestReport ingest(Store& store, const Chunker& chunker, const PassageModel* model,
                    std::span<const Document> documents, const IngestOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/ingest-inl.hpp"
#endif
