#pragma once

#include <algorithm>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/head_copies.hpp"
#include "graft/adapters/targets.hpp"

namespace graft {

GRAFT_INLINE HeadCopies::HeadCopies(torch::nn::Module& module, const std::vector<std::string>& heads) {
  const auto others = named(module);
  put(module, nullptr);
  auto parameters = module.named_parameters();
  for (auto& parameter : parameters) {
    const bool in_head = std::any_of(heads.begin(), heads.end(),
                                     [&](const std::string& head) { return detail::within(parameter.key(), head); });
    if (!in_head || parameter.key().find(".adapters.") != std::string::npos) continue;
    torch::Tensor& tensor = parameter.value();
    Part part{parameter.key(), WeakTensor(tensor.getIntrusivePtr()), {}, {}};
    for (const auto& [name, other] : others) {
      for (const Part& known : other->parts_)
        if (find(parameters, known) == &tensor) part.base = known.base;
    }
    if (!part.base.defined()) part.base = detail::copied(tensor, std::nullopt);
    part.own = detail::copied(tensor, std::nullopt);
    tensor.set_data(part.own);
    parts_.push_back(std::move(part));
  }
  in_model_ = true;
}

GRAFT_INLINE std::shared_ptr<HeadCopies> HeadCopies::copy(const std::optional<torch::Device>& device) const {
  std::shared_ptr<HeadCopies> result(new HeadCopies);
  for (const Part& part : parts_) {
    result->parts_.push_back({part.path, WeakTensor(torch::Tensor().getIntrusivePtr()),
                              detail::copied(part.own, device), detail::copied(part.base, device)});
  }
  result->in_model_ = in_model_;
  return result;
}

GRAFT_INLINE torch::Tensor HeadCopies::value(torch::nn::Module& module, const std::string& path) const {
  auto parameters = module.named_parameters();
  for (const Part& part : parts_) {
    const torch::Tensor* parameter = part.path == path ? find(parameters, part) : nullptr;
    if (parameter) return in_model_ ? *parameter : part.own;
  }
  return {};
}

GRAFT_INLINE bool HeadCopies::same(torch::nn::Module& module, const HeadCopies& other) const {
  return parts_.size() == other.parts_.size() && std::all_of(parts_.begin(), parts_.end(), [&](const Part& part) {
           const torch::Tensor ours = value(module, part.path), theirs = other.value(module, part.path);
           return ours.defined() && theirs.defined() && torch::equal(ours, theirs);
         });
}

GRAFT_INLINE void HeadCopies::put(torch::nn::Module& module, HeadCopies* wanted) {
  if (wanted && wanted->in_model_) return;
  auto parameters = module.named_parameters();
  const auto take = [](torch::Tensor& parameter, const torch::Tensor& values) {
    parameter.set_data(values.to(parameter.device(), parameter.scalar_type()));
  };
  const torch::NoGradGuard no_grad;
  const auto known = named(module);
  const bool of_base = std::none_of(known.begin(), known.end(), [](const auto& one) { return one.second->in_model_; });
  for (const auto& [name, copies] : known) {
    if (!of_base && !copies->in_model_) continue;
    for (Part& part : copies->parts_) {
      torch::Tensor* parameter = find(parameters, part);
      if (!parameter) continue;
      if (of_base) {
        part.base.copy_(*parameter);
        continue;
      }
      part.own = parameter->detach();  // where the optimizer, or to(), left it
      take(*parameter, detail::copied(part.base, std::nullopt));
    }
    copies->in_model_ = false;
  }
  if (!wanted) return;
  for (const Part& part : wanted->parts_) {
    if (torch::Tensor* parameter = find(parameters, part)) take(*parameter, part.own);
  }
  wanted->in_model_ = true;
}

GRAFT_INLINE std::vector<std::pair<std::string, std::shared_ptr<HeadCopies>>> HeadCopies::named(
    torch::nn::Module& module) {
  std::vector<std::pair<std::string, std::shared_ptr<HeadCopies>>> found;
  const auto look = [&](torch::nn::Module* part) {
    auto* layer = dynamic_cast<Adaptable*>(part);
    if (!layer) return;
    for (const std::string& name : layer->adapters()) {
      if (const auto heads = layer->adapter(name)->heads) found.emplace_back(name, heads);
    }
  };
  look(&module);
  for (const auto& part : module.modules(/*include_self=*/false)) look(part.get());
  return found;
}

GRAFT_INLINE std::shared_ptr<HeadCopies> HeadCopies::of(torch::nn::Module& module, const std::string& name) {
  for (const auto& [owner, heads] : named(module))
    if (owner == name) return heads;
  return nullptr;
}

GRAFT_INLINE torch::Tensor* HeadCopies::find(torch::OrderedDict<std::string, torch::Tensor>& parameters,
                                             const Part& part) {
  torch::Tensor* parameter = parameters.find(part.path);
  if (!parameter || parameter->sizes() != part.base.sizes()) return nullptr;
  const auto* known = part.parameter._unsafe_get_target();
  return !known || known == parameter->unsafeGetTensorImpl() ? parameter : nullptr;
}

}  // namespace graft
