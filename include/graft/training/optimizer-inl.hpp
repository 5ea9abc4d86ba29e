#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>

#include "graft/core/error.hpp"
#include "graft/training/detail/host_optimizer.hpp"
#include "graft/training/detail/named_tensors.hpp"
#include "graft/training/optimizer.hpp"

namespace graft {

namespace detail {

/// Element type and device, by which tensors are computed together.
using Kind = std::pair<int, int>;
GRAFT_INLINE Kind kind_of(const torch::Tensor& tensor) {
  return {static_cast<int>(tensor.scalar_type()), tensor.is_cpu() ? -1 : static_cast<int>(tensor.get_device())};
}

GRAFT_INLINE double number_of(double number) { return number; }
GRAFT_INLINE double number_of(const torch::Tensor& number) { return number.item<double>(); }

}  // namespace detail

GRAFT_INLINE NamedTensors trained_parameters(const torch::nn::Module& module) {
  NamedTensors trained;
  std::unordered_set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().defined() || !item.value().requires_grad()) continue;
    if (seen.insert(item.value().unsafeGetTensorImpl()).second) trained.emplace_back(item.key(), item.value());
  }
  return trained;
}

GRAFT_INLINE std::vector<ParameterGroup> decay_groups(const torch::nn::Module& module, double lr, double weight_decay) {
  ParameterGroup matrices{.parameters = {}, .lr = lr, .weight_decay = weight_decay};
  ParameterGroup vectors{.parameters = {}, .lr = lr, .weight_decay = 0.0};
  for (auto& parameter : trained_parameters(module)) {
    (parameter.second.dim() < 2 ? vectors : matrices).parameters.push_back(std::move(parameter));
  }
  std::vector<ParameterGroup> groups;
  for (auto* group : {&matrices, &vectors}) {
    if (!group->parameters.empty()) groups.push_back(std::move(*group));
  }
  return groups;
}

GRAFT_INLINE GradientScale gradient_scale(const NamedTensors& parameters, const Count& count, double clip_norm) {
  if (!count.is_on_device() && !(count > 0.0))
    throw OptionError(message("gradients of ", double(count), " rows; the count must be above 0"));
  if (!(clip_norm > 0.0)) throw OptionError(message("clip_norm is ", clip_norm, "; it must be above 0"));
  torch::NoGradGuard no_grad;
  std::map<detail::Kind, std::vector<torch::Tensor>> alike;
  for (const auto& parameter : parameters) {
    auto grad = parameter.second.grad();
    if (!grad.defined()) continue;
    if (!grad.is_non_overlapping_and_dense()) grad = grad.contiguous();
    alike[detail::kind_of(grad)].push_back(grad);
  }
  if (alike.empty()) {
    return {torch::zeros({}, torch::kDouble), count.on(torch::kCPU).to(torch::kFloat)};
  }
  const auto device = alike.begin()->second.front().device();
  std::vector<torch::Tensor> norms;
  for (const auto& [kind, grads] : alike) {
    if (detail::is_for_host(grads.front())) {
      const double squares = grads.front().scalar_type() == torch::kDouble ? detail::sum_of_squares<double>(grads)
                                                                           : detail::sum_of_squares<float>(grads);
      norms.push_back(torch::full({}, std::sqrt(squares), torch::kDouble).to(device));
      continue;
    }
    const auto wide = grads.front().scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
    for (const auto& norm : at::_foreach_norm(grads, 2, wide)) norms.push_back(norm.to(device, torch::kDouble));
  }
  const auto rows = count.on(device);
  const auto norm = torch::stack(norms).norm() / rows;
  // 1e-6 as in clip_grad_norm_: a gradient of exactly the allowed length is shortened by that much.
  const auto shrink = std::isinf(clip_norm) ? torch::ones_like(norm) : (clip_norm / (norm + 1e-6)).clamp_max(1.0);
  return {norm, (rows / shrink).to(torch::kFloat)};
}

