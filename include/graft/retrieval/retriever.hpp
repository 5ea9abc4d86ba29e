#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/hnsw.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/query.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

struct RetrieverOptions {
  std::optional<VectorSpace> space = {};           ///< whose vectors are searched; without it only words are
  VectorStorage storage = VectorStorage::float32;  ///< of an exact index
  unsigned threads = 0;                            ///< of one search, as ExactOptions say

  std::size_t exact_up_to = 200'000;  ///< with more vectors than this a graph is searched instead of all of them
  HnswOptions hnsw = {};
  std::filesystem::path index_file = {};  ///< where save_index() keeps the graph; empty: it is built at each start
};

/// Answers questions from a store.
///
/// Every answer is made of one snapshot of the store: the newest there was when it began. Unless the store searches
/// vectors itself (PostgresStore), they are kept in an index in memory, which follows the store: before a search it
/// takes in what was added and drops what was removed. Threads: search() may run on many at once.
class Retriever {
 public:
  /// Reads the vectors of `options.space` from the store, which must outlive this. Throws OptionError if the store does
  /// not have the space, naming those it has.
  explicit Retriever(Store& store, RetrieverOptions options = {});

  /// The best hits, best first; under `diversity` in the order they were chosen: each the candidate with the largest
  ///   lambda cos(query, candidate) - (1 - lambda) max over those chosen of cos(chosen, candidate)
  /// (Carbonell and Goldstein, SIGIR 1998).
  /// Throws OptionError for a query with neither text nor vector, a vector of another width, not finite or zero under
  /// cosine, made by an encoder that the store does not know, or an option outside its range.
  std::vector<Hit> search(const Query& query);

  /// Which index is used, and why.
  std::string index_reason() const;

  /// Writes the graph to `index_file`, whole or not at all; does nothing for an exact index, or the store's own, which
  /// need no file.
  /// Throws OptionError if no file was named, FileError with the old file in place.
  void save_index() const;

  /// Vectors in the index in memory as of the last search.
  std::size_t indexed() const;

 private:
  struct Candidate;
  std::vector<Candidate> candidates(Snapshot& snapshot, const Query& query) const;
  void open_index(Snapshot& snapshot);
  void follow(Snapshot& snapshot);
  std::vector<Hit> answer(Snapshot& snapshot, const Query& query) const;

  Store& store_;
  RetrieverOptions options_;
  mutable std::shared_mutex mutex_;     // guards what follows
  std::unique_ptr<VectorIndex> index_;  // null: words alone, or the store searches its vectors
  std::string reason_;
  std::uint64_t generation_ = 0;
  std::string stamp_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/retriever-inl.hpp"
#endif
