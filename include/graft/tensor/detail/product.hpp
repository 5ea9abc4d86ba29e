#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "graft/core/detail/aligned.hpp"
#include "graft/tensor/detail/parallel.hpp"
#include "graft/tensor/detail/product_kernels.hpp"

namespace graft::detail {

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

/// a [M, K] b [K, N] + bias [N] (which may be undefined), float32 or float64 on the CPU; fast where one stride is 1.
/// Both are copied in blocks while they are read, so nothing is kept of either. Goto and van de Geijn, Anatomy of
/// High-Performance Matrix Multiplication (2008). Each number is summed by one thread, in one order.
template <class T>
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  const std::int64_t M = a.size(0), K = a.size(1), N = b.size(1), threads = at::get_num_threads();
  if (M == 0 || K == 0 || N == 0) {
    const at::Tensor zeros = at::zeros({M, N}, a.options());
    return bias.defined() ? zeros.add_(bias) : zeros;
  }
  at::Tensor c = at::empty({M, N}, a.options());
  const at::Tensor onto = bias.defined() ? bias.contiguous() : bias;
  const T *left = a.const_data_ptr<T>(), *right = b.const_data_ptr<T>();
  const T* first = onto.defined() ? onto.const_data_ptr<T>() : nullptr;
  T* out = c.template data_ptr<T>();
  const std::int64_t a_row = a.stride(0), a_column = a.stride(1), b_row = b.stride(0), b_column = b.stride(1);
  const std::int64_t depth = product_depth(K);
  // Two blocks a thread even out what disturbs one of them; but strips of `a` are copied anew for each block.
  const std::int64_t least = a_column == 1 ? 2 * threads : threads;
  const std::int64_t columns = GRAFT_SIMD_CALL(T, block_columns<T>, N, depth, least);
  const std::int64_t across = (N + columns - 1) / columns;
  // Rows are divided only for threads that no columns are left for.
  const std::int64_t down = std::clamp<std::int64_t>(threads / across, 1, (M + 63) / 64);
  const std::int64_t rows = (M + down - 1) / down;
  parallel_tasks(across * down, [&](std::int64_t task) {
    const std::int64_t j = task % across * columns, i = task / across * rows;
    if (i >= M) return;
    T* const panels = product_scratch<T>(depth * (columns + strip_rows));
    GRAFT_SIMD_CALL(T, multiply_block<T>, std::min(rows, M - i), std::min(columns, N - j), K, depth,
                    {left + i * a_row, a_row, a_column}, {right + j * b_column, b_row, b_column},
                    first != nullptr ? first + j : nullptr, 0, out + i * N + j, N, panels, panels + depth * columns);
  });
  return c;
}

}  // namespace graft::detail
