#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "graft/tensor/detail/autograd.hpp"
#include "graft/tensor/detail/dropout_bits.hpp"
#include "graft/tensor/detail/low_rank_kernels.hpp"
#include "graft/tensor/detail/parallel.hpp"
#include "graft/tensor/linear.hpp"

namespace graft::detail {

/// One update's share of a forward pass, kept for backward.
struct LowRankState {
  torch::autograd::SavedVariable A, B;
  at::Tensor low;                      ///< dropout(x) A^T [T, r]: in the type kernels compute in, times keep_scale
  at::Tensor bits;                     ///< [T, words] int64 where dropout is on
  std::shared_ptr<const RowSet> rows;  ///< the T rows of x, where not all
  double scale = 1, keep_scale = 1;
  bool train_A = false, train_B = false;
};

/// The kernels of one level behind one type: what linear() does with updates, on all threads.
template <class S>
struct LowRankProducts {
  using T = compute_t<S>;
  static constexpr at::ScalarType type = std::is_same_v<T, double> ? at::kDouble : at::kFloat;
  // Elements of the tall matrix that make a thread worth its start.
  static constexpr std::int64_t grain = 1 << 15;

  /// A matrix [r, columns] in any type as rows of padded_columns() elements times `factor`, zeros behind.
  static at::Tensor pack(const at::Tensor& matrix, double factor) {
    const std::int64_t columns = matrix.size(1), width = GRAFT_SIMD_CALL(S, padded_columns<T>, columns);
    if (width == columns && factor == 1.0 && matrix.scalar_type() == type && matrix.is_contiguous()) return matrix;
    at::Tensor out = at::empty({matrix.size(0), width}, matrix.options().dtype(type).requires_grad(false));
    if (width > columns) out.narrow(1, columns, width - columns).zero_();
    out.narrow(1, 0, columns).copy_(matrix);
    if (factor != 1.0) out.mul_(factor);
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

/// The rows of `matrix` [T, n], which must be contiguous: the matrix itself, a view, or a copy if they are scattered.
inline at::Tensor rows_of(const at::Tensor& matrix, const RowSet* rows) {
  if (rows == nullptr) return matrix;
  return rows->indices.defined() ? matrix.index_select(0, rows->indices) : matrix.narrow(0, rows->first, rows->count);
}

/// Writes back what rows_of() gave, if it was a copy.
inline void put_rows(at::Tensor& matrix, const RowSet* rows, const at::Tensor& part) {
  if (rows != nullptr && rows->indices.defined()) matrix.index_copy_(0, rows->indices, part);
}

/// y += term; gives what backward needs.
inline LowRankState add_term(const at::Tensor& x, const LowRankTerm& term, at::Tensor& y) {
  LowRankState state;
  state.scale = term.scale;
  state.rows = term.rows;
  const DropoutBits drawn = draw_dropout(term.dropout);
  state.keep_scale = drawn.keep_scale();
  const at::Tensor from = rows_of(x, term.rows.get());
  at::Tensor to = rows_of(y, term.rows.get());
  with_element_type(x.scalar_type(), [&]<class S>() {
    using Products = LowRankProducts<S>;
    if (drawn.active()) state.bits = Products::draw_bits(from.size(0), from.size(1), drawn);
    state.low = Products::project_rows(from, state.bits, Products::pack(term.A.detach(), state.keep_scale));
    Products::expand_rows(state.low, Products::pack(term.B.detach().t(), term.scale), {}, to);
  });
  put_rows(y, term.rows.get(), to);
  return state;
}

/// Gradients of one term from dy [T, out]; adds its share to dx if that is defined. x may be undefined where A is not
/// trained.
inline std::pair<at::Tensor, at::Tensor> term_backward(const LowRankState& state, const at::Tensor& A,
                                                       const at::Tensor& B, const at::Tensor& x, const at::Tensor& dy,
                                                       at::Tensor& dx) {
  at::Tensor dA, dB;
  const at::Tensor rows = rows_of(dy, state.rows.get());
  with_element_type(dy.scalar_type(), [&]<class S>() {
    using Products = LowRankProducts<S>;
    if (state.train_B) {
      dB = Products::correlate_columns(rows, {}, state.low).t().mul(state.scale).to(B.scalar_type()).contiguous();
    }
    if (!state.train_A && !dx.defined()) return;
    const at::Tensor u = Products::project_rows(rows, {}, Products::pack(B.t(), state.scale));
    if (state.train_A) {
      dA = Products::correlate_columns(rows_of(x, state.rows.get()), state.bits, u)
               .mul_(state.keep_scale)
               .to(A.scalar_type());
    }
    if (!dx.defined()) return;
    at::Tensor to = rows_of(dx, state.rows.get());
    Products::expand_rows(u, Products::pack(A, state.keep_scale), state.bits, to);
    put_rows(dx, state.rows.get(), to);
  });
  return {dA, dB};
}

}  // namespace graft::detail
