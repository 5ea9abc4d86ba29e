#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Names a document or a passage within one store. Positive, given by the store, never used again after a deletion.
using DocumentId = std::int64_t;
using PassageId = std::int64_t;

/// What a caller hands to a store.
struct Document {
  std::string uri;   ///< names it in the store: a path, an address, a key; not empty
  std::string text;  ///< UTF-8 without NUL
  Json metadata =
      Json::object();  ///< text, numbers, booleans, null; lists of these; objects, whose fields filters call "a.b"
  std::int64_t modified = 0;  ///< seconds since 1970; what 0 means is the caller's affair
  std::string source = {};    ///< the file or address that it was read from; empty: its uri
};

/// One passage of a text: the bytes [begin, end). Both lie on borders of UTF-8 characters.
struct PassageRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string heading =
      {};  ///< the Markdown headings above it, outermost first, joined by " > "; empty if there are none
};

/// A passage as a store holds it.
struct Passage {
  PassageId id = 0;
  DocumentId document = 0;
  std::int64_t order = 0;  ///< 0, 1, ... within its document
  PassageRange range;
  std::string text;  ///< the document's bytes [range.begin, range.end)
};

/// What is embedded and searched for words: the text, below its headings if it has any.
std::string searchable(std::string_view heading, std::string_view text);

/// How near two vectors are. Every score in graft is larger for nearer vectors.
enum class Metric {
  cosine,         ///< in [-1, 1]; a vector of zeros has none and is refused
  inner_product,  ///< unbounded
  euclidean,      ///< minus the squared distance, at most 0
};

/// Where vectors live: only vectors of one space can be compared.
struct VectorSpace {
  std::string model;       ///< fingerprint of the model that makes the vectors: another model, another fingerprint
  std::int64_t width = 0;  ///< numbers in a vector, 1 to 65536
  Metric metric = Metric::cosine;
  bool operator==(const VectorSpace&) const = default;
};

/// An id and how well it fits the question.
struct Scored {
  std::int64_t id = 0;
  double score = 0;
  bool operator==(const Scored&) const = default;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/document-inl.hpp"
#endif
