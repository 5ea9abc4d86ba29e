#pragma once

#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include "graft/core/detail/aligned.hpp"
#include "graft/retrieval/detail/dot.hpp"
#include "graft/retrieval/index.hpp"

namespace graft::detail {

/// The distance between rows whose every number a kernel may read: the width up to a multiple of kRowStep.
inline std::size_t padded_width(std::int64_t width) {
  return (static_cast<std::size_t>(width) + kRowStep - 1) / kRowStep * kRowStep;
}

/// Copies a vector as an index keeps it: under cosine scaled to length 1. `to` may be longer; the rest is left alone.
inline void copy_scaled(Metric metric, std::span<const float> from, float* to) {
  double scale = 1;
  if (metric == Metric::cosine) {
    double sums[8] = {};  // that need not wait for one another
    std::size_t i = 0;
    for (; i + 8 <= from.size(); i += 8)
      for (std::size_t s = 0; s < 8; ++s) sums[s] += static_cast<double>(from[i + s]) * from[i + s];
    for (; i < from.size(); ++i) sums[0] += static_cast<double>(from[i]) * from[i];
    scale = 1 / std::sqrt(std::accumulate(sums, sums + 8, 0.0));
  }
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<float>(from[i] * scale);
}

/// `queries` [Q, width], scaled as copy_scaled() does and padded to [Q, padded_width()].
inline LineVector<float> padded_queries(const VectorSpace& space, std::span<const float> queries) {
  const auto width = static_cast<std::size_t>(space.width);
  const std::size_t count = queries.size() / width;
  const std::size_t stride = padded_width(space.width);
  LineVector<float> out(count * stride, 0.0f);
  for (std::size_t q = 0; q < count; ++q)
    copy_scaled(space.metric, queries.subspan(q * width, width), out.data() + q * stride);
  return out;
}

}  // namespace graft::detail
