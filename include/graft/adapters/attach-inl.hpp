#pragma once

#include <algorithm>
#include <cmath>
#include <set>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/head_copies.hpp"

namespace graft {
namespace detail {

[[noreturn]] GRAFT_INLINE void unknown_adapter(torch::nn::Module& module, const std::string& name) {
  const auto known = adapters(module);
  throw OptionError(message("no layer has an adapter called ", quoted(name), "; there ",
                            known.empty() ? std::string("is none") : "are: " + joined(known, ", ")));
}

GRAFT_INLINE void require_unmerged(torch::nn::Module& module, std::string_view what) {
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->merged()) {
      throw StateError(message("cannot ", what, " while adapters are merged into ", quoted(path), "; unmerge first"));
    }
  }
}

GRAFT_INLINE void require_adapter(torch::nn::Module& module, const std::string& name) {
  const auto known = adapters(module);
  if (std::find(known.begin(), known.end(), name) == known.end()) unknown_adapter(module, name);
}

}  // namespace detail

GRAFT_INLINE std::vector<std::pair<std::string, Adaptable*>> adaptable_layers(torch::nn::Module& module) {
  std::vector<std::pair<std::string, Adaptable*>> layers;
  if (auto* self = dynamic_cast<Adaptable*>(&module)) layers.emplace_back("", self);
  std::set<const Adaptable*> seen;
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    auto* layer = dynamic_cast<Adaptable*>(child.value().get());
    if (layer && seen.insert(layer).second) layers.emplace_back(child.key(), layer);
  }
  return layers;
}

GRAFT_INLINE std::vector<TargetCandidate> target_candidates(torch::nn::Module& module) {
  std::vector<TargetCandidate> candidates;
  std::set<const torch::nn::Module*> seen;
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    const torch::nn::Module* layer = child.value().get();
    if (dynamic_cast<const detail::AdapterSlots*>(layer) || dynamic_cast<const LayerAdapter*>(layer)) continue;
    if (!seen.insert(layer).second) continue;
    candidates.push_back({child.key(), dynamic_cast<const Adaptable*>(layer) != nullptr,
                          dynamic_cast<const torch::nn::LinearImpl*>(layer) != nullptr});
  }
  return candidates;
}

namespace detail {

/// Whether `head`, a part of `module`, holds the weight of an embedding that an output layer has too.
GRAFT_INLINE bool holds_tied_weight(const torch::nn::Module& module, const torch::nn::Module& head) {
  const auto in_head = [&](const torch::nn::Module& part) {
    const auto* ties = dynamic_cast<const TiedOutput*>(&part);
    const torch::Tensor weight = ties && &part != &head ? ties->tied_weight() : torch::Tensor();
    const auto parameters = head.parameters();
    return weight.defined() && std::any_of(parameters.begin(), parameters.end(),
                                           [&](const torch::Tensor& parameter) { return parameter.is_same(weight); });
  };
  const auto parts = module.modules(/*include_self=*/false);
  return in_head(module) || std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return in_head(*part); });
}

GRAFT_INLINE Attachment::Attachment(torch::nn::Module& module, const std::vector<std::string>& paths,
                                    const std::vector<std::string>& heads)
    : module_(module) {
  require_unmerged(module, "attach an adapter");
  std::set<std::string> lacking(paths.begin(), paths.end());
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (lacking.erase(path)) layers_.emplace_back(path, layer);
  }
  for (const std::string& path : lacking) missing_.push_back(quoted(path) + " is not a layer that takes an adapter");
  const auto modules = module.named_modules("", /*include_self=*/false);
  for (const std::string& path : heads) {
    if (const auto* head = modules.find(path)) {
      heads_.push_back(*head);
      head_paths_.push_back(path);
      if (holds_tied_weight(module, **head)) {
        missing_.push_back(message("head ", quoted(path), " holds the weight that the output layer shares: trained in ",
                                   "full it would change both, where PEFT changes one; train rows of it, or adapt it"));
      }
    } else {
      missing_.push_back("the model has no head " + quoted(path));
    }
  }
}

GRAFT_INLINE void Attachment::check(std::vector<std::string> faults) const {
  faults.insert(faults.end(), missing_.begin(), missing_.end());
  if (faults.empty()) return;
  throw OptionError(faults.size() == 1 ? faults.front()
                                       : message(faults.size(), " faults:\n  ", joined(faults, "\n  ")));
}

GRAFT_INLINE void Attachment::finish(const std::string& name,
                                     const std::vector<std::shared_ptr<LayerAdapter>>& adapters) {
  for (torch::Tensor& parameter : module_.parameters()) set_trained(parameter, false);
  if (adapters.empty() || head_paths_.empty()) {
    HeadCopies::put(module_, nullptr);
  } else {
    adapters.front()->heads = std::make_shared<HeadCopies>(module_, head_paths_);
  }
  std::set<const Adaptable*> adapted;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    layers_[i].second->put(name, adapters[i]);
    adapted.insert(layers_[i].second);
  }
  for (const auto& [path, layer] : adaptable_layers(module_)) {
    if (!adapted.count(layer)) layer->choose({});
  }
  for (const auto& head : heads_) {
    for (torch::Tensor& parameter : head->parameters()) parameter.set_requires_grad(true);
  }
}

}  // namespace detail

