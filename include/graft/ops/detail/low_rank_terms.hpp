#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/detail/dropout_bits.hpp"
#include "graft/ops/detail/low_rank_products.hpp"
#include "graft/ops/linear.hpp"

namespace graft::detail {

/// One update's share of a forward pass, kept for backward.
struct LowRankState {
  torch::autograd::SavedVariable A, B;
  at::Tensor low;                      ///< dropout(x) A^T [T, r]: in the type kernels compute in, times keep_scale
  at::Tensor wide;                     ///< scale B^T [r, out], packed
  at::Tensor bits;                     ///< [T, words] int64 where dropout is on
  std::shared_ptr<const RowSet> rows;  ///< the T rows of x, where not all
  double scale = 1, keep_scale = 1;
  bool train_A = false, train_B = false;
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

/// What the updates of one layer add to a product [T, n].
class LowRankShares {
 public:
  /// kept(low [T, r] wide), where wide [r, n] is packed, of these rows.
  void add(const at::Tensor& low, const at::Tensor& wide, const at::Tensor& bits, std::shared_ptr<const RowSet> rows) {
    shares_.push_back({low, wide, bits, std::move(rows)});
  }

  /// Those that the product [T, n] itself can take along.
  LowRankFactors factors(std::int64_t n) const {
    std::vector<at::Tensor> lows, wides;
    for (const Share& share : shares_) {
      if (!goes_along(share)) continue;
      lows.push_back(share.low);
      wides.push_back(share.wide);
    }
    if (lows.empty()) return {};
    if (shares_.size() == 1) return {lows.front(), wides.front().narrow(1, 0, n), shares_.front().bits};
    return {at::cat(lows, 1), at::cat(wides, 0).narrow(1, 0, n), {}};
  }

  /// Adds the others.
  void add_rest(at::Tensor& y) const {
    for (const Share& share : shares_) {
      if (goes_along(share)) continue;
      at::Tensor to = rows_of(y, share.rows.get());
      with_element_type(y.scalar_type(),
                        [&]<class S>() { LowRankProducts<S>::expand_rows(share.low, share.wide, share.bits, to); });
      put_rows(y, share.rows.get(), to);
    }
  }

 private:
  struct Share {
    at::Tensor low, wide, bits;
    std::shared_ptr<const RowSet> rows;
  };

  /// Not those of some rows; of several with dropout behind them, each has bits of its own.
  bool goes_along(const Share& share) const { return !share.rows && (!share.bits.defined() || shares_.size() == 1); }

  std::vector<Share> shares_;
};

/// Adds what a term adds to y = x weight^T; gives what backward needs.
inline LowRankState term_forward(const LowRankTerm& term, const at::Tensor& x, LowRankShares& y) {
  LowRankState state;
  state.scale = term.scale;
  state.rows = term.rows;
  const DropoutBits drawn = draw_dropout(term.dropout);
  state.keep_scale = drawn.keep_scale();
  const at::Tensor from = rows_of(x, term.rows.get());
  with_element_type(x.scalar_type(), [&]<class S>() {
    using Products = LowRankProducts<S>;
    if (drawn.active()) state.bits = Products::draw_bits(from.size(0), from.size(1), drawn);
    state.low = Products::project_rows(from, state.bits, Products::pack(term.A.detach(), state.keep_scale));
    state.wide = Products::pack(term.B.detach().t(), term.scale);
    y.add(state.low, state.wide, {}, term.rows);
  });
  return state;
}

/// Gradients of one term from dy [T, out]; adds its share to dx if that is not null. x may be undefined where A is not
/// trained.
inline std::pair<at::Tensor, at::Tensor> term_backward(const LowRankState& state, const at::Tensor& A,
                                                       const at::Tensor& B, const at::Tensor& x, const at::Tensor& dy,
                                                       LowRankShares* dx) {
  at::Tensor dA, dB;
  const at::Tensor rows = rows_of(dy, state.rows.get());
  with_element_type(dy.scalar_type(), [&]<class S>() {
    using Products = LowRankProducts<S>;
    if (state.train_B) {
      dB = Products::transposed(Products::correlate_columns(rows, {}, state.low), state.scale).to(B.scalar_type());
    }
    if (!state.train_A && dx == nullptr) return;
    const at::Tensor u = Products::project_rows(rows, {}, state.wide);
    if (state.train_A) {
      dA = Products::correlate_columns(rows_of(x, state.rows.get()), state.bits, u)
               .mul_(state.keep_scale)
               .to(A.scalar_type());
    }
    if (dx != nullptr) dx->add(u, Products::pack(A, state.keep_scale), state.bits, state.rows);
  });
  return {dA, dB};
}

}  // namespace graft::detail
