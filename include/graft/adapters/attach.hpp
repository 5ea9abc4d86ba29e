#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/mode.hpp"

namespace graft {

// What Adaptable does for one layer, done for every layer of a model. A call that throws has changed nothing.
// "An adapter" is here all slots of one name. Threads: none of the other functions while forward() runs.

/// Every adaptable layer of `module` with its path, each once, in the module's order. The module itself counts, as "".
std::vector<std::pair<std::string, Adaptable*>> adaptable_layers(torch::nn::Module& module);

/// What match() needs to know of a module.
std::vector<TargetCandidate> target_candidates(torch::nn::Module& module);

/// Puts an adapter on the layers that `targets` takes, makes it the active one, and leaves only it and the heads
/// requiring gradients: every other parameter of the module, other adapters included, is frozen.
/// The values of A are drawn from LibTorch's generator in the module's order.
/// Throws OptionError if targets or options do not fit (every fault of every layer at once), StateError while merged.
TargetReport attach(torch::nn::Module& module, const LoraOptions& options, const Targets& targets,
                    const std::string& name = "default");

/// The same with ranks and alphas that differ by layer. Throws OptionError too for a key that gives no layer its value.
TargetReport attach(torch::nn::Module& module, const LoraOptions& options, const Targets& targets,
                    const LayerPatterns& patterns, const std::string& name = "default");

/// Options of an adapter's kind for each layer, by path. A template that takes this, and nothing in braces, cannot be
/// mistaken for one that takes options: g++ 12 reads {.rank = 3, .alpha = 5} as two iterators for a map.
template <class Layers, class Options>
concept LayersByPath = std::same_as<Layers, std::map<std::string, Options>>;

/// The same with options for each layer by path, as an adapter's file may ask. `heads` are paths of modules.
template <LayersByPath<LoraOptions> Layers>
void attach(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
            const std::string& name = "default");

/// Names of the adapters that any layer has, in the order they were first met.
std::vector<std::string> adapters(torch::nn::Module& module);

/// The adapters that forward() sums from now on, each with its weight; none is the base. A layer ignores a chosen
/// adapter that it does not carry. What is trained does not change. Throws OptionError for a name that no layer has.
void choose(torch::nn::Module& module, const std::vector<ActiveAdapter>& active);
void choose(torch::nn::Module& module, const std::string& name);

/// Changes the weight of an active adapter. Throws OptionError if it is active nowhere.
void weigh(torch::nn::Module& module, const std::string& name, double weight);

/// Makes exactly these adapters require gradients. Parameters that belong to no adapter stay as they are.
void train_only(torch::nn::Module& module, const std::vector<std::string>& names);

/// Folds the active adapters into the weights of every layer that has any; unmerge() gives back the very bits.
/// Throws StateError if no layer has an active adapter, or if a result would not be finite (nothing is then merged).
void merge(torch::nn::Module& module);
void unmerge(torch::nn::Module& module);

/// What merging changed of a model's outputs, by rounding alone.
struct MergeChange {
  double largest = 0;   ///< of the absolute differences
  double relative = 0;  ///< the same over the largest output

  std::string text() const;  ///< one line for people
};

/// merge(), with `outputs` run before and after: it returns what the model gives for a probe batch, in evaluation mode.
MergeChange merge(torch::nn::Module& module, const std::function<torch::Tensor()>& outputs);

/// Throws OptionError if no layer has `from`, or any that has it also has `to`.
void rename(torch::nn::Module& module, const std::string& from, const std::string& to);

/// Takes an adapter off every layer. The base stays frozen. Throws OptionError if no layer has it, StateError if
/// merged.
void detach(torch::nn::Module& module, const std::string& name);

namespace detail {

/// How layers get adapters of one kind, and what they would refuse; both are given the options of that kind.
template <class Options>
struct AdapterKind {
  void (Adaptable::*add)(const std::string& name, Options options);
  std::vector<std::string> (Adaptable::*faults)(const std::string& name, Options options, std::string_view where) const;
};

/// attach() for any kind.
template <class Options, class Layers>
void attach_kind(const AdapterKind<Options>& kind, torch::nn::Module& module, const Layers& layers,
                 const std::vector<std::string>& heads, const std::string& name);

[[noreturn]] void unknown_adapter(torch::nn::Module& module, const std::string& name);
void require_unmerged(torch::nn::Module& module, std::string_view what);
void require_adapter(torch::nn::Module& module, const std::string& name);
void check_choice(torch::nn::Module& module, const std::vector<ActiveAdapter>& active);

/// Those of `active` that the layer has.
std::vector<ActiveAdapter> carried(const Adaptable& layer, const std::vector<ActiveAdapter>& active);

}  // namespace detail

template <LayersByPath<LoraOptions> Layers>
void attach(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
            const std::string& name) {
  const detail::AdapterKind<const LoraOptions&> kind{&Adaptable::add_adapter, &Adaptable::adapter_faults};
  detail::attach_kind(kind, module, layers, heads, name);
}

namespace detail {

template <class Options, class Layers>
void attach_kind(const AdapterKind<Options>& kind, torch::nn::Module& module, const Layers& layers,
                 const std::vector<std::string>& heads, const std::string& name) {
  require_unmerged(module, "attach an adapter");
  std::vector<std::string> faults;
  std::vector<std::pair<Adaptable*, const typename Layers::mapped_type*>> chosen;
  std::set<std::string> lacking;
  for (const auto& [path, options] : layers) lacking.insert(path);
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto found = layers.find(path);
    if (found == layers.end()) continue;
    lacking.erase(path);
    chosen.emplace_back(layer, &found->second);
    for (std::string& fault : (layer->*kind.faults)(name, found->second, "layer " + quoted(path))) {
      faults.push_back(std::move(fault));
    }
  }
  for (const std::string& path : lacking) faults.push_back(quoted(path) + " is not a layer that takes an adapter");

  std::vector<std::shared_ptr<torch::nn::Module>> full;
  const auto modules = module.named_modules("", /*include_self=*/false);
  for (const std::string& path : heads) {
    if (const auto* head = modules.find(path)) {
      full.push_back(*head);
    } else {
      faults.push_back("the model has no head " + quoted(path));
    }
  }
  if (!faults.empty()) {
    throw OptionError(faults.size() == 1 ? faults.front()
                                         : message(faults.size(), " faults:\n  ", joined(faults, "\n  ")));
  }

  for (torch::Tensor& parameter : module.parameters()) set_trained(parameter, false);
  for (const auto& [layer, options] : chosen) (layer->*kind.add)(name, *options);
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (!layers.count(path)) layer->choose({});
  }
  for (const auto& head : full) {
    for (torch::Tensor& parameter : head->parameters()) parameter.set_requires_grad(true);
  }
}

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/attach-inl.hpp"
#endif
