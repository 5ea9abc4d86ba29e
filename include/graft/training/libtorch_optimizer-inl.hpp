#pragma once

#include <map>
#include <optional>
#include <utility>

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include "graft/core/error.hpp"
#include "graft/training/detail/named_tensors.hpp"
#include "graft/training/libtorch_optimizer.hpp"

namespace graft {

namespace detail {

/// Calls visit(name, value) for all that a parameter's state holds: tensors, and numbers of steps.
template <class Visit>
void visit_libtorch_state(torch::optim::OptimizerParamState& state, const Visit& visit) {
  const auto adam = [&](auto& moments) {
    visit("step", moments.step());
    visit("exp_avg", moments.exp_avg());
    visit("exp_avg_sq", moments.exp_avg_sq());
    visit("max_exp_avg_sq", moments.max_exp_avg_sq());
  };
  if (auto* sgd = dynamic_cast<torch::optim::SGDParamState*>(&state)) {
    visit("momentum_buffer", sgd->momentum_buffer());
  } else if (auto* adamw_state = dynamic_cast<torch::optim::AdamWParamState*>(&state)) {
    adam(*adamw_state);
  } else if (auto* adam_state = dynamic_cast<torch::optim::AdamParamState*>(&state)) {
    adam(*adam_state);
  } else if (auto* rms = dynamic_cast<torch::optim::RMSpropParamState*>(&state)) {
    visit("step", rms->step());
    visit("square_avg", rms->square_avg());
    visit("momentum_buffer", rms->momentum_buffer());
    visit("grad_avg", rms->grad_avg());
  } else if (auto* adagrad = dynamic_cast<torch::optim::AdagradParamState*>(&state)) {
    visit("step", adagrad->step());
    visit("sum", adagrad->sum());
  }
}

/// A value of the state as a tensor, and back.
GRAFT_INLINE torch::Tensor libtorch_value(const torch::Tensor& value) {
  return value.defined() ? value.detach() : torch::empty({0});
}
GRAFT_INLINE torch::Tensor libtorch_value(std::int64_t value) { return torch::tensor(value, torch::kInt64); }
GRAFT_INLINE void set_libtorch_value(torch::Tensor& value, const torch::Tensor& from, torch::Device device) {
  if (from.dim() != 1 || from.numel() > 0) value = from.to(device, from.scalar_type(), false, true);
}
GRAFT_INLINE void set_libtorch_value(std::int64_t& value, const torch::Tensor& from, torch::Device) {
  value = from.item<std::int64_t>();
}

}  // namespace detail

GRAFT_INLINE std::vector<torch::Tensor> tensors_of(const NamedTensors& named) {
  std::vector<torch::Tensor> tensors;
  for (const auto& [name, tensor] : named) tensors.push_back(tensor);
  return tensors;
}

GRAFT_INLINE LibTorchOptimizer::LibTorchOptimizer(const torch::nn::Module& module,
                                                  std::shared_ptr<torch::optim::Optimizer> optimizer)
    : optimizer_(std::move(optimizer)) {
  if (!optimizer_) throw OptionError("the optimizer is a null pointer");
  if (dynamic_cast<torch::optim::LBFGS*>(optimizer_.get()))
    throw OptionError("LBFGS asks for the loss several times a step; train with it in a loop of your own");
  std::map<const void*, std::string> names;
  for (const auto& item : module.named_parameters())
    if (item.value().defined()) names.emplace(item.value().unsafeGetTensorImpl(), item.key());
  for (const auto& group : optimizer_->param_groups()) {
    for (const torch::Tensor& tensor : group.params()) {
      const auto found = names.find(tensor.unsafeGetTensorImpl());
      if (found == names.end())
        throw OptionError(
            message("the optimizer holds a tensor ", tensor.sizes(), " that is no parameter of the module"));
      parameters_.emplace_back(found->second, tensor);
    }
  }
  if (parameters_.empty()) throw OptionError("the optimizer holds no parameter");
}

GRAFT_INLINE double LibTorchOptimizer::lr() const { return optimizer_->param_groups().front().options().get_lr(); }

GRAFT_INLINE void LibTorchOptimizer::step(double lr_multiplier, const torch::Tensor& divisor) {
  if (divisor.defined()) {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, tensor] : parameters_)
      if (tensor.grad().defined()) tensor.mutable_grad().div_(divisor.to(tensor.grad().device()));
  }
  std::vector<double> rates;
  for (auto& group : optimizer_->param_groups()) {
    rates.push_back(group.options().get_lr());
    group.options().set_lr(rates.back() * lr_multiplier);
  }
  optimizer_->step();
  for (std::size_t g = 0; g < rates.size(); ++g) optimizer_->param_groups()[g].options().set_lr(rates[g]);
}