GRAFT_INLINE std::vector<std::string> Optimizer::misfits(const NamedTensors& state) const {
  return detail::misfits(this->state(), state);
}

GRAFT_INLINE void Optimizer::zero_grad() {
  for (const auto& [name, tensor] : parameters()) tensor.mutable_grad().reset();
}

GRAFT_INLINE AdamW::AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options)
    : groups_(std::move(groups)), options_(options) {
  const auto share = [](double beta) { return beta >= 0.0 && beta < 1.0; };
  std::string faults;
  const auto fault = [&](const auto&... parts) { faults += message(faults.empty() ? "" : "; ", parts...); };
  if (!share(options.beta1)) fault("beta1 is ", options.beta1, ", it must lie in [0, 1)");
  if (!share(options.beta2)) fault("beta2 is ", options.beta2, ", it must lie in [0, 1)");
  if (!(options.eps > 0.0 && std::isfinite(options.eps))) fault("eps is ", options.eps, ", it must be above 0");

  std::unordered_set<const void*> seen;
  for (const auto& group : groups_) {
    if (!(group.lr >= 0.0 && std::isfinite(group.lr))) fault("lr is ", group.lr, ", it must be finite and at least 0");
    if (!(group.weight_decay >= 0.0 && std::isfinite(group.weight_decay))) {
      fault("weight_decay is ", group.weight_decay, ", it must be finite and at least 0");
    }
    for (const auto& [name, tensor] : group.parameters) {
      if (!tensor.defined()) {
        fault(quoted(name), " is undefined");
        continue;
      }
      if (!seen.insert(tensor.unsafeGetTensorImpl()).second) fault(quoted(name), " comes twice");
      if (!tensor.requires_grad()) fault(quoted(name), " does not require a gradient");
      if (!tensor.is_floating_point()) fault(quoted(name), " holds ", tensor.dtype());
      if (tensor.layout() != torch::kStrided || !tensor.is_non_overlapping_and_dense()) {
        fault(quoted(name), " is a view with gaps");
      }
    }
  }
  if (seen.empty() && faults.empty()) fault("there is no parameter to train");
  if (!faults.empty()) throw OptionError("AdamW: " + faults);

  torch::NoGradGuard no_grad;
  for (const auto& group : groups_) {
    auto& moments = moments_.emplace_back(group.parameters.size());
    std::map<detail::Kind, std::vector<std::size_t>> alike;
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      const auto& tensor = group.parameters[i].second;
      if (tensor.element_size() < 4) moments[i].master = tensor.detach().to(torch::kFloat);
      moments[i].step = torch::zeros({}, tensor.options().dtype(torch::kFloat).requires_grad(false));
      moments[i].written_version = tensor._version();
      alike[detail::kind_of(moments[i].updated(tensor))].push_back(i);
    }
    for (const auto& [kind, places] : alike) {
      std::vector<torch::Tensor> updated;
      for (const auto i : places) updated.push_back(moments[i].updated(group.parameters[i].second));
      const auto means = detail::zeros_side_by_side(updated), squares = detail::zeros_side_by_side(updated);
      for (std::size_t i = 0; i < places.size(); ++i) {
        moments[places[i]].exp_avg = means[i];
        moments[places[i]].exp_avg_sq = squares[i];
      }
    }
  }
}

GRAFT_INLINE void AdamW::renew_masters() {
  torch::NoGradGuard no_grad;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& tensor = groups_[g].parameters[i].second;
      Moments& moments = moments_[g][i];
      if (!moments.master.defined() || tensor._version() == moments.written_version) continue;
      moments.master.copy_(tensor);
      moments.written_version = tensor._version();
    }
  }
}

GRAFT_INLINE void AdamW::note_replay() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& tensor = groups_[g].parameters[i].second;
      tensor.unsafeGetTensorImpl()->bump_version();
      moments_[g][i].written_version = tensor._version();
    }
  }
}

