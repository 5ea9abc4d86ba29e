#pragma once

#include "graft/retrieval/postgres/reading.hpp"
#include "graft/retrieval/postgres/writer.hpp"
#include "graft/retrieval/postgres_index.hpp"

namespace graft {

GRAFT_INLINE PostgresIndex::PostgresIndex(PostgresStore& store, VectorSpace space)
    : store_(&store), space_(std::move(space)) {
  check_space(space_);
  detail::PostgresSnapshot snapshot(store.pool_);
  if (!snapshot.holds(space_)) detail::no_space(store.name(), space_);
}

GRAFT_INLINE bool PostgresIndex::contains(PassageId id) const {
  return detail::PostgresSnapshot(store_->pool_).without_vectors(space_, std::vector{id}).empty();
}

GRAFT_INLINE std::vector<PassageId> PostgresIndex::ids() const {
  return detail::PostgresSnapshot(store_->pool_).vector_ids(space_);
}

GRAFT_INLINE void PostgresIndex::add(std::span<const PassageId> ids, std::span<const float> vectors) {
  detail::PostgresWriter writer(store_->pool_);
  writer.put_vectors(space_, ids, vectors);
  writer.commit();
}

GRAFT_INLINE void PostgresIndex::remove(std::span<const PassageId> ids) {
  detail::PostgresWriter writer(store_->pool_);
  writer.remove_vectors(space_, ids);
  writer.commit();
}

GRAFT_INLINE std::vector<std::vector<Scored>> PostgresIndex::search(std::span<const float> queries, std::size_t k,
                                                                    const std::vector<PassageId>* allowed) const {
  return detail::PostgresSnapshot(store_->pool_).search_many(space_, queries, k, nullptr, allowed);
}

GRAFT_INLINE std::vector<std::vector<Scored>> PostgresIndex::search(std::span<const float> queries, std::size_t k,
                                                                    const Filter& filter) const {
  return detail::PostgresSnapshot(store_->pool_).search_many(space_, queries, k, &filter, nullptr);
}

}  // namespace graft

namespace graft {

GRAFT_INLINE std::size_t PostgresIndex::size() const {
  return detail::PostgresSnapshot(store_->pool_).vector_count(space_);
}

}  // namespace graft
