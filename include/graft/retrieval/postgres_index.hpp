#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/index.hpp"
#include "graft/retrieval/postgres_store.hpp"

namespace graft {

/// The vectors that a PostgresStore holds of one space, as an index: searched by the server, nothing is held here.
///
/// Every call is a transaction of its own: a search sees the newest commit, a change is durable once it returns. As
/// many results as ExactIndex gives always come back, also under a filter. Threads: any number, since each call has a
/// connection of its own.
class PostgresIndex : public VectorIndex {
 public:
  /// Throws OptionError if the store, which must outlive this, does not hold the space; see Writer::add_space().
  PostgresIndex(PostgresStore& store, VectorSpace space);

  const VectorSpace& space() const override { return space_; }
  GRAFT_INLINE std::size_t size() const override;
  GRAFT_INLINE bool contains(PassageId id) const override;
  GRAFT_INLINE std::vector<PassageId> ids() const override;

  /// Gives passages of the store their vectors. Throws OptionError for a passage that the store does not hold, too.
  GRAFT_INLINE void add(std::span<const PassageId> ids, std::span<const float> vectors) override;

  /// Takes the passages their vectors; the passages stay in the store.
  GRAFT_INLINE void remove(std::span<const PassageId> ids) override;

  GRAFT_INLINE std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k,
                                                       const std::vector<PassageId>* allowed = nullptr) const override;

  /// The same for documents that `filter` selects, which the server applies while it searches.
  std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k, const Filter& filter) const;

 private:
  PostgresStore* store_;
  VectorSpace space_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/postgres_index-inl.hpp"
#endif
