#pragma once

#include <algorithm>
#include <cstdint>

#include "graft/core/detail/aligned.hpp"
#include "graft/ops/kernels/gemm_kernels.hpp"
#include "graft/ops/kernels/row_kernels.hpp"

namespace graft::detail {

inline constexpr std::int64_t strip_rows = 16;  ///< of A, copied where A is not row-major: a line of the caches

/// Rows of a panel for a product over K: at most 768, of which a tile's part of A stays in an L1 cache, in even pieces
/// of whole squares (pack_transposed()).
constexpr std::int64_t product_depth(std::int64_t K) {
  constexpr std::int64_t most = 768, square = 16;
  K = std::max<std::int64_t>(K, 1);
  const std::int64_t pieces = (K + most - 1) / most;
  return (K + pieces * square - 1) / (pieces * square) * square;
}

/// c [M, N] = onto + a [M, K] b [K, N] + kept(low [M, rank] wide [rank, N]).
template <class T>
struct Product {
  std::int64_t M = 0, N = 0, K = 0, rank = 0;
  Strided<T> a{}, b{}, low{}, wide{};
  const std::uint64_t* bits = nullptr;  ///< of the rows' elements, those kept; null for all
  std::int64_t words = 0;               ///< of bits to a row
  std::int64_t first_column = 0;        ///< where in its row of bits a row begins
  const T* onto = nullptr;              ///< null for zero
  std::int64_t ldo = 0;                 ///< elements from row to row of onto: 0 where all are the same
  T* c = nullptr;
  std::int64_t ldc = 0;

  /// `rows` of it from row i on, and `columns` from column j on.
  Product block(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t columns) const {
    Product part = *this;
    part.M = rows;
    part.N = columns;
    part.a = a.from(i, 0);
    part.b = b.from(0, j);
    if (rank > 0) {
      part.low = low.from(i, 0);
      part.wide = wide.from(0, j);
    }
    if (bits != nullptr) part.bits = bits + i * words;
    part.first_column = first_column + j;
    if (onto != nullptr) part.onto = onto + i * ldo + j;
    part.c = c + i * ldc + j;
    return part;
  }
};

/// Memory of a thread for the panels of a block, kept until the thread ends.
template <class T>
T* product_scratch(std::int64_t numbers) {
  thread_local LineVector<T> scratch;
  if (scratch.size() < static_cast<std::size_t>(numbers)) {
    scratch = {};  // before the new one is made: nothing of it is kept
    scratch.resize(static_cast<std::size_t>(numbers));
  }
  return scratch.data();
}

}  // namespace graft::detail

/// multiply_block(): products of matrices that do not fit into the caches.
#define GRAFT_SIMD_FILE "graft/ops/kernels/product_kernels.inc"
#include "graft/ops/kernels/for_each_simd.inc"
