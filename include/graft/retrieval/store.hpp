#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/retrieval/document.hpp"
#include "graft/retrieval/filter.hpp"

namespace graft {

/// A document as a store holds it, without its text.
struct StoredDocument {
  DocumentId id = 0;
  std::string uri;
  std::string source;  ///< what it was read from: Document::source, or the uri
  std::string hash;    ///< SHA-256 of the text, 64 hexadecimal digits
  std::int64_t modified = 0;
  std::string cutting;  ///< how it was cut: Chunker::name(), or what the caller gave
  Json metadata;
  std::size_t bytes = 0;  ///< length of the text
  std::size_t passages = 0;
};

/// A document by its names.
struct DocumentOrigin {
  DocumentId id = 0;
  std::string uri;
  std::string source;
};

struct StoreSize {
  std::size_t documents = 0;
  std::size_t passages = 0;
};

/// What a store holds at one moment: writers, here or in other processes, change nothing that it sees.
///
/// Threads: one at a time. Every member throws FormatError if the store is damaged and FileError if it cannot be read.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  /// Grows with every commit: two snapshots of one generation hold the same.
  virtual std::uint64_t generation() = 0;

  /// Names this state: no other state, of this or another store, has the same stamp.
  virtual std::string stamp() = 0;

  /// Whether the store once was in the state of that stamp and came from there to this one.
  virtual bool follows(std::string_view stamp) = 0;

  virtual StoreSize size() = 0;
  virtual std::vector<VectorSpace> spaces() = 0;

  virtual std::optional<StoredDocument> find(std::string_view uri) = 0;

  /// At most `limit` documents with ids above `after`, by id.
  virtual std::vector<StoredDocument> documents(DocumentId after = 0, std::size_t limit = 1000) = 0;

  /// These documents, in this order. Throws OptionError for an id that is not there.
  virtual std::vector<StoredDocument> documents(std::span<const DocumentId> ids) = 0;

  /// The documents whose source is `place` or, where that is a directory, lies in it; by id.
  virtual std::vector<DocumentOrigin> origins(std::string_view place) = 0;

  /// The bytes [begin, end) of a document's text. Throws OptionError for an id that is not there or an end before
  /// begin; an end past the text is that of the text.
  virtual std::string text(DocumentId document, std::size_t begin = 0, std::size_t end = SIZE_MAX) = 0;

  /// These passages, in this order. Throws OptionError for an id that is not there.
  virtual std::vector<Passage> passages(std::span<const PassageId> ids) = 0;

  /// The documents of these passages, in this order. Throws OptionError for an id that is not there.
  virtual std::vector<DocumentId> documents_of(std::span<const PassageId> ids) = 0;

  /// The passages of a document with first <= order <= last, in order.
  virtual std::vector<Passage> passages_of(DocumentId document, std::int64_t first = 0,
                                           std::int64_t last = INT64_MAX) = 0;

  /// Passages of the documents for which `filter` holds, by id.
  virtual std::vector<PassageId> matching(const Filter& filter) = 0;

  /// The k passages that fit the words of `question` best, by BM25 over stemmed words; a passage needs one of the
  /// words. `question` is plain text: nothing in it is an operator.
  virtual std::vector<Scored> search_words(std::string_view question, std::size_t k,
                                           const Filter* filter = nullptr) = 0;

  /// The passages that have a vector of `space`, by id; none if the store does not have the space.
  virtual std::vector<PassageId> vector_ids(const VectorSpace& space) = 0;

  /// Those of `ids` that have no vector of `space`, in their order.
  virtual std::vector<PassageId> without_vectors(const VectorSpace& space, std::span<const PassageId> ids) = 0;

  /// Vectors of these passages [ids.size(), width]. Throws OptionError for a passage that has none.
  virtual std::vector<float> vectors(const VectorSpace& space, std::span<const PassageId> ids) = 0;

  /// A note by its name; nothing if there is none.
  virtual std::optional<std::string> note(std::string_view name) = 0;

  /// All notes by name.
  virtual std::map<std::string, std::string> notes() = 0;

