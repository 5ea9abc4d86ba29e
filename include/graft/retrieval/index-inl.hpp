#pragma once

#include <algorithm>

#include "graft/retrieval/index.hpp"

namespace graft {

GRAFT_INLINE std::string metric_name(Metric metric) {
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

GRAFT_INLINE std::optional<Metric> metric_by_name(std::string_view name) {
  for (const Metric metric : {Metric::cosine, Metric::inner_product, Metric::euclidean})
    if (metric_name(metric) == name) return metric;
  return std::nullopt;
}

GRAFT_INLINE void check_space(const VectorSpace& space) {
  if (space.model.empty()) throw OptionError("a vector space has no model; give the model's fingerprint");
  if (space.width < 1 || space.width > 65536)
    throw OptionError(
        message("vectors of model ", quoted(space.model), " are ", space.width, " numbers wide; choose 1 to 65536"));
}

GRAFT_INLINE void check_vectors(const VectorSpace& space, std::size_t count, std::span<const float> vectors,
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

GRAFT_INLINE void check_new_ids(const VectorIndex& index, std::span<const PassageId> ids) {
  std::vector<PassageId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) throw OptionError(message("passage ", *twice, " is given twice; add each once"));
  for (const PassageId id : ids)
    if (index.contains(id)) throw OptionError(message("passage ", id, " is already in the index; remove it first"));
}

}  // namespace graft
