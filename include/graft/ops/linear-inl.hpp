#pragma once

#include <utility>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/detail/base_product.hpp"
#include "graft/ops/detail/low_rank_terms.hpp"
#include "graft/ops/dropout.hpp"
#include "graft/ops/linear.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor plain_linear(const at::Tensor& x, const LinearPart& part) {
  const at::Tensor weight = part.weight.to(x.scalar_type());
  at::Tensor y = part.bias.defined() ? at::linear(x, weight, part.bias) : at::linear(x, weight);
  for (const LowRankTerm& term : part.terms) {
    at::Tensor in = x, index;
    if (term.rows) {
      index = term.rows->indices.defined()
                  ? term.rows->indices
                  : at::arange(term.rows->first, term.rows->first + term.rows->count, at::kLong);
      index = index.to(x.device());
      in = x.reshape({-1, x.size(-1)}).index_select(0, index);
    }
    if (term.dropout > 0.0) in = plain_dropout(in, term.dropout);
    const at::Tensor low = at::linear(in, term.A.to(x.scalar_type()));
    const at::Tensor up = at::linear(low, term.B.to(x.scalar_type())) * term.scale;
    y = term.rows ? y.reshape({-1, y.size(-1)}).index_add(0, index, up).view(y.sizes()) : y + up;
  }
  return y;
}

}  // namespace detail

GRAFT_INLINE at::Tensor WeightCache::packed(const at::Tensor& weight, bool transposed) {
  const at::Tensor plain = transposed ? weight.detach().t() : weight.detach();
  if (!SeenTensor::can_tell(weight)) return plain.contiguous();
  const std::lock_guard lock(mutex_);
  Copy& copy = copies_[transposed ? 1 : 0];
  if (!copy.packed.defined() || !copy.of.same(weight)) {
    copy = {};  // before the new one is made, so that there are never two
    copy.packed = detail::onednn_pack(plain.contiguous());
    copy.of.see(weight);
  }
  return copy.packed;
}

GRAFT_INLINE void WeightCache::clear() {
  const std::lock_guard lock(mutex_);
  for (Copy& copy : copies_) copy = {};
}

GRAFT_INLINE std::int64_t WeightCache::bytes() const {
  const std::lock_guard lock(mutex_);
  std::int64_t total = 0;
  for (const Copy& copy : copies_) {
    if (copy.packed.defined()) total += copy.packed.numel() * static_cast<std::int64_t>(copy.packed.element_size());
  }
  return total;
}

namespace detail {

/// Backward of linear_group(). Gradients come in the order x, then of each part weight, bias, and A, B of each term.
class LinearBackward : public torch::autograd::Node {
 public:
  struct Part {
    torch::autograd::SavedVariable weight;
    std::shared_ptr<WeightCache> cache;
    bool train_weight = false, train_bias = false;
    std::vector<LowRankState> terms;
  };

  GRAFT_INLINE torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override;

  void release_variables() override {
    x.reset_data();
    for (Part& part : parts) {
      part.weight.reset_data();
      for (LowRankState& term : part.terms) {
        term.A.reset_data();
        term.B.reset_data();
        term.low.reset();
        term.wide.reset();
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

GRAFT_INLINE torch::autograd::variable_list LinearBackward::apply(torch::autograd::variable_list&& grads) {
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
    out.push_back(part.train_weight ? base_product(dy.t(), rows.t(), {}, nullptr) : at::Tensor());
    out.push_back(part.train_bias ? dy.sum(0) : at::Tensor());
    LowRankShares shares;
    for (const LowRankState& term : part.terms) {
      const auto [dA, dB] =
          term_backward(term, term.A.unpack(), term.B.unpack(), rows, dy, train_x ? &shares : nullptr);
      out.push_back(dA);
      out.push_back(dB);
    }
    if (!train_x) continue;
    dx = base_product_backward(dy, weight, dx, part.cache.get(), shares.factors(weight.size(1)));
    shares.add_rest(dx);
  }
  if (dx.defined()) out[0] = dx.view(sizes);
  return out;
}

GRAFT_INLINE void check_rows(const RowSet& rows, std::int64_t all) {
  std::int64_t first = rows.first, end = rows.first + rows.count;
  if (rows.indices.defined() && rows.count > 0) {
    first = rows.indices[0].item<std::int64_t>();
    end = rows.indices[rows.count - 1].item<std::int64_t>() + 1;
  }
  if (rows.count < 0 || first < 0 || end > all) {
    throw ShapeError(message("a low-rank update is for rows ", first, " to ", end, " of an input that has ", all));
  }
}

GRAFT_INLINE void check_linear(const at::Tensor& x, const LinearPart& part) {
  const at::Tensor& weight = part.weight;
  if (weight.dim() != 2 || x.dim() == 0 || x.size(-1) != weight.size(1) ||
      (part.bias.defined() && (part.bias.dim() != 1 || part.bias.size(0) != weight.size(0)))) {
    throw ShapeError(message("input of a linear layer is ", x.sizes(), ", its weight ", weight.sizes(), ", its bias ",
                             part.bias.defined() ? part.bias.sizes() : at::IntArrayRef{},
                             "; the last size of the input must be the last of the weight"));
  }
  const bool narrower = weight.scalar_type() == at::kBFloat16 && x.scalar_type() == at::kFloat;
  if (weight.scalar_type() != x.scalar_type() && !narrower) {
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

}  // namespace detail

GRAFT_INLINE std::vector<at::Tensor> linear_group(const at::Tensor& x, std::span<const LinearPart> parts) {
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
      kept.train_weight = trains(part.weight);
      kept.train_bias = trains(part.bias);
      any = any || kept.train_weight || kept.train_bias;
      inputs.push_back(part.weight);
      inputs.push_back(part.bias);
      detail::LowRankShares shares;
      for (const LowRankTerm& term : part.terms) {
        kept.terms.push_back(detail::term_forward(term, rows, shares));
        kept.terms.back().train_A = trains(term.A);
        kept.terms.back().train_B = trains(term.B);
        any = any || trains(term.A) || trains(term.B);
        inputs.push_back(term.A);
        inputs.push_back(term.B);
      }
      at::Tensor y = detail::base_product(rows, weight, bias, kept.cache.get(), shares.factors(weight.size(0)));
      shares.add_rest(y);
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

GRAFT_INLINE at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                               std::span<const LowRankTerm> terms, const std::shared_ptr<WeightCache>& cache) {
  const LinearPart part{weight, bias, terms, cache};
  return linear_group(x, {&part, 1}).front();
}

}  // namespace graft