GRAFT_INLINE void AdamW::step(double lr_multiplier, const torch::Tensor& divisor) { update(lr_multiplier, divisor); }

GRAFT_INLINE void AdamW::step(const torch::Tensor& lr_multiplier, const torch::Tensor& divisor) {
  update(lr_multiplier, divisor);
}

template <class Multiplier>
void AdamW::update(const Multiplier& lr_multiplier, const torch::Tensor& divisor) {
  torch::NoGradGuard no_grad;
  renew_masters();
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    std::map<detail::Kind, detail::AdamWLists> alike;
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& tensor = groups_[g].parameters[i].second;
      auto grad = tensor.grad();
      if (!grad.defined()) continue;
      const Moments& moments = moments_[g][i];
      const torch::Tensor& updated = moments.updated(tensor);
      if (grad.strides() != updated.strides() || grad.scalar_type() != updated.scalar_type())
        grad = torch::empty_like(updated).copy_(grad);
      auto& lists = alike[detail::kind_of(updated)];
      lists.parameters.push_back(updated);
      lists.grads.push_back(grad);
      lists.exp_avg.push_back(moments.exp_avg);
      lists.exp_avg_sq.push_back(moments.exp_avg_sq);
      lists.steps.push_back(moments.step);
    }
    for (auto& [kind, lists] : alike) {
      const torch::Tensor& one = lists.parameters.front();
      const double weight_decay = groups_[g].weight_decay;
      if (detail::is_for_host(one)) {
        const double lr = groups_[g].lr * detail::number_of(lr_multiplier);
        const double by = divisor.defined() ? detail::number_of(divisor) : 1.0;
        one.scalar_type() == torch::kDouble ? detail::adamw_on_host<double>(lists, options_, lr, weight_decay, by)
                                            : detail::adamw_on_host<float>(lists, options_, lr, weight_decay, by);
        continue;
      }
      at::_foreach_add_(lists.steps, 1);
      const auto scale = divisor.defined() ? std::optional(divisor.to(one.device(), torch::kFloat)) : std::nullopt;
      at::_fused_adamw_(lists.parameters, lists.grads, lists.exp_avg, lists.exp_avg_sq, {}, lists.steps,
                        lr_multiplier * groups_[g].lr, options_.beta1, options_.beta2, weight_decay, options_.eps,
                        /*amsgrad=*/false, /*maximize=*/false, scale);
    }
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& tensor = groups_[g].parameters[i].second;
      if (!moments_[g][i].master.defined() || !tensor.grad().defined()) continue;
      tensor.copy_(moments_[g][i].master);
      moments_[g][i].written_version = tensor._version();
    }
  }
}

GRAFT_INLINE NamedTensors AdamW::parameters() const {
  NamedTensors all;
  for (const auto& group : groups_) all.insert(all.end(), group.parameters.begin(), group.parameters.end());
  return all;
}

GRAFT_INLINE NamedTensors AdamW::updated() const {
  NamedTensors all;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& [name, tensor] = groups_[g].parameters[i];
      all.emplace_back(name, moments_[g][i].updated(tensor));
    }
  }
  return all;
}

GRAFT_INLINE NamedTensors AdamW::state() const {
  NamedTensors all;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& name = groups_[g].parameters[i].first;
      all.emplace_back(name + ".exp_avg", moments_[g][i].exp_avg);
      all.emplace_back(name + ".exp_avg_sq", moments_[g][i].exp_avg_sq);
      all.emplace_back(name + ".step", moments_[g][i].step);
      if (moments_[g][i].master.defined()) all.emplace_back(name + ".master", moments_[g][i].master);
    }
  }
  return all;
}

GRAFT_INLINE void AdamW::load_state(const NamedTensors& state) {
  detail::require_fit(misfits(state));
  detail::copy_by_name(state, this->state());
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (std::size_t i = 0; i < groups_[g].parameters.size(); ++i)
      moments_[g][i].written_version = groups_[g].parameters[i].second._version();
  }
}

}  // namespace graft
