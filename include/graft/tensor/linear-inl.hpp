#pragma once

#include <cstring>
#include <utility>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include "graft/tensor/detail/autograd.hpp"
#include "graft/tensor/detail/dropout_bits.hpp"
#include "graft/tensor/detail/few_rows_kernels.hpp"
#include "graft/tensor/detail/low_rank_kernels.hpp"
#include "graft/tensor/detail/matrix_backend.hpp"
#include "graft/tensor/linear.hpp"

namespace graft {

inline at::Tensor WeightCache::packed(const at::Tensor& weight, bool transposed) {
  const std::lock_guard lock(mutex_);
  Copy& copy = copies_[transposed ? 1 : 0];
  const auto& counter = weight.unsafeGetTensorImpl()->version_counter();
  const std::uint32_t version = counter.enabled() ? counter.current_version() : 0;
  const c10::StorageImpl* storage = weight.storage().unsafeGetStorageImpl();
  if (!copy.packed.defined() || copy.storage._unsafe_get_target() != storage ||
      copy.offset != weight.storage_offset() || copy.version != version) {
    copy = {};  // before the new one is made, so that there are never two
    const at::Tensor plain = weight.detach();
    copy.packed = detail::onednn_pack(transposed ? plain.t().contiguous() : plain.contiguous());
    copy.storage = weight.storage().getWeakStorageImpl();
    copy.offset = weight.storage_offset();
    copy.version = version;
  }
  return copy.packed;
}

inline void WeightCache::clear() {
  const std::lock_guard lock(mutex_);
  for (Copy& copy : copies_) copy = {};
}

inline std::int64_t WeightCache::bytes() const {
  const std::lock_guard lock(mutex_);
  std::int64_t total = 0;
  for (const Copy& copy : copies_) {
    if (copy.packed.defined()) total += copy.packed.numel() * static_cast<std::int64_t>(copy.packed.element_size());
  }
  return total;
}

namespace detail {

// Up to so many rows a BLAS loses more by rearranging the weight than it gains by it; with two threads.
inline constexpr std::int64_t few_rows = 32, few_rows_backward = 16;

/// Whether x [T, n] is few rows, and laid out with `weight` as the kernels for them want it.
inline bool has_few_rows(const at::Tensor& x, const at::Tensor& weight, std::int64_t most) {
  return x.size(0) <= most && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         x.is_contiguous() && weight.is_contiguous();
}

/// base_product() and base_product_backward() for few rows. Each number is summed by one thread, in one order.
inline at::Tensor few_rows_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const std::int64_t rows = x.size(0), n = x.size(1), out = weight.size(0);
  at::Tensor y = at::zeros({rows, out}, x.options());
  if (bias.defined()) y.copy_(bias.expand({rows, out}));
  const float* from = x.const_data_ptr<float>();
  const float* with = weight.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  parallel_for(out, (1 << 16) / std::max<std::int64_t>(rows * n, 1), [&](std::int64_t first, std::int64_t last) {
    GRAFT_SIMD_CALL(float, dot_rows<float>, from, rows, n, with, first, last, to, out);
  });
  return y;
}
inline at::Tensor few_rows_product_backward(const at::Tensor& dy, const at::Tensor& weight) {
  const std::int64_t rows = dy.size(0), m = dy.size(1), n = weight.size(1);
  at::Tensor dx = at::empty({rows, n}, dy.options());
  const float* from = dy.const_data_ptr<float>();
  const float* with = weight.const_data_ptr<float>();
  float* to = dx.data_ptr<float>();
  parallel_for(n, std::max<std::int64_t>(64, (1 << 16) / std::max<std::int64_t>(rows * m, 1)),
               [&](std::int64_t first, std::int64_t last) {
                 GRAFT_SIMD_CALL(float, axpy_rows<float>, from, rows, m, with, n, first, last, to);
               });
  return dx;
}

/// x [T, in] weight [out, in]^T + bias.
inline at::Tensor base_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                               WeightCache* cache) {
  return MatrixChoices::instance().run(
      x, weight.size(0), cache != nullptr,
      [&] {
        if (has_few_rows(x, weight, few_rows)) return few_rows_product(x, weight, bias);
        return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
      },
      [&] {
        const std::optional<at::Tensor> b = bias.defined() ? std::optional(bias) : std::nullopt;
        return onednn_linear(x, cache != nullptr ? cache->packed(weight, false) : weight.contiguous(), b);
      });
}