GRAFT_INLINE std::vector<std::string> adapters(torch::nn::Module& module) {
  std::vector<std::string> names;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    for (const std::string& name : layer->adapters()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

namespace detail {

GRAFT_INLINE void check_choice(torch::nn::Module& module, const std::vector<ActiveAdapter>& active) {
  std::set<std::string> seen;
  for (const ActiveAdapter& adapter : active) {
    require_adapter(module, adapter.name);
    if (!std::isfinite(adapter.weight)) {
      throw OptionError(
          message("the weight of adapter ", quoted(adapter.name), " is ", adapter.weight, "; give a finite number"));
    }
    if (!seen.insert(adapter.name).second) {
      throw OptionError(message("adapter ", quoted(adapter.name), " is chosen twice; give it one weight"));
    }
  }
}

/// Those of `active` that the layer has.
GRAFT_INLINE std::vector<ActiveAdapter> carried(const Adaptable& layer, const std::vector<ActiveAdapter>& active) {
  std::vector<ActiveAdapter> here;
  for (const ActiveAdapter& adapter : active) {
    if (layer.adapter(adapter.name)) here.push_back(adapter);
  }
  return here;
}

}  // namespace detail

GRAFT_INLINE void choose(torch::nn::Module& module, const std::vector<ActiveAdapter>& active) {
  detail::check_choice(module, active);
  detail::require_unmerged(module, "choose adapters");
  std::string owner;
  std::shared_ptr<HeadCopies> heads;
  for (const ActiveAdapter& adapter : active) {
    const auto own = HeadCopies::of(module, adapter.name);
    if (own && heads && !own->same(module, *heads)) {
      throw OptionError(message("adapters ", quoted(owner), " and ", quoted(adapter.name),
                                " both have heads of their own; choose one of them"));
    }
    if (own) owner = adapter.name, heads = own;
  }
  const auto layers = adaptable_layers(module);
  for (const auto& [path, layer] : layers) layer->check_choice(detail::carried(*layer, active));
  HeadCopies::put(module, heads.get());
  for (const auto& [path, layer] : layers) layer->choose(detail::carried(*layer, active));
}

GRAFT_INLINE void choose(torch::nn::Module& module, const std::string& name) {
  choose(module, std::vector<ActiveAdapter>{{name, 1.0}});
}

GRAFT_INLINE void weigh(torch::nn::Module& module, const std::string& name, double weight) {
  detail::require_adapter(module, name);
  if (!std::isfinite(weight)) {
    throw OptionError(message("the weight of adapter ", quoted(name), " is ", weight, "; give a finite number"));
  }
  detail::require_unmerged(module, "weigh adapters");
  std::vector<std::pair<Adaptable*, std::vector<ActiveAdapter>>> changed;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    std::vector<ActiveAdapter> active = layer->active();
    const auto found = std::find_if(active.begin(), active.end(), [&](const auto& a) { return a.name == name; });
    if (found == active.end()) continue;
    found->weight = weight;
    changed.emplace_back(layer, std::move(active));
  }
  if (changed.empty()) throw OptionError(message("adapter ", quoted(name), " is not active; choose it first"));
  for (const auto& [layer, active] : changed) layer->check_choice(active);
  for (auto& [layer, active] : changed) layer->choose(std::move(active));
}

GRAFT_INLINE void train_only(torch::nn::Module& module, const std::vector<std::string>& names) {
  for (const std::string& name : names) detail::require_adapter(module, name);
  for (const auto& [path, layer] : adaptable_layers(module)) {
    for (const std::string& name : layer->adapters()) {
      const bool trained = std::find(names.begin(), names.end(), name) != names.end();
      for (torch::Tensor& factor : layer->adapter(name)->parameters()) detail::set_trained(factor, trained);
    }
  }
}

GRAFT_INLINE void merge(torch::nn::Module& module) {
  std::vector<Adaptable*> done;
  bool any = false;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->active().empty()) continue;
    any = true;
    if (layer->merged()) continue;
    try {
      layer->merge();
    } catch (const StateError& error) {
      for (Adaptable* merged : done) merged->unmerge();
      throw StateError(message("layer ", quoted(path), ": ", error.what()));
    }
    done.push_back(layer);
  }
  if (!any) throw StateError("no layer has an active adapter to merge; attach or choose one first");
}

GRAFT_INLINE std::string MergeChange::text() const {
  return message("merging changed outputs by at most ", largest, ", which is ", relative, " of the largest");
}

GRAFT_INLINE MergeChange merge(torch::nn::Module& module, const std::function<torch::Tensor()>& outputs) {
  const torch::NoGradGuard no_grad;
  const bool training = module.is_training();
  module.eval();
  const auto run = [&] { return outputs().to(torch::kCPU, torch::kFloat64); };
  try {
    const torch::Tensor before = run();
    merge(module);
    const torch::Tensor after = run();
    module.train(training);
    if (before.numel() == 0) return {};
    MergeChange change;
    change.largest = (after - before).abs().max().item<double>();
    const double scale = before.abs().max().item<double>();
    change.relative = scale > 0 ? change.largest / scale : change.largest;
    return change;
  } catch (...) {
    module.train(training);
    throw;
  }
}

GRAFT_INLINE void unmerge(torch::nn::Module& module) {
  for (const auto& [path, layer] : adaptable_layers(module)) layer->unmerge();
}

GRAFT_INLINE void rename(torch::nn::Module& module, const std::string& from, const std::string& to) {
  detail::require_adapter(module, from);
  if (from == to) return;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->adapter(from) && layer->adapter(to)) {
      throw OptionError(message("adapter name ", quoted(to), " is taken in layer ", quoted(path), "; choose another"));
    }
  }
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->adapter(from)) layer->rename_adapter(from, to);
  }
}

GRAFT_INLINE void detach(torch::nn::Module& module, const std::string& name) {
  detail::require_adapter(module, name);
  detail::require_unmerged(module, "detach an adapter");
  if (const auto heads = HeadCopies::of(module, name); heads && heads->in_model()) HeadCopies::put(module, nullptr);
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->adapter(name)) layer->remove_adapter(name);
  }
}

}  // namespace graft
