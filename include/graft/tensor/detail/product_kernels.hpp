#pragma once

#include <algorithm>
#include <cstdint>

#include "graft/tensor/detail/gemm_kernels.hpp"

namespace graft::detail {

inline constexpr std::int64_t product_depth = 512;  ///< rows of a panel: a tile's part of A stays in the L1 cache
inline constexpr std::int64_t strip_rows = 16;      ///< of A, copied where A is not row-major: a line of the caches

}  // namespace graft::detail

/// multiply_block(): products of matrices that do not fit into the caches.
#define GRAFT_SIMD_FILE "graft/tensor/detail/product_kernels.inc"
#include "graft/tensor/detail/for_each_simd.inc"
