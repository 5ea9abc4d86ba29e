#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/retrieval/document.hpp"

namespace graft {

/// Passages by vector. An index is a cache: what it holds can be read again from the store at any time.
///
/// Vectors are rows of float32, [N, width] laid end to end.
/// Threads: const members may run on many at once, but not beside a change.
class VectorIndex {
 public:
  virtual ~VectorIndex() = default;

  virtual const VectorSpace& space() const = 0;
  virtual std::size_t size() const = 0;
  virtual bool contains(PassageId id) const = 0;
  virtual std::vector<PassageId> ids() const = 0;  ///< in no particular order

  /// Adds vectors [ids.size(), width]. Throws, with the index as it was: ShapeError if the sizes do not fit;
  /// OptionError if an id is already there or given twice, or a vector is not finite or, under cosine, zero.
  virtual void add(std::span<const PassageId> ids, std::span<const float> vectors) = 0;

  /// Removes what is there of `ids`; others are ignored.
  virtual void remove(std::span<const PassageId> ids) = 0;

  /// For each row of `queries` [Q, width] its nearest passages, best first, equal scores by id: as many as the index
  /// promises of min(k, passages that may be found). With `allowed` (sorted ids) only those may be found.
  /// Throws ShapeError or OptionError for queries that add() would refuse as vectors.
  virtual std::vector<std::vector<Scored>> search(std::span<const float> queries, std::size_t k,
                                                  const std::vector<PassageId>* allowed = nullptr) const = 0;
};

/// "cosine", "inner_product" or "euclidean".
std::string metric_name(Metric metric);

/// The metric of that name; nothing if there is none.
std::optional<Metric> metric_by_name(std::string_view name);

/// Throws OptionError if `space` has no model, or a width outside 1 to 65536.
void check_space(const VectorSpace& space);

/// Throws ShapeError if `vectors` is not [count, width], and OptionError if a number is not finite or, under cosine, a
/// vector is zero. `what` names the vectors in the message: "query", "vector".
void check_vectors(const VectorSpace& space, std::size_t count, std::span<const float> vectors, std::string_view what);

/// Throws OptionError if an id is given twice or `index` already has it.
void check_new_ids(const VectorIndex& index, std::span<const PassageId> ids);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/index-inl.hpp"
#endif
