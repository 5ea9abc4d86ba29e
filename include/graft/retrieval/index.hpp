#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
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
inline std::string metric_name(Metric metric) {
  switch (metric) {
    case Metric::cosine:
      return "cosine";
    case Metric::inner_product:
      return "inner_product";
    case Metric::euclidean:
      return "euclidean";
  }
  throw OptionError(message("metric ", static_cast<int>(metric), " is unknown"));
}

/// The metric of that name; nothing if there is none.
inline std::optional<Metric> metric_by_name(std::string_view name) {
  for (const Metric metric : {Metric::cosine, Metric::inner_product, Metric::euclidean})
    if (metric_name(metric) == name) return metric;
  return std::nullopt;
}

/// Throws OptionError if `space` has no model, or a width outside 1 to 65536.
inline void check_space(const VectorSpace& space) {
  if (space.model.empty()) throw OptionError("a vector space has no model; give the model's fingerprint");
  if (space.width < 1 || space.width > 65536)
    throw OptionError(
        message("vectors of model ", quoted(space.model), " are ", space.width, " numbers wide; choose 1 to 65536"));
}

/// Throws ShapeError if `vectors` is not [count, width], and OptionError if a number is not finite or, under cosine, a
/// vector is zero. `what` names the vectors in the message: "query", "vector".
inline void check_vectors(const VectorSpace& space, std::size_t count, std::span<const float> vectors,
                          std::string_view what) {
  const auto width = static_cast<std::size_t>(space.width);
  if (vectors.size() / width != count || vectors.size() % width != 0)
    throw ShapeError(message(count, " ", what, " rows of model ", quoted(space.model), " need ", count, " x ", width,
                             " numbers, but ", vectors.size(), " were given"));
  for (std::size_t row = 0; row < count; ++row) {
    const auto numbers = vectors.subspan(row * width, width);
    std::uint32_t some = 0, beyond = 0;  // infinities and NaN have the largest exponent: one more is the sign's bit
    for (const float x : numbers) {
      const std::uint32_t size = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
      some |= size;
      beyond |= size + 0x00800000u;
    }
    if (beyond >> 31)
      throw OptionError(
          message(what, " ", row, " of model ", quoted(space.model), " holds a number that is not finite"));
    if (some == 0 && space.metric == Metric::cosine)
      throw OptionError(message(what, " ", row, " of model ", quoted(space.model),
                                " is zero, which has no cosine; check the text it was made from"));
  }
}

}  // namespace graft