/// dy [T, out] weight [out, in].
inline at::Tensor base_product_backward(const at::Tensor& dy, const at::Tensor& weight, WeightCache* cache) {
  return MatrixChoices::instance().run(
      dy, weight.size(1), cache != nullptr,
      [&] {
        if (has_few_rows(dy, weight, few_rows_backward)) return few_rows_product_backward(dy, weight);
        return at::mm(dy, weight);
      },
      [&] {
        return onednn_linear(dy, cache != nullptr ? cache->packed(weight, true) : weight.t().contiguous(),
                             std::nullopt);
      });
}

/// One update's share of a forward pass, kept for backward.
struct LowRankState {
  torch::autograd::SavedVariable A, B;
  at::Tensor low;   ///< dropout(x) A^T [T, padded r]: in the type kernels compute in, times keep_scale
  at::Tensor bits;  ///< [T, words] int64 where dropout is on
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

  static std::int64_t padded(std::int64_t columns) { return GRAFT_SIMD_CALL(S, padded_columns<T>, columns); }

  /// A matrix [rows, columns] in any type as rows of padded(columns) elements times `factor`, zeros behind.
  static at::Tensor pack(const at::Tensor& matrix, double factor) {
    const std::int64_t columns = matrix.size(1), width = padded(columns);
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

  /// kept(x) thin: x [T, n], thin packed [n, padded r] -> [T, padded r].
  static at::Tensor project_rows(const at::Tensor& x, const at::Tensor& bits, const at::Tensor& thin,
                                 std::int64_t rank) {
    const std::int64_t rows = x.size(0), n = x.size(1), words = (n + 63) / 64, width = thin.size(1);
    at::Tensor low = at::zeros({rows, width}, x.options().dtype(type));
    const S* from = static_cast<const S*>(x.const_data_ptr());
    const T* with = thin.const_data_ptr<T>();
    T* to = low.data_ptr<T>();
    const std::uint64_t* kept = words_of(bits);
    parallel_for(rows, grain / std::max<std::int64_t>(n, 1), [&](std::int64_t first, std::int64_t last) {
      GRAFT_SIMD_CALL(S, project<S>, from + first * n, last - first, n,
                      kept == nullptr ? nullptr : kept + first * words, words, with, rank, to + first * width);
    });
    return low;
  }

  /// y += kept(low wide): low [T, padded r], wide packed [r, padded n], y [T, n].
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

  /// kept(x)^T low: x [T, n], low [T, padded r] -> [n, r].
  static at::Tensor correlate_columns(const at::Tensor& x, const at::Tensor& bits, const at::Tensor& low,
                                      std::int64_t rank) {
    const std::int64_t rows = x.size(0), n = x.size(1), words = (n + 63) / 64;
    at::Tensor out = at::empty({n, low.size(1)}, x.options().dtype(type));
    const S* from = static_cast<const S*>(x.const_data_ptr());
    const T* with = low.const_data_ptr<T>();
    T* to = out.data_ptr<T>();
    parallel_for(words, std::max<std::int64_t>(grain / 64 / std::max<std::int64_t>(rows, 1), 1),
                 [&](std::int64_t first, std::int64_t last) {
                   GRAFT_SIMD_CALL(S, correlate<S>, from, rows, n, 64 * first, std::min(n, 64 * last), words_of(bits),
                                   words, with, rank, to);
                 });
    return out.narrow(1, 0, rank);
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
    state.low =
        Products::project_rows(from, state.bits, Products::pack(term.A.detach().t(), state.keep_scale), term.A.size(0));
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
    const std::int64_t rank = A.size(0);
    if (state.train_B) {
      dB = Products::correlate_columns(rows, {}, state.low, rank).mul(state.scale).to(B.scalar_type());
    }
    if (!state.train_A && !dx.defined()) return;
    const at::Tensor u = Products::project_rows(rows, {}, Products::pack(B, state.scale), rank);
    if (state.train_A) {
      dA = Products::correlate_columns(rows_of(x, state.rows.get()), state.bits, u, rank)
               .t()
               .mul(state.keep_scale)
               .to(A.scalar_type());
    }
    if (!dx.defined()) return;
    at::Tensor to = rows_of(dx, state.rows.get());
    Products::expand_rows(u, Products::pack(A, state.keep_scale), state.bits, to);
    put_rows(dx, state.rows.get(), to);
  });
  return {dA, dB};
}

/// Backward of linear_group(). Gradients come in the order x, then of each part weight, bias, and A, B of each term.
class LinearBackward : public torch::autograd::Node {
 public:
  struct Part {
    torch::autograd::SavedVariable weight;
    std::shared_ptr<WeightCache> cache;
    bool train_weight = false, train_bias = false;
    std::vector<LowRankState> terms;
  };

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override;

