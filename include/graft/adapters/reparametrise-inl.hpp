#pragma once

#include <algorithm>
#include <cmath>
#include <set>

#include "graft/adapters/reparametrise.hpp"

namespace graft {

template <class Impl>
bool Reparametrised::describe(const std::shared_ptr<torch::nn::Module>& module, const LoraOptions& options,
                              Layer& layer, LowRankShape& shape) {
  auto impl = std::dynamic_pointer_cast<Impl>(module);
  if (!impl) return false;
  layer.owner = impl;
  layer.weight = &impl->weight;
  layer.base = impl->weight;
  shape = LowRank<Impl>::shape(*impl, options.rank);
  layer.update = [impl = impl.get()](const torch::Tensor& A, const torch::Tensor& B) {
    return LowRank<Impl>::update(*impl, A, B);
  };
  if (options.rank < 1 || options.rank > shape.largest_rank) return true;  // add_layer() says so
  const auto type =
      torch::TensorOptions().dtype(detail::factor_type(impl->weight.scalar_type())).device(impl->weight.device());
  layer.A = torch::empty(shape.A, type);
  layer.B = torch::empty(shape.B, type);
  LowRank<Impl>::initialise(layer.A, layer.B, options.start);
  layer.A.set_requires_grad(true);
  layer.B.set_requires_grad(true);
  return true;
}

GRAFT_INLINE void Reparametrised::add_layer(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                                            const LoraOptions& options, std::vector<std::string>& faults) {
  Layer layer;
  layer.name = name;
  LowRankShape shape;
  try {
    describe<torch::nn::LinearImpl>(module, options, layer, shape) ||
        describe<torch::nn::EmbeddingImpl>(module, options, layer, shape) ||
        describe<torch::nn::Conv1dImpl>(module, options, layer, shape) ||
        describe<torch::nn::Conv2dImpl>(module, options, layer, shape);
  } catch (const OptionError& error) {
    faults.push_back(message("layer ", quoted(name), ": ", error.what()));
    return;
  }
  if (!layer.A.defined()) {
    faults.push_back(message("rank is ", options.rank, " for layer ", quoted(name), " ", layer.base.sizes(),
                             "; choose 1 to ", shape.largest_rank));
    return;
  }
  layers_.push_back(std::move(layer));
}

GRAFT_INLINE Reparametrised::Reparametrised(torch::nn::Module& module, const LoraOptions& options,
                                            const Targets& targets)
    : scale_(options.scale()) {
  const auto modules = module.named_modules("", /*include_self=*/false);
  std::vector<TargetCandidate> candidates;
  std::set<const torch::nn::Module*> seen;
  for (const auto& child : modules) {
    const auto* layer = child.value().get();
    if (!seen.insert(layer).second) continue;
    const bool linear = dynamic_cast<const torch::nn::LinearImpl*>(layer) != nullptr;
    candidates.push_back({child.key(),
                          linear || dynamic_cast<const torch::nn::EmbeddingImpl*>(layer) ||
                              dynamic_cast<const torch::nn::Conv1dImpl*>(layer) ||
                              dynamic_cast<const torch::nn::Conv2dImpl*>(layer),
                          linear});
  }
  report_ = match(targets, candidates);

  std::vector<std::string> faults;
  if (!std::isfinite(options.alpha)) faults.push_back(message("alpha is ", options.alpha, "; give a finite number"));
  if (starts_at_weight(options.start)) {
    faults.push_back("a re-parametrised weight starts from kaiming or gaussian; PiSSA and OLoRA are for adapter slots");
  }
  if (options.bias) faults.push_back("B takes no bias in a re-parametrised weight; leave LoraOptions::bias off");
  if (options.dropout != 0.0) {
    faults.push_back(message("dropout is ", options.dropout,
                             ", but a weight has no input to drop; use 0, or layers with adapter slots"));
  }
  for (const std::string& name : report_.layers) add_layer(name, modules[name], options, faults);
  if (!faults.empty()) throw OptionError(joined(faults, "; "));

  for (const torch::Tensor& parameter : module.parameters()) {
    required_.emplace_back(parameter, parameter.requires_grad());
    torch::Tensor(parameter).set_requires_grad(false);
  }
  for (const std::string& name : report_.heads) {
    for (torch::Tensor& parameter : modules[name]->parameters()) heads_.push_back(parameter.set_requires_grad(true));
  }
}

GRAFT_INLINE std::vector<torch::Tensor> Reparametrised::parameters() const {
  std::vector<torch::Tensor> all;
  for (const Layer& layer : layers_) all.insert(all.end(), {layer.A, layer.B});
  all.insert(all.end(), heads_.begin(), heads_.end());
  return all;
}

GRAFT_INLINE Reparametrised::Applied::Applied(Reparametrised& scope) : scope_(scope) {
  if (scope_.ended_) throw StateError("the re-parametrisation has been folded and is over; make another one");
  try {
    for (Layer& layer : scope_.layers_) {
      const torch::Tensor update = layer.update(layer.A, layer.B) * scope_.scale_;
      *layer.weight = (layer.base + update).to(layer.base.scalar_type());
    }
  } catch (...) {
    restore();
    throw;
  }
}

GRAFT_INLINE void Reparametrised::Applied::restore() {
  for (Layer& layer : scope_.layers_) *layer.weight = layer.base;
}

GRAFT_INLINE void Reparametrised::fold() {
  if (ended_) throw StateError("the re-parametrisation has been folded already");
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> folded;
  for (const Layer& layer : layers_) {
    const torch::Tensor sum = layer.base.to(layer.A.scalar_type()) + layer.update(layer.A, layer.B) * scale_;
    folded.push_back(sum.to(layer.base.scalar_type()));
    if (!torch::isfinite(folded.back()).all().item<bool>()) {
      throw StateError(message("folding into layer ", quoted(layer.name),
                               " gives values that are not finite; every weight was left as it was"));
    }
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].base.copy_(folded[i]);
  release();
}

GRAFT_INLINE void Reparametrised::release() {
  if (ended_) return;
  ended_ = true;
  for (auto& [parameter, required] : required_) parameter.set_requires_grad(required);
}

}  // namespace graft
