#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

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
  std::size_t size() const override;
  bool contains(PassageId id) const override;
  std::vector<PassageId> ids() const override;

  /// Gives passages of the store their vectors. Throws OptionError for a passage that the store does not hold, too.
  void add(std::span<const PassageId> ids, std::span<const float> vectors) override;

  /// Takes the passages their vectors; the passages stay in the store.
  void remove(std::span<const PassageId> ids) override;

  std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k,
                                          const std::vector<PassageId>* allowed = nullptr) const override;

  /// The same for documents that `filter` selects, which the server applies while it searches.
  std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k, const Filter& filter) const;

 private:
  PostgresStore* store_;
  VectorSpace space_;
};

inline PostgresIndex::PostgresIndex(PostgresStore& store, VectorSpace space)
    : store_(&store), space_(std::move(space)) {
  check_space(space_);
  detail::PostgresSnapshot snapshot(store.pool_);
  if (!snapshot.holds(space_)) detail::no_space(store.name(), space_);
}

inline std::size_t PostgresIndex::size() const { return detail::PostgresSnapshot(store_->pool_).vector_count(space_); }

inline bool PostgresIndex::contains(PassageId id) const {
  return detail::PostgresSnapshot(store_->pool_).without_vectors(space_, std::vector{id}).empty();
}

inline std::vector<PassageId> PostgresIndex::ids() const {
  return detail::PostgresSnapshot(store_->pool_).vector_ids(space_);
}

inline void PostgresIndex::add(std::span<const PassageId> ids, std::span<const float> vectors) {
  detail::PostgresWriter writer(store_->pool_);
  writer.put_vectors(space_, ids, vectors);
  writer.commit();
}

inline void PostgresIndex::remove(std::span<const PassageId> ids) {
  detail::PostgresWriter writer(store_->pool_);
  writer.remove_vectors(space_, ids);
  writer.commit();
}

inline std::vector<std::vector<Scored>> PostgresIndex::search(std::span<const float> queries, std::size_t k,
                                                              const std::vector<PassageId>* allowed) const {
  return detail::PostgresSnapshot(store_->pool_).search_many(space_, queries, k, nullptr, allowed);
}

inline std::vector<std::vector<Scored>> PostgresIndex::search(std::span<const float> queries, std::size_t k,
                                                              const Filter& filter) const {
  return detail::PostgresSnapshot(store_->pool_).search_many(space_, queries, k, &filter, nullptr);
}

}  // namespace graft