  void release_variables() override {
    x.reset_data();
    for (Part& part : parts) {
      part.weight.reset_data();
      for (LowRankState& term : part.terms) {
        term.A.reset_data();
        term.B.reset_data();
        term.low.reset();
        term.bits.reset();
      }
    }
  }

  std::string name() const override { return "graft::LinearBackward"; }

  torch::autograd::SavedVariable x;  ///< [T, in], where the gradient of A or of a weight needs it
  bool keeps_x = false;
  std::vector<std::int64_t> sizes;  ///< of x, before it was flattened to [T, in]
  bool train_x = false;
  std::vector<Part> parts;
};

inline torch::autograd::variable_list LinearBackward::apply(torch::autograd::variable_list&& grads) {
  refuse_second_derivative("linear");
  torch::autograd::variable_list out(1);
  const at::Tensor rows = keeps_x ? x.unpack() : at::Tensor();
  at::Tensor dx;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Part& part = parts[p];
    const at::Tensor weight = part.weight.unpack();
    if (!grads[p].defined()) {
      out.resize(out.size() + 2 + 2 * part.terms.size());
      continue;
    }
    const at::Tensor dy =
        grads[p]
            .reshape({c10::multiply_integers(sizes) / std::max<std::int64_t>(sizes.back(), 1), weight.size(0)})
            .contiguous();
    if (train_x) {
      const at::Tensor share = base_product_backward(dy, weight, part.cache.get());
      dx = dx.defined() ? dx.add_(share) : share;
    }
    out.push_back(part.train_weight ? base_product(dy.t(), rows.t(), {}, nullptr) : at::Tensor());
    out.push_back(part.train_bias ? dy.sum(0) : at::Tensor());
    for (const LowRankState& term : part.terms) {
      const auto [dA, dB] = term_backward(term, term.A.unpack(), term.B.unpack(), rows, dy, dx);
      out.push_back(dA);
      out.push_back(dB);
    }
  }
  if (dx.defined()) out[0] = dx.view(sizes);
  return out;
}

inline void check_rows(const RowSet& rows, std::int64_t all) {
  std::int64_t first = rows.first, end = rows.first + rows.count;
  if (rows.indices.defined() && rows.count > 0) {
    first = rows.indices[0].item<std::int64_t>();
    end = rows.indices[rows.count - 1].item<std::int64_t>() + 1;
  }
  if (rows.count < 0 || first < 0 || end > all) {
    throw ShapeError(message("a low-rank update is for rows ", first, " to ", end, " of an input that has ", all));
  }
}

inline void check_linear(const at::Tensor& x, const LinearPart& part) {
  const at::Tensor& weight = part.weight;
  if (weight.dim() != 2 || x.dim() == 0 || x.size(-1) != weight.size(1) ||
      (part.bias.defined() && (part.bias.dim() != 1 || part.bias.size(0) != weight.size(0)))) {
    throw ShapeError(message("input of a linear layer is ", x.sizes(), ", its weight ", weight.sizes(), ", its bias ",
                             part.bias.defined() ? part.bias.sizes() : at::IntArrayRef{},
                             "; the last size of the input must be the last of the weight"));
  }
  if (weight.scalar_type() != x.scalar_type()) {
    throw ShapeError(message("input of a linear layer is of type ", x.scalar_type(), ", its weight ",
                             weight.scalar_type(), "; convert one of them"));
  }
  for (const LowRankTerm& term : part.terms) {
    check_dropout(term.dropout);
    if (term.A.dim() != 2 || term.B.dim() != 2 || term.A.size(1) != weight.size(1) ||
        term.B.size(0) != weight.size(0) || term.A.size(0) != term.B.size(1)) {
      throw ShapeError(message("a low-rank update has A ", term.A.sizes(), " and B ", term.B.sizes(), " for a weight ",
                               weight.sizes(), "; it wants A [r, in] and B [out, r]"));
    }
    if (term.rows) check_rows(*term.rows, x.numel() / std::max<std::int64_t>(x.size(-1), 1));
  }
}

