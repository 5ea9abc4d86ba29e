#pragma once

#include <cmath>
#include <cstddef>
#include <unordered_map>

#include "graft/core/error.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/guards.hpp"

namespace graft {

namespace detail {

/// "a", "b" and "c"; beyond thirty names the count of the others.
GRAFT_INLINE std::string name_list(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 30;
  std::string list;
  for (std::size_t i = 0; i < names.size() && i < shown; ++i) list += (i == 0 ? "" : ", ") + quoted(names[i]);
  if (names.size() > shown) list += message(" and ", names.size() - shown, " more");
  return list;
}

}  // namespace detail

GRAFT_INLINE void require_trained_parameters(const torch::nn::Module& module) {
  if (!trained_parameters(module).empty()) return;
  const std::size_t frozen = module.parameters().size();
  throw TrainingError(message("nothing to train: none of the ", frozen,
                              " parameters of the module requires a gradient; attach an adapter or unfreeze a layer"));
}

GRAFT_INLINE void require_same_parameters(const torch::nn::Module& module, const NamedTensors& held) {
  std::unordered_map<const void*, std::string> not_trained;
  for (const auto& [name, tensor] : held) not_trained.emplace(tensor.unsafeGetTensorImpl(), name);
  std::vector<std::string> not_held;
  for (const auto& [name, tensor] : trained_parameters(module)) {
    if (not_trained.erase(tensor.unsafeGetTensorImpl()) == 0) not_held.push_back(name);
  }
  if (not_held.empty() && not_trained.empty()) return;
  std::string text = "the optimizer holds other parameters than the module trains";
  if (!not_held.empty()) text += "; it lacks " + detail::name_list(not_held);
  std::vector<std::string> left;
  for (const auto& [name, tensor] : held) {
    if (not_trained.contains(tensor.unsafeGetTensorImpl())) left.push_back(name);
  }
  if (!left.empty()) text += "; the module does not train its " + detail::name_list(left);
  throw TrainingError(text + "; build the optimizer after the module is complete and in its place");
}

GRAFT_INLINE void require_finite_loss(double loss, std::int64_t step, std::span<const std::int64_t> rows) {
  if (std::isfinite(loss)) return;
  std::string numbers;
  for (std::size_t i = 0; i < rows.size() && i < 64; ++i) numbers += message(i == 0 ? "" : ", ", rows[i]);
  if (rows.size() > 64) numbers += message(" and ", rows.size() - 64, " more");
  throw TrainingError(message("the loss is ", loss, " in step ", step, ", rows ", numbers,
                              "; look at these rows, or lower the learning rate"));
}

GRAFT_INLINE void require_finite_gradients(const NamedTensors& parameters, std::int64_t step) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : parameters) {
    const auto& grad = tensor.grad();
    if (grad.defined() && !grad.isfinite().all().item<bool>()) names.push_back(name);
  }
  if (names.empty()) return;
  throw TrainingError(message("the gradient is not finite in step ", step, ", in ", detail::name_list(names),
                              "; lower the learning rate or clip the norm"));
}

GRAFT_INLINE FrozenGuard::FrozenGuard(const torch::nn::Module& module) {
  for (const auto& item : module.named_parameters()) {
    const auto& tensor = item.value();
    if (!tensor.defined() || tensor.requires_grad() || tensor.layout() != torch::kStrided) continue;
    frozen_.push_back({item.key(), tensor, fingerprint(tensor)});
  }
}

GRAFT_INLINE void FrozenGuard::check() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor, before] : frozen_) {
    if (fingerprint(tensor) != before) names.push_back(name);
  }
  if (names.empty()) return;
  throw TrainingError(message("frozen parameters have changed: ", detail::name_list(names),
                              "; something other than the optimizer writes to them"));
}

GRAFT_INLINE std::string FrozenGuard::hash() const {
  std::string all;
  for (const auto& [name, tensor, fingerprint] : frozen_) all += name + " " + hex(fingerprint) + "\n";
  return hex(fingerprint(all));
}

GRAFT_INLINE LearningGuard::LearningGuard(const Optimizer& optimizer)
    : LearningGuard(optimizer.parameters(), optimizer.updated()) {}

GRAFT_INLINE LearningGuard::LearningGuard(const NamedTensors& parameters, const NamedTensors& updated) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, tensor] = parameters[i];
    if (!tensor.defined()) throw OptionError(quoted(name) + " is undefined");
    watched_.push_back({.name = name,
                        .parameter = tensor,
                        .updated = updated[i].second,
                        .fingerprint = fingerprint(updated[i].second)});
  }
}

GRAFT_INLINE void LearningGuard::observe() {
  for (auto& watched : watched_) {
    if (watched.was_other_than_zero) continue;
    const auto& grad = watched.parameter.grad();
    if (!grad.defined()) continue;
    watched.had_gradient = true;
    watched.was_other_than_zero = grad.ne(0).any().item<bool>();
  }
}

GRAFT_INLINE void LearningGuard::check_gradients() const {
  std::vector<std::string> names;
  for (const auto& watched : watched_) {
    if (!watched.had_gradient) names.push_back(watched.name);
  }
  if (names.empty()) return;
  throw TrainingError(message("no gradient reaches ", detail::name_list(names),
                              "; the loss does not depend on them: freeze them, or use them in the forward pass"));
}

GRAFT_INLINE void LearningGuard::check() const {
  check_gradients();
  std::vector<std::string> zero, still;
  for (const auto& watched : watched_) {
    if (!watched.was_other_than_zero) {
      zero.push_back(watched.name);
    } else if (fingerprint(watched.updated) == watched.fingerprint) {
      still.push_back(watched.name);
    }
  }
  if (!zero.empty()) {
    throw TrainingError(message("nothing but zero gradients reach ", detail::name_list(zero),
                                "; something between them and the loss cuts them off"));
  }
  if (!still.empty()) {
    throw TrainingError(message("training does not move ", detail::name_list(still),
                                "; the learning rate may be too small for their element type"));
  }
}

}  // namespace graft
