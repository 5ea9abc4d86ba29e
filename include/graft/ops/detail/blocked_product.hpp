#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "graft/ops/kernels/product_kernels.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft::detail {

/// kept(low [T, r] wide [r, n]), to be added to another product [T, n]; undefined adds nothing.
struct LowRankFactors {
  at::Tensor low = {}, wide = {};
  at::Tensor bits = {};  ///< [T, (n + 63) / 64] int64: which elements are kept, the others zero; undefined: all
};

/// onto + a [M, K] b [K, N] + kept(low [M, r] wide [r, N]), float32 or float64 on the CPU; `onto` is [N], [M, N] or
/// undefined. Fast where one stride of a and one of b is 1, and r is small beside K.
/// What is read is copied in blocks meanwhile, so nothing is kept of it. Goto and van de Geijn, Anatomy of
/// High-Performance Matrix Multiplication (2008). Each number is summed by one thread, in one order.
template <class T>
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& onto,
                          const LowRankFactors& more = {}) {
  const std::int64_t M = a.size(0), K = a.size(1), N = b.size(1), threads = at::get_num_threads();
  at::Tensor c = at::empty({M, N}, a.options());
  if (c.numel() == 0) return c;
  const auto strided = [](const at::Tensor& matrix) {
    return Strided<T>{matrix.const_data_ptr<T>(), matrix.stride(0), matrix.stride(1)};
  };
  const at::Tensor start = onto.defined() ? onto.contiguous() : onto;
  Product<T> whole{.M = M, .N = N, .K = K, .a = strided(a), .b = strided(b)};
  whole.c = c.template data_ptr<T>();
  whole.ldc = N;
  if (start.defined()) {
    whole.onto = start.const_data_ptr<T>();
    whole.ldo = start.dim() == 1 ? 0 : N;
  }
  if (more.low.defined()) {
    whole.rank = more.low.size(1);
    whole.low = strided(more.low);
    whole.wide = strided(more.wide);
    if (more.bits.defined()) {
      whole.bits = static_cast<const std::uint64_t*>(more.bits.const_data_ptr());
      whole.words = more.bits.size(1);
    }
  }
  const std::int64_t depth = product_depth(K);
  // Two blocks a thread even out what disturbs one of them; but strips of `a` are copied anew for each block.
  const std::int64_t least = whole.a.column == 1 ? 2 * threads : threads;
  const std::int64_t across = GRAFT_SIMD_CALL(T, block_count<T>, N, depth + whole.rank, least);
  // Rows are divided only for threads that no columns are left for.
  const std::int64_t down = std::clamp<std::int64_t>(threads / across, 1, (M + 63) / 64);
  const std::int64_t rows = (M + down - 1) / down;
  parallel_tasks(across * down, [&](std::int64_t task) {
    const auto begin = [&](std::int64_t block) { return GRAFT_SIMD_CALL(T, block_begin<T>, N, block, across); };
    const std::int64_t j = begin(task % across), columns = begin(task % across + 1) - j, i = task / across * rows;
    if (i >= M) return;
    GRAFT_SIMD_CALL(T, multiply_block<T>, whole.block(i, std::min(rows, M - i), j, columns), depth);
  });
  return c;
}

}  // namespace graft::detail