/// The same layer from LibTorch's operations.
inline at::Tensor plain_linear(const at::Tensor& x, const LinearPart& part) {
  at::Tensor y = part.bias.defined() ? at::linear(x, part.weight, part.bias) : at::linear(x, part.weight);
  for (const LowRankTerm& term : part.terms) {
    at::Tensor in = x, index;
    if (term.rows) {
      index = term.rows->indices.defined()
                  ? term.rows->indices
                  : at::arange(term.rows->first, term.rows->first + term.rows->count, at::kLong);
      index = index.to(x.device());
      in = x.reshape({-1, x.size(-1)}).index_select(0, index);
    }
    if (term.dropout > 0.0) in = at::dropout(in, term.dropout, true);
    const at::Tensor low = at::linear(in, term.A.to(x.scalar_type()));
    const at::Tensor up = at::linear(low, term.B.to(x.scalar_type())) * term.scale;
    y = term.rows ? y.reshape({-1, y.size(-1)}).index_add(0, index, up).view(y.sizes()) : y + up;
  }
  return y;
}

}  // namespace detail

inline std::vector<at::Tensor> linear_group(const at::Tensor& x, std::span<const LinearPart> parts) {
  for (const LinearPart& part : parts) detail::check_linear(x, part);
  std::vector<at::Tensor> ys;
  bool kernels = detail::has_kernel(x) && !parts.empty();
  for (const LinearPart& part : parts) kernels = kernels && part.weight.device().is_cpu();
  if (!kernels) {
    for (const LinearPart& part : parts) ys.push_back(detail::plain_linear(x, part));
    return ys;
  }

  const auto node = std::shared_ptr<detail::LinearBackward>(new detail::LinearBackward(), torch::autograd::deleteNode);
  const auto trains = [](const at::Tensor& t) {
    return t.defined() && t.requires_grad() && at::GradMode::is_enabled();
  };
  std::vector<at::Tensor> inputs{x};
  bool any = trains(x);
  node->train_x = any;
  // detach() out here shares the version counters, by which a change of x before backward, or of a weight, is noticed.
  const at::Tensor rows =
      x.detach().reshape({x.numel() / std::max<std::int64_t>(x.size(-1), 1), x.size(-1)}).contiguous();
  std::vector<at::Tensor> weights;
  for (const LinearPart& part : parts) weights.push_back(part.weight.detach());
  {
    const at::AutoDispatchBelowADInplaceOrView below;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const LinearPart& part = parts[p];
      const at::Tensor& weight = weights[p];
      const at::Tensor bias = part.bias.defined() ? part.bias.detach() : part.bias;
      detail::LinearBackward::Part kept;
      if (!part.weight.requires_grad()) kept.cache = part.cache;
      at::Tensor y = detail::base_product(rows, weight, bias, kept.cache.get());
      kept.train_weight = trains(part.weight);
      kept.train_bias = trains(part.bias);
      any = any || kept.train_weight || kept.train_bias;
      inputs.push_back(part.weight);
      inputs.push_back(part.bias);
      for (const LowRankTerm& term : part.terms) {
        kept.terms.push_back(detail::add_term(rows, term, y));
        kept.terms.back().train_A = trains(term.A);
        kept.terms.back().train_B = trains(term.B);
        any = any || trains(term.A) || trains(term.B);
        inputs.push_back(term.A);
        inputs.push_back(term.B);
      }
      node->parts.push_back(std::move(kept));
      std::vector<std::int64_t> sizes = x.sizes().vec();
      sizes.back() = weight.size(0);
      ys.push_back(y.view(sizes));
    }
  }
  if (!any) return ys;
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  for (const detail::LinearBackward::Part& part : node->parts) {
    node->keeps_x = node->keeps_x || part.train_weight;
    for (const detail::LowRankState& term : part.terms) node->keeps_x = node->keeps_x || term.train_A;
  }
  if (node->keeps_x) node->x = torch::autograd::SavedVariable(rows, false);
  node->sizes = x.sizes().vec();
  for (std::size_t p = 0; p < parts.size(); ++p) {
    node->parts[p].weight = torch::autograd::SavedVariable(parts[p].weight, false);
    for (std::size_t t = 0; t < parts[p].terms.size(); ++t) {
      node->parts[p].terms[t].A = torch::autograd::SavedVariable(parts[p].terms[t].A, false);
      node->parts[p].terms[t].B = torch::autograd::SavedVariable(parts[p].terms[t].B, false);
    }
  }
  for (const at::Tensor& y : ys) torch::autograd::set_history(y, node);
  return ys;
}

inline at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         std::span<const LowRankTerm> terms, const std::shared_ptr<WeightCache>& cache) {
  const LinearPart part{weight, bias, terms, cache};
  return linear_group(x, {&part, 1}).front();
}

}  // namespace graft
