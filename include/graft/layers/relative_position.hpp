#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace graft {

/// Which of 32 buckets holds each distance from a query to a key: int64 [2 R - 1], distance c (c < 0: the key is
/// before the query) at R - 1 + c. With a table of one row a bucket it makes the distance_bias of attention().
///
/// Half of the buckets are for keys behind the query. Of either half, eight hold the distances 0 to 7, one each, and
/// the next eight what follows, each to sqrt(2) times the distance of the one before; the last holds all from 91 on.
/// `reach`, R, is at least 1. Source: Raffel et al., T5, arXiv:1910.10683, section 2.1, and its published code.
torch::Tensor relative_position_buckets(std::int64_t reach);

inline torch::Tensor relative_position_buckets(std::int64_t reach) {
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
