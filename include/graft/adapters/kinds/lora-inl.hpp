#pragma once

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/kinds/detail/lora_files.hpp"
#include "graft/adapters/kinds/lora.hpp"
#include "graft/core/error.hpp"

namespace graft {

// The update.

/// y = x W^T + bias + s (dropout(x) A^T) B^T, as the paper has it. Layers whose product takes terms along compute the
/// same as fused().
GRAFT_INLINE torch::Tensor LowRankAdapter::output(Adaptable& layer, const torch::Tensor& x) const {
  torch::Tensor y = layer.plain(x);
  if (layer.layer_type().is_linear()) {
    const torch::Tensor in = torch::dropout(x.to(lora_A.scalar_type()), options.dropout, is_training());
    y = y + (scale() * in.matmul(lora_A.t()).matmul(lora_B.t())).to(y.scalar_type());
    if (start_A.defined()) {
      const torch::Tensor all = x.to(lora_A.scalar_type());
      y = y - (scale() * all.matmul(start_A.t()).matmul(start_B.t())).to(y.scalar_type());
    }
  } else {  // what A and B are to this type of layer, its product alone knows
    std::vector<LowRankTerm> own = terms();
    for (LowRankTerm& term : own) term.dropout = is_training() ? term.dropout : 0.0;
    y = layer.plain(x, own);
  }
  if (!lora_B_bias.defined()) return y;
  return y + Adaptable::over_data(scale() * lora_B_bias, *layer.layer_type().outputs).to(y.scalar_type());
}

GRAFT_INLINE std::vector<LowRankTerm> LowRankAdapter::terms() const {
  std::vector<LowRankTerm> terms{{lora_A, lora_B, scale(), options.dropout}};
  if (start_A.defined()) terms.push_back({start_A, start_B, -scale()});
  return terms;
}

GRAFT_INLINE std::optional<FusedUpdate> LowRankAdapter::fused() const {
  return FusedUpdate{terms(), lora_B_bias, scale()};
}

/// W + share s B A.
GRAFT_INLINE torch::Tensor LowRankAdapter::folded(const Adaptable& layer, const torch::Tensor& weight,
                                                  double share) const {
  const torch::ScalarType type = weight.scalar_type();
  torch::Tensor sum = weight.add(layer.product(lora_A.to(type), lora_B.to(type)), scale() * share);
  if (start_A.defined()) sum.sub_(layer.product(start_A.to(type), start_B.to(type)), scale() * share);
  return sum;
}

GRAFT_INLINE torch::Tensor LowRankAdapter::folded_bias(const Adaptable& layer, const torch::Tensor& bias,
                                                       double share) const {
  if (!lora_B_bias.defined()) return bias;
  if (bias.defined()) return bias.add(lora_B_bias.to(bias.scalar_type()), scale() * share);
  throw StateError(message("a layer ", layer.main_weight().sizes(),
                           " has no bias that could take the one of its adapter's B; keep the adapter apart"));
}

// A fresh one.

GRAFT_INLINE LowRankAdapter::LowRankAdapter(const LoraOptions& options, torch::Tensor A, torch::Tensor B,
                                            torch::Tensor bias, std::pair<torch::Tensor, torch::Tensor> start)
    : options(options),
      lora_A(register_parameter("lora_A", std::move(A))),
      lora_B(register_parameter("lora_B", std::move(B))) {
  if (bias.defined()) lora_B_bias = register_parameter("lora_B_bias", std::move(bias));
  if (start.first.defined()) {
    start_A = register_buffer("start_A", std::move(start.first));
    start_B = register_buffer("start_B", std::move(start.second));
  }
}

GRAFT_INLINE std::vector<std::string> LowRankAdapter::faults(const Adaptable& layer, const LoraOptions& options,
                                                             std::string_view where) {
  std::vector<std::string> faults;
  const auto fault = [&](const auto&... parts) { faults.push_back(message(parts...)); };
  const LayerType& type = layer.layer_type();
  if (starts_at_weight(options.start)) {
    if (!type.is_linear()) fault("the start of PiSSA and OLoRA is for linear layers, not for ", where);
  }
  if (options.start == LowRankStart::pissa && !(options.alpha > 0)) {
    fault("alpha is ", options.alpha, " for ", where, "; PiSSA divides by it: give a number above 0");
  } else if (!(options.alpha >= 0 && options.alpha <= 1e9)) {
    fault("alpha is ", options.alpha, " for ", where, "; give 0 to 1e9, what an adapter's file may hold");
  }
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    fault("dropout is ", options.dropout, " for ", where, "; choose 0 or more and less than 1");
  }
  if (options.bias && (!type.outputs || type.looks_up_rows)) {
    fault(where, ": B has no place for a bias here; leave the layer out of the targets");
  }
  if (!type.fuses && !type.is_linear()) fault(where, " is of a type that takes no low-rank terms; see LowRank");
  try {
    const std::int64_t largest = layer.factor_shape(1).largest_rank;
    if (options.rank < 1 || options.rank > largest) {
      fault("rank is ", options.rank, " for ", where, " ", layer.main_weight().sizes(), "; choose 1 to ", largest);
    }
  } catch (const OptionError& error) {
    fault(where, ": ", error.what());
  }
  return faults;
}

