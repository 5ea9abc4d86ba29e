#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include <torch/csrc/autograd/custom_function.h>

#include "graft/adapters/kinds/detail/lora_files.hpp"
#include "graft/adapters/kinds/dora.hpp"
#include "graft/core/error.hpp"
#include "graft/tensor/parallel.hpp"
#include "graft/tensor/seen_tensor.hpp"

namespace graft {
namespace detail {

/// y = u * c + bias, columns by columns: u [T, n], c and bias [n]. Backward reads u once for both gradients.
class ScaleColumns : public torch::autograd::Function<ScaleColumns> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& u,
                               const torch::Tensor& c, const std::optional<torch::Tensor>& bias) {
    context->save_for_backward({u, c});
    context->saved_data["bias"] = bias.has_value();
    return bias ? torch::addcmul(*bias, u, c) : u * c;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &u = saved[0], &c = saved[1];
    const std::int64_t columns = c.size(0);
    const torch::Tensor dy = grads[0].contiguous();
    const torch::Tensor rows = dy.view({-1, columns});
    const bool wants_bias = context->saved_data["bias"].toBool() && context->needs_input_grad(2);
    const torch::Tensor dbias = wants_bias ? rows.sum(0) : torch::Tensor();
    torch::Tensor du = torch::empty_like(dy), dc = torch::empty_like(c);
    if (c.is_cpu() && c.scalar_type() == torch::kFloat32 && dy.scalar_type() == torch::kFloat32) {
      both(rows, u, c, du, dc);
    } else {
      du = dy * c;
      dc = (rows * u.view({-1, columns})).sum(0);
    }
    return {du, dc, dbias};
  }

 private:
  static void both(const torch::Tensor& dy, const torch::Tensor& u, const torch::Tensor& c, torch::Tensor& du,
                   torch::Tensor& dc) {
    constexpr std::int64_t width = 64;
    const std::int64_t rows = dy.size(0), columns = dy.size(1);
    const auto *dy_data = dy.const_data_ptr<float>(), *u_data = u.const_data_ptr<float>(),
               *c_data = c.const_data_ptr<float>();
    auto *du_data = du.data_ptr<float>(), *dc_data = dc.data_ptr<float>();
    parallel_for((columns + width - 1) / width, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) {
        const std::int64_t from = block * width, n = std::min(width, columns - from);
        float sum[width] = {};
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* g = dy_data + row * columns + from;
          const float* v = u_data + row * columns + from;
          float* out = du_data + row * columns + from;
          for (std::int64_t i = 0; i < n; ++i) {
            out[i] = g[i] * c_data[from + i];
            sum[i] += g[i] * v[i];
          }
        }
        std::copy(sum, sum + n, dc_data + from);
      }
    });
  }
};

/// The lengths of the rows of W + s B A, without that matrix: per row
///   |w|^2 + 2 s b (A w) + s^2 b (A A^T) b^T,   w a row of W [units, elements], b one of B [units, r], A [r, elements].
/// |w|^2 is kept while W stays as it is, the result while A and B do too. Threads: may be used by many at once.
class DoraNorms {
 public:
  /// [units], in float32 (float64 for a float64 weight), outside autograd.
  torch::Tensor of(const torch::Tensor& W, const torch::Tensor& A, const torch::Tensor& B, double scale) {
    const torch::NoGradGuard no_grad;
    const std::lock_guard lock(mutex_);
    const bool other_base = !seen_[0].same(W);
    if (!other_base && seen_[1].same(A) && seen_[2].same(B)) return norms_;
    const torch::ScalarType type = W.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    const torch::Tensor w = W.to(type), a = A.to(type), b = B.to(type);
    if (other_base) base_ = w.square().sum(1, /*keepdim=*/false, torch::kFloat64);
    const torch::Tensor cross = (b * w.mm(a.t())).sum(1, /*keepdim=*/false, torch::kFloat64);
    const torch::Tensor own = (b.mm(a.mm(a.t())) * b).sum(1, /*keepdim=*/false, torch::kFloat64);
    norms_ = (base_ + 2 * scale * cross + scale * scale * own).clamp_min(0).sqrt().to(type);
    seen_[0].see(W);
    seen_[1].see(A);
    seen_[2].see(B);
    return norms_;
  }

 private:
  std::mutex mutex_;
  std::array<SeenTensor, 3> seen_;
  torch::Tensor base_;   // [units] float64
  torch::Tensor norms_;  // [units]
};

/// Shape of the magnitudes in PEFT's files: [out], of a convolution [1, out, 1...].
GRAFT_INLINE std::vector<std::int64_t> magnitude_shape(const Adaptable& layer) {
  const LayerAxis outputs = layer.layer_type().outputs.value();
  if (outputs.data == -1) return {layer.count(outputs)};
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(1 - outputs.data), 1);
  sizes[1] = layer.count(outputs);
  return sizes;
}

}  // namespace detail

// The update.

GRAFT_INLINE torch::Tensor DoraAdapter::row_lengths(const Adaptable& layer) const {
  const torch::Tensor W = layer.base_weight().movedim(layer.layer_type().outputs->weight, 0).flatten(1);
  return norms_->of(W, lora_A.detach().flatten(1), lora_B.detach().flatten(1), scale());
}