/// What a parameter's state is before the first step.
GRAFT_INLINE std::unique_ptr<torch::optim::OptimizerParamState> LibTorchOptimizer::fresh_state() const {
  const torch::optim::Optimizer* of = optimizer_.get();
  if (dynamic_cast<const torch::optim::SGD*>(of)) return std::make_unique<torch::optim::SGDParamState>();
  if (dynamic_cast<const torch::optim::AdamW*>(of)) return std::make_unique<torch::optim::AdamWParamState>();
  if (dynamic_cast<const torch::optim::Adam*>(of)) return std::make_unique<torch::optim::AdamParamState>();
  if (dynamic_cast<const torch::optim::RMSprop*>(of)) return std::make_unique<torch::optim::RMSpropParamState>();
  if (dynamic_cast<const torch::optim::Adagrad*>(of)) return std::make_unique<torch::optim::AdagradParamState>();
  throw StateError(
      "the state of this optimizer cannot be saved; that of LibTorch's SGD, Adam, AdamW, RMSprop and Adagrad can");
}

GRAFT_INLINE NamedTensors LibTorchOptimizer::state() const {
  NamedTensors all;
  for (const auto& [name, tensor] : parameters_) {
    const auto fresh = fresh_state();
    const auto found = optimizer_->state().find(tensor.unsafeGetTensorImpl());
    detail::visit_libtorch_state(found == optimizer_->state().end() ? *fresh : *found->second,
                                 [&, &parameter = name](const char* what, const auto& value) {
                                   all.emplace_back(parameter + "." + what, detail::libtorch_value(value));
                                 });
  }
  return all;
}

GRAFT_INLINE std::vector<std::string> LibTorchOptimizer::misfits(const NamedTensors& state) const {
  // What is empty here may be full there and the other way round: LibTorch makes its state when it first needs it.
  std::map<std::string, torch::Tensor> full;
  for (const auto& [name, tensor] : parameters_) full.emplace(name, tensor);
  NamedTensors own = this->state(), given = state;
  const auto as_full = [&](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      const auto parameter = full.find(name.substr(0, name.rfind('.')));
      if (tensor.dim() == 1 && tensor.numel() == 0 && parameter != full.end()) tensor = parameter->second;
    }
  };
  as_full(own);
  as_full(given);
  return detail::misfits(own, given);
}

GRAFT_INLINE void LibTorchOptimizer::load_state(const NamedTensors& state) {
  detail::require_fit(misfits(state));
  const std::map<std::string, torch::Tensor> given(state.begin(), state.end());
  for (const auto& [name, tensor] : parameters_) {
    auto fresh = fresh_state();
    bool begun = false;
    detail::visit_libtorch_state(
        *fresh, [&, &parameter = name, device = tensor.device()](const char* what, auto& value) {
          const torch::Tensor& from = given.at(parameter + "." + what);
          begun = begun || (from.dim() == 0 ? from.item<std::int64_t>() != 0 : from.numel() > 0);
          detail::set_libtorch_value(value, from, device);
        });
    auto& states = optimizer_->state();
    if (begun) {
      states[tensor.unsafeGetTensorImpl()] = std::move(fresh);
    } else {
      states.erase(tensor.unsafeGetTensorImpl());
    }
  }
}

}  // namespace graft
