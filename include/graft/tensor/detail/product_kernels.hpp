#pragma once

#include <algorithm>
#include <cstdint>

#include "graft/tensor/detail/gemm_kernels.hpp"

namespace graft::detail {

inline constexpr std::int64_t strip_rows = 16;  ///< of A, copied where A is not row-major: a line of the caches

/// Rows of a panel for a product over K: at most 768, of which a tile's part of A stays in an L1 cache, in even pieces
/// of whole squares (pack_transposed()).
constexpr std::int64_t product_depth(std::int64_t K) {
  constexpr std::int64_t most = 768, square = 16;
  const std::int64_t pieces = (K + most - 1) / most;
  return (K + pieces * square - 1) / (pieces * square) * square;
}

}  // namespace graft::detail

/// multiply_block(): products of matrices that do not fit into the caches.
#define GRAFT_SIMD_FILE "graft/tensor/detail/product_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