namespace detail {

/// A and B whose product is a part of the weight, s B A; computed in their type.
GRAFT_INLINE void take_from_weight(const torch::Tensor& weight, const LoraOptions& options, torch::Tensor& A,
                                   torch::Tensor& B) {
  if (options.start == LowRankStart::olora) {
    const auto [Q, R] = torch::linalg_qr(weight);
    A.copy_(R.narrow(0, 0, options.rank));
    B.copy_(Q.narrow(1, 0, options.rank));
    return;
  }
  const auto [U, S, V] = torch::linalg_svd(weight, /*full_matrices=*/false);
  const torch::Tensor root = (S.narrow(0, 0, options.rank) / options.scale()).sqrt();
  A.copy_(root.unsqueeze(1) * V.narrow(0, 0, options.rank));
  B.copy_(U.narrow(1, 0, options.rank) * root);
}

}  // namespace detail

GRAFT_INLINE std::pair<torch::Tensor, torch::Tensor> LowRankAdapter::drawn(const Adaptable& layer,
                                                                           const LoraOptions& options) {
  const torch::NoGradGuard no_grad;
  const LowRankShape shape = layer.factor_shape(options.rank);
  torch::Tensor A = torch::empty(shape.A, layer.factor_options());
  torch::Tensor B = torch::empty(shape.B, layer.factor_options());
  if (starts_at_weight(options.start)) {
    detail::take_from_weight(layer.main_weight().to(A.scalar_type()), options, A, B);
  } else {
    layer.draw(A, B, options.start);
  }
  return {A, B};
}

GRAFT_INLINE std::shared_ptr<LowRankAdapter> LowRankAdapter::make(const Adaptable& layer, const LoraOptions& options) {
  const auto [A, B] = drawn(layer, options);
  std::pair<torch::Tensor, torch::Tensor> start;
  if (starts_at_weight(options.start)) start = {A.clone(), B.clone()};
  const torch::Tensor bias = options.bias ? torch::zeros({B.size(0)}, A.options()) : torch::Tensor();
  return std::make_shared<LowRankAdapter>(options, A, B, bias, std::move(start));
}

GRAFT_INLINE std::shared_ptr<LayerAdapter> LowRankAdapter::copy_with(const Moved& moved) const {
  return std::make_shared<LowRankAdapter>(options, moved(lora_A), moved(lora_B), moved(lora_B_bias),
                                          std::pair(moved(start_A), moved(start_B)));
}

// Files.

GRAFT_INLINE const AdapterKind& LowRankAdapter::in_files() {
  static const detail::LoraFiles files;
  return files;
}

}  // namespace graft
