#pragma once

#include <algorithm>
#include <vector>

#include <torch/types.h>

#include "graft/layers/relative_position.hpp"

namespace graft {

GRAFT_INLINE torch::Tensor relative_position_buckets(std::int64_t reach) {
  constexpr std::int64_t half = 16, exact = 8;
  std::vector<std::int64_t> buckets(static_cast<std::size_t>(2 * reach - 1));
  for (std::int64_t distance = 1 - reach; distance < reach; ++distance) {
    const std::int64_t n = std::min(std::abs(distance), std::int64_t{128});
    std::int64_t bucket = std::min(n, exact);
    // exact + floor(exact log(n / exact) / log(128 / exact)), without rounding: the next bucket starts where n^2
    // doubles.
    while (bucket >= exact && bucket + 1 < half && n * n >= (2 * exact * exact) << (bucket - exact)) ++bucket;
    buckets[static_cast<std::size_t>(reach - 1 + distance)] = bucket + (distance > 0 ? half : 0);
  }
  return torch::tensor(buckets, torch::kInt64);
}

}  // namespace graft
