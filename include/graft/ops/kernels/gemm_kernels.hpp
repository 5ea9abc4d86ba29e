#pragma once

#include <algorithm>
#include <cstdint>

#include "graft/ops/kernels/vector.hpp"

namespace graft::detail {

/// A matrix in memory: element (i, k) lies at data[i * row + k * column].
template <class T>
struct Strided {
  const T* data = nullptr;
  std::int64_t row = 0, column = 0;

  Strided from(std::int64_t i, std::int64_t k) const { return {data + i * row + k * column, row, column}; }
};

}  // namespace graft::detail

/// multiply(): products of small or thin matrices that lie in the caches.
#define GRAFT_SIMD_FILE "graft/ops/kernels/gemm_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