  /// Whether the store itself searches vectors, in an index of its own. If not, an index is made from vectors().
  virtual bool searches_vectors() const { return false; }

  /// The k passages nearest to `query` [width], of documents for which `filter` holds: min(k, as many as there are),
  /// best first, equal scores by id. Throws StateError if the store does not search vectors, ShapeError or OptionError
  /// for a query that put_vectors() would refuse as a vector, OptionError for another width or metric than the store's.
  virtual std::vector<Scored> search_vectors(const VectorSpace& space, std::span<const float> query, std::size_t k,
                                             const Filter* filter = nullptr) {
    (void)space, (void)query, (void)k, (void)filter;
    throw StateError("this store does not search vectors; make an index from its vectors, as Retriever does");
  }
};

/// A snapshot that can be changed; the only one of its store, in any process. All changes appear together, on commit();
/// an object that is destroyed before has changed nothing. After a call that threw, other calls and commit() go on as
/// if it had not been made.
class Writer : public Snapshot {
 public:
  /// Adds the document, or replaces the one of its uri: cut at `ranges`, in the order of the text, possibly
  /// overlapping. Gives the ids of the passages; vectors are added with put_vectors(). `cutting` says how the ranges
  /// were made. Throws OptionError for an empty uri, a text or uri that is not UTF-8 or holds NUL, a text above the
  /// store's limit, a source that is not UTF-8 or holds NUL, a range outside the text or within a character, metadata
  /// that is no object or holds a key "uri" or "modified", a heading or `cutting` that is not UTF-8 or holds NUL.
  virtual std::vector<PassageId> put(const Document& document, std::span<const PassageRange> ranges,
                                     std::string_view cutting = "") = 0;

  /// Replaces what is known of a document besides its text; passages and vectors stay. An empty `source` leaves the one
  /// it has. Throws OptionError if it is not there, or as put().
  virtual void set_metadata(std::string_view uri, const Json& metadata, std::int64_t modified,
                            std::string_view source = "") = 0;

  /// Removes a document with passages and vectors. False if there was none.
  virtual bool remove(std::string_view uri) = 0;

  /// Makes room for vectors of `space`. Throws OptionError if the store has vectors of that model with another width or
  /// metric, or takes none so wide, or the model's name is not UTF-8 or holds NUL.
  virtual void add_space(const VectorSpace& space) = 0;

  /// Removes the space with its vectors. False if there was none.
  virtual bool remove_space(const VectorSpace& space) = 0;

  /// Adds or replaces vectors [ids.size(), width] of these passages. Throws OptionError for a space the store does not
  /// have, a passage it does not have, a vector that is not finite or, under cosine, zero; ShapeError for another
  /// width.
  virtual void put_vectors(const VectorSpace& space, std::span<const PassageId> ids,
                           std::span<const float> vectors) = 0;

  /// Keeps a small text beside the documents: a setting, what was learned about them. Replaces the note of that name.
  /// Throws OptionError for a name that is empty or above 4,096 bytes, a text above 1 MiB, or either with bytes that
  /// are not UTF-8 or NUL.
  virtual void set_note(std::string_view name, std::string_view text) = 0;

  /// False if there was none.
  virtual bool remove_note(std::string_view name) = 0;

  /// Makes the changes durable: once it returns they survive a kill and a power cut. Nothing can be called after it.
  /// Throws FileError (a full disk, ...) with the store as it was.
  virtual void commit() = 0;
};

/// The record of documents, passages, words and vectors. Indexes are made from it.
///
/// Threads: any number may read and write through one Store; each through a snapshot or writer of its own.
class Store {
 public:
  virtual ~Store() = default;

  /// Where it is, for messages.
  virtual std::string name() const = 0;

  /// Throws OptionError for a document that Writer::put() refuses whatever its passages are.
  virtual void check_document(const Document& document) const = 0;

  virtual std::unique_ptr<Snapshot> read() = 0;

  /// Waits for another writer, as long as the store's options say; then throws StateError.
  virtual std::unique_ptr<Writer> write() = 0;

  /// Reads everything and throws FormatError, with all that was found wrong, if the store is damaged.
  virtual void check() = 0;
};

}  // namespace graft
