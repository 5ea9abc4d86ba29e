#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

// What Adaptable does for one layer, done for every layer of a model. A call that throws has changed nothing.
// "Adapter" is here what the layers have under one name. Threads: none of the other functions while forward() runs.

/// Every adaptable layer of `module` with its path, each once, in the module's order. The module itself counts, as "".
std::vector<std::pair<std::string, Adaptable*>> adaptable_layers(torch::nn::Module& module);

/// What match() needs to know of a module.
std::vector<TargetCandidate> target_candidates(torch::nn::Module& module);

/// Puts an adapter of the kind that the options name (LoRA if none is: attach(model, {.rank = 8}, targets)) on the
/// layers that `targets` takes, makes it the active one, and leaves only it and the heads requiring gradients: every
/// other parameter of the module, other adapters included, is frozen. The heads begin as the base's are; each adapter
/// has its own of them from then on (see HeadCopies), and choose() puts them in the model.
/// The values of A are drawn from LibTorch's generator in the module's order.
/// `patterns`: ranks and alphas that differ by layer, for options that have them.
/// Throws OptionError if targets or options do not fit (every fault of every layer at once) or a pattern gives no layer
/// its value, StateError while merged.
template <class Options = LoraOptions>
TargetReport attach(torch::nn::Module& module, const Options& options, const Targets& targets,
                    const LayerPatterns& patterns, const std::string& name = "default");

template <class Options = LoraOptions>
TargetReport attach(torch::nn::Module& module, const Options& options, const Targets& targets,
                    const std::string& name = "default") {
  return attach<Options>(module, options, targets, LayerPatterns{}, name);
}

/// Options of an adapter's kind for each layer, by path. A template that takes this, and nothing in braces, cannot be
/// mistaken for one that takes options: g++ 12 reads {.rank = 3, .alpha = 5} as two iterators for a map.
template <class Layers>
concept OptionsByPath = AdapterOptions<typename Layers::mapped_type> &&
    std::same_as<Layers, std::map<std::string, typename Layers::mapped_type>>;

/// The same with options for each layer by path, as an adapter's file may ask. `heads` are paths of modules.
template <OptionsByPath Layers>
void attach(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
            const std::string& name = "default");

/// One layer of those that get an adapter together, and its options; see LayerAdapter's settle().
template <class Options>
struct LayerOptions {
  std::string path;
  Adaptable* layer;
  Options options;
};

/// Names of the adapters that any layer has, in the order they were first met.
std::vector<std::string> adapters(torch::nn::Module& module);

/// The adapters that forward() sums from now on, each with its weight; none is the base. A layer ignores a chosen
/// adapter that it does not carry. The heads are those of the adapter that has any, else the base's. What is trained
/// does not change. Throws OptionError for a name that no layer has, or if two of them have heads that differ.
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

/// A fresh adapter for each layer, if no faults are found; they are added to `faults`.
template <class Options>
std::vector<std::shared_ptr<LayerAdapter>> make_adapters(std::vector<LayerOptions<Options>> layers,
                                                         const std::string& name, std::vector<std::string>& faults) {
  using Kind = typename Options::Adapter;
  if constexpr (requires { Kind::settle(layers); }) Kind::settle(layers);
  for (const auto& [path, layer, options] : layers) {
    for (std::string& fault : layer->faults(name, options, "layer " + quoted(path))) faults.push_back(std::move(fault));
  }
  std::vector<std::shared_ptr<LayerAdapter>> adapters;
  if (!faults.empty()) return adapters;
  for (const auto& [path, layer, options] : layers) adapters.push_back(Kind::make(*layer, options));
  return adapters;
}

/// attach() of any kind: the layers and heads are looked for, faults are collected, and then all is done at once.
class Attachment {
 public:
  using Layers = std::vector<std::pair<std::string, Adaptable*>>;

  /// Throws StateError while merged.
  Attachment(torch::nn::Module& module, const std::vector<std::string>& paths, const std::vector<std::string>& heads);

  const Layers& layers() const { return layers_; }  ///< in the module's order
  /// Throws OptionError if there are faults, these or of paths.
  void check(std::vector<std::string> faults) const;
  /// One adapter for each of layers().
  void finish(const std::string& name, const std::vector<std::shared_ptr<LayerAdapter>>& adapters);

 private:
  torch::nn::Module& module_;
  Layers layers_;
  std::vector<std::shared_ptr<torch::nn::Module>> heads_;
  std::vector<std::string> head_paths_;
  std::vector<std::string> missing_;
};

[[noreturn]] void unknown_adapter(torch::nn::Module& module, const std::string& name);
void require_unmerged(torch::nn::Module& module, std::string_view what);
void require_adapter(torch::nn::Module& module, const std::string& name);
void check_choice(torch::nn::Module& module, const std::vector<ActiveAdapter>& active);

/// Those of `active` that the layer has.
std::vector<ActiveAdapter> carried(const Adaptable& layer, const std::vector<ActiveAdapter>& active);

}  // namespace detail

template <class Options>
TargetReport attach(torch::nn::Module& module, const Options& options, const Targets& targets,
                    const LayerPatterns& patterns, const std::string& name) {
  TargetReport report = match(targets, target_candidates(module));
  attach(module, options_by_layer(report.layers, options, patterns), report.heads, name);
  return report;
}

template <OptionsByPath Layers>
void attach(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
            const std::string& name) {
  using Options = typename Layers::mapped_type;
  std::vector<std::string> paths, faults;
  for (const auto& [path, options] : layers) paths.push_back(path);
  detail::Attachment attachment(module, paths, heads);
  std::vector<LayerOptions<Options>> chosen;
  for (const auto& [path, layer] : attachment.layers()) chosen.push_back({path, layer, layers.at(path)});
  const auto adapters = detail::make_adapters(std::move(chosen), name, faults);
  attachment.check(std::move(faults));
  attachment.finish(name, adapters);
}

}  // namespace graft

#include "graft/adapters/kinds/lora.hpp"  // the kind that is meant where none is named
#ifndef GRAFT_COMPILED
#include "graft/adapters/attach-inl.hpp"
#endif
