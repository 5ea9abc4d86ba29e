#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "graft/core/detail/aligned.hpp"
#include "graft/core/mode.hpp"
#include "graft/retrieval/index.hpp"

namespace graft {

/// How an ExactIndex stores its numbers.
enum class VectorStorage {
  float32,
  float16,  ///< half the memory and, since memory is what a search waits for, up to twice the speed; 3 digits a number
};

struct ExactOptions {
  VectorStorage storage = VectorStorage::float32;
  unsigned threads = 0;  ///< of one search; 0: one for each core. A search too small to share stays on the caller's
};

/// Compares a query with every vector: finds exactly min(k, passages that may be found), the best there are.
///
/// A filter is applied before the ranking. Nothing is built: adding and removing cost no more than copying the vectors.
/// Scores are float32 sums; under cosine vectors are scaled to length 1 as they are added. A query gives the same bits
/// alone and in a batch. Uses AVX-512 or AVX2 where the processor has them, whatever flags the program is compiled
/// with.
class ExactIndex : public VectorIndex {
 public:
  /// Throws OptionError for a space without model or width, or one wider than 65536.
  explicit ExactIndex(VectorSpace space, ExactOptions options = {});
  GRAFT_INLINE ~ExactIndex() override;
  ExactIndex(ExactIndex&&) noexcept;
  ExactIndex& operator=(ExactIndex&&) noexcept;

  const VectorSpace& space() const override { return space_; }
  std::size_t size() const override { return ids_.size(); }
  bool contains(PassageId id) const override { return rows_.contains(id); }
  std::vector<PassageId> ids() const override { return ids_; }

  GRAFT_INLINE void add(std::span<const PassageId> ids, std::span<const float> vectors) override;
  GRAFT_INLINE void remove(std::span<const PassageId> ids) override;

  /// Always min(k, passages that may be found) results.
  GRAFT_INLINE std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k,
                                                       const std::vector<PassageId>* allowed = nullptr) const override;

 private:
  template <class Row>
  void search_rows(const detail::LineVector<Row>& data, std::span<const float> queries, std::size_t k,
                   const std::vector<std::uint32_t>* rows, std::vector<std::vector<Scored>>& out) const;

  VectorSpace space_;
  ExactOptions options_;
  std::size_t stride_;  // numbers from row to row: the width, padded with zeros
  std::vector<PassageId> ids_;
  std::unordered_map<PassageId, std::uint32_t> rows_;
  detail::LineVector<float> floats_;          // [size(), stride_]; one of the two is used
  detail::LineVector<std::uint16_t> halves_;  // [size(), stride_]
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/exact-inl.hpp"
#endif
