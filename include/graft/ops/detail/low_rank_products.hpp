#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/detail/blocked_product.hpp"
#include "graft/ops/detail/dropout_bits.hpp"
#include "graft/ops/kernels/low_rank_kernels.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft::detail {

/// The kernels of one level behind one type: what linear() does with updates, on all threads.
template <class S>
struct LowRankProducts {
  using T = compute_t<S>;
  static constexpr at::ScalarType type = std::is_same_v<T, double> ? at::kDouble : at::kFloat;
  // Elements of the tall matrix that make a thread worth its start.
  static constexpr std::int64_t grain = 1 << 15;

  /// to [rows, columns] = factor * matrix, with `ld` elements from row to row. A loop for matrices of one short side,
  /// which cost LibTorch's operations more than their elements do.
  static void scale_into(const at::Tensor& matrix, double factor, T* to, std::int64_t ld) {
    const T* from = matrix.const_data_ptr<T>();
    const std::int64_t row = matrix.stride(0), column = matrix.stride(1);
    const T by = static_cast<T>(factor);
    for (std::int64_t i = 0; i < matrix.size(0); ++i) {
      for (std::int64_t j = 0; j < matrix.size(1); ++j) to[i * ld + j] = by * from[i * row + j * column];
    }
  }

  /// `factor` times a matrix [r, n] of any type, as rows of padded_columns() elements, zeros behind.
  static at::Tensor pack(const at::Tensor& any, double factor) {
    const at::Tensor matrix = any.to(type);
    const std::int64_t rank = matrix.size(0), n = matrix.size(1), width = GRAFT_SIMD_CALL(S, padded_columns<T>, n);
    if (width == n && factor == 1.0 && matrix.is_contiguous()) return matrix;
    at::Tensor out = at::empty({rank, width}, matrix.options().requires_grad(false));
    T* to = out.data_ptr<T>();
    scale_into(matrix, factor, to, width);
    for (std::int64_t r = 0; r < rank; ++r) std::fill(to + r * width + n, to + (r + 1) * width, T(0));
    return out;
  }

  /// `factor` times the transpose of a matrix.
  static at::Tensor transposed(const at::Tensor& matrix, double factor) {
    at::Tensor out = at::empty({matrix.size(1), matrix.size(0)}, matrix.options());
    scale_into(matrix.t(), factor, out.data_ptr<T>(), matrix.size(0));
    return out;
  }

  static at::Tensor draw_bits(std::int64_t rows, std::int64_t columns, const DropoutBits& bits) {
    const std::int64_t words = (columns + 63) / 64;
    at::Tensor out = at::empty({rows, words}, at::kLong);
    auto* data = static_cast<std::uint64_t*>(out.data_ptr());
    parallel_for(rows * words, 512, [&](std::int64_t first, std::int64_t last) {
      GRAFT_SIMD_CALL(S, keep_bits, data, first, last, bits.key, bits.threshold);
    });
    return out;
  }

  static const std::uint64_t* words_of(const at::Tensor& bits) {
    return bits.defined() ? static_cast<const std::uint64_t*>(bits.const_data_ptr()) : nullptr;
  }

  /// kept(x) thin^T: x [T, n], thin packed [r, padded n] -> [T, r].
  static at::Tensor project_rows(const at::Tensor& x, const at::Tensor& bits, const at::Tensor& thin) {
    const std::int64_t rows = x.size(0), n = x.size(1), words = (n + 63) / 64, rank = thin.size(0), ldt = thin.size(1);
    at::Tensor low = at::zeros({rows, rank}, x.options().dtype(type));
    const S* from = static_cast<const S*>(x.const_data_ptr());
    const T* with = thin.const_data_ptr<T>();
    T* to = low.data_ptr<T>();
    const std::uint64_t* kept = words_of(bits);
    parallel_for(rows, grain / std::max<std::int64_t>(n, 1), [&](std::int64_t first, std::int64_t last) {
      GRAFT_SIMD_CALL(S, project<S>, from + first * n, last - first, n,
                      kept == nullptr ? nullptr : kept + first * words, words, with, ldt, rank, to + first * rank);
    });
    return low;
  }

  /// y += kept(low wide): low [T, r], wide packed [r, padded n], y [T, n].
  static void expand_rows(const at::Tensor& low, const at::Tensor& wide, const at::Tensor& bits, at::Tensor& y) {
    const std::int64_t rows = y.size(0), n = y.size(1), words = (n + 63) / 64, width = low.size(1);
    const T* from = low.const_data_ptr<T>();
    const T* with = wide.const_data_ptr<T>();
    S* to = static_cast<S*>(y.data_ptr());
    const std::uint64_t* kept = words_of(bits);
    parallel_for(rows, grain / std::max<std::int64_t>(n, 1), [&](std::int64_t first, std::int64_t last) {
      GRAFT_SIMD_CALL(S, expand<S>, from + first * width, width, wide.size(0), with, last - first, n,
                      kept == nullptr ? nullptr : kept + first * words, words, to + first * n);
    });
  }

  /// low^T kept(x): x [T, n], low [T, r] -> [r, n].
  static at::Tensor correlate_columns(const at::Tensor& x, const at::Tensor& bits, const at::Tensor& low) {
    const std::int64_t rows = x.size(0), n = x.size(1), words = (n + 63) / 64, rank = low.size(1);
    at::Tensor out = at::empty({rank, n}, x.options().dtype(type));
    const S* from = static_cast<const S*>(x.const_data_ptr());
    const T* with = low.const_data_ptr<T>();
    T* to = out.data_ptr<T>();
    parallel_for(words, std::max<std::int64_t>(grain / 64 / std::max<std::int64_t>(rows, 1), 1),
                 [&](std::int64_t first, std::int64_t last) {
                   GRAFT_SIMD_CALL(S, correlate<S>, from, rows, n, 64 * first, std::min(n, 64 * last), words_of(bits),
                                   words, with, rank, to);
                 });
    return out;
  }
};

/// y [T, n] += kept(low wide), where wide is the first n columns of what LowRankProducts::pack() gave.
inline void add_low_rank(at::Tensor& y, const LowRankFactors& more) {
  if (!more.low.defined()) return;
  with_element_type(y.scalar_type(),
                    [&]<class S>() { LowRankProducts<S>::expand_rows(more.low, more.wide, more.bits, y); });
}

}  // namespace graft::detail