GRAFT_INLINE torch::Tensor DoraAdapter::stretch(const Adaptable& layer) const {
  return lora_magnitude_vector.flatten() / row_lengths(layer);
}

/// y = (m / n) (W x + s B A dropout(x)) + bias
GRAFT_INLINE torch::Tensor DoraAdapter::output(Adaptable& layer, const torch::Tensor& x) const {
  LowRankTerm term = terms().front();
  if (!is_training()) term.dropout = 0.0;
  const torch::Tensor u = layer.unbiased(x, {&term, 1}), c = stretch(layer).to(u.scalar_type());
  const torch::Tensor bias = layer.own_bias();
  const LayerAxis outputs = *layer.layer_type().outputs;
  if (outputs.data == -1) {
    const auto some = bias.defined() ? std::optional(bias) : std::nullopt;
    return detail::ScaleColumns::apply(u.contiguous(), c, some);
  }
  const torch::Tensor y = u * Adaptable::over_data(c, outputs);
  return bias.defined() ? y + Adaptable::over_data(bias, outputs) : y;
}

/// (m / n) (W + s B A) in the place of W.
GRAFT_INLINE torch::Tensor DoraAdapter::folded(const Adaptable& layer, const torch::Tensor& weight,
                                               double share) const {
  const torch::Tensor own = layer.base_weight().to(weight.scalar_type());
  const torch::Tensor c = layer.over_weight(stretch(layer).to(own.scalar_type()), *layer.layer_type().outputs);
  return weight.add(LowRankAdapter::folded(layer, own, 1.0) * c - own, share);
}

// A fresh one.

GRAFT_INLINE DoraAdapter::DoraAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B,
                                      torch::Tensor magnitude)
    : LowRankAdapter(options, std::move(A), std::move(B)),
      lora_magnitude_vector(register_parameter("lora_magnitude_vector", std::move(magnitude))),
      norms_(std::make_shared<detail::DoraNorms>()) {}

GRAFT_INLINE std::vector<std::string> DoraAdapter::faults(const Adaptable& layer, const DoraOptions& options,
                                                          std::string_view where) {
  std::vector<std::string> faults = LowRankAdapter::faults(layer, options, where);
  if (!layer.layer_type().outputs || !layer.layer_type().fuses) {
    faults.push_back(message(where, " is of a type that graft has no DoRA for"));
  }
  if (options.bias) faults.push_back(message("DoRA for ", where, " takes no bias on B; leave LoraOptions::bias off"));
  if (starts_at_weight(options.start)) {
    faults.push_back(message("DoRA for ", where, " starts from kaiming or gaussian; PiSSA and OLoRA are for LoRA"));
  }
  return faults;
}

GRAFT_INLINE std::shared_ptr<DoraAdapter> DoraAdapter::make(const Adaptable& layer, const DoraOptions& options) {
  const auto [A, B] = drawn(layer, options);
  const auto shape = detail::magnitude_shape(layer);
  const auto adapter = std::make_shared<DoraAdapter>(options, A, B, torch::empty(shape, A.options()));
  const torch::NoGradGuard no_grad;
  adapter->lora_magnitude_vector.copy_(adapter->row_lengths(layer).view(shape));
  return adapter;
}

GRAFT_INLINE std::shared_ptr<LayerAdapter> DoraAdapter::copy_with(const Moved& moved) const {
  return std::make_shared<DoraAdapter>(options, moved(lora_A), moved(lora_B), moved(lora_magnitude_vector));
}

// Files: LoRA's, with the magnitudes.

namespace detail {

class DoraFiles : public LoraFiles {
 public:
  std::string title() const override { return "DoRA"; }
  bool in(const AdapterConfig& config) const override { return AdapterKind::in(config) && config.use_dora; }
  void write(AdapterWriter& out) const override {
    LoraFiles::write(out);
    out.config.use_dora = true;
  }

 protected:
  void put(AdapterWriter& out, const AdaptedLayer& one, const LowRankAdapter& adapter) const override {
    LoraFiles::put(out, one, adapter);
    out.put(one, peft_names::magnitude, static_cast<const DoraAdapter&>(adapter).lora_magnitude_vector);
  }
  std::vector<std::string> own_keys() const override { return {peft_names::magnitude}; }
  std::shared_ptr<LayerAdapter> made(const LayerReader& at, const LoraOptions& options, const torch::Tensor& A,
                                     const torch::Tensor& B, const torch::Tensor&) const override {
    if (!at.layer().layer_type().outputs) {
      at.fault(message("layer ", quoted(at.path()), " is of a type that graft has no DoRA for"));
      return nullptr;
    }
    const torch::Tensor magnitude = at.read(peft_names::magnitude, magnitude_shape(at.layer()));
    if (!A.defined() || !B.defined() || !magnitude.defined()) return nullptr;
    return std::make_shared<DoraAdapter>(options, A, B, magnitude);
  }
};

}  // namespace detail

GRAFT_INLINE const AdapterKind& DoraAdapter::in_files() {
  static const detail::DoraFiles files;
  return files;
}

}  // namespace graft
