#pragma once

#include <map>
#include <string>
#include <vector>

#include "graft/adapters/attach.hpp"

namespace graft {

/// attach() with adapters of IA3: a layer's outputs, or its inputs, are multiplied by one trained factor each,
///   y = l * (x W^T + bias)   or   y = (l * x) W^T + bias,   l = 1 at first
///
/// For linear layers and convolutions without groups. `feed_forward` says whose inputs are scaled: layers whose path is
/// the name or ends with ".name", as in PEFT (BERT: targets key, value, output.dense; feed-forward output.dense).
/// Throws OptionError as attach() does, and for a feed-forward name that takes none of the layers.
/// Source: Liu et al., Few-Shot Parameter-Efficient Fine-Tuning, arXiv:2205.05638, section 3.3.
inline TargetReport attach_ia3(torch::nn::Module& module, const Targets& targets,
                               const std::vector<std::string>& feed_forward = {}, const std::string& name = "default");

/// The same with the side of each layer by path. `heads` are paths of modules.
template <LayersByPath<Ia3Side> Layers>
void attach_ia3(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
                const std::string& name = "default") {
  const detail::AdapterKind<Ia3Side> kind{&Adaptable::add_ia3, &Adaptable::ia3_faults};
  detail::attach_kind(kind, module, layers, heads, name);
}

inline TargetReport attach_ia3(torch::nn::Module& module, const Targets& targets,
                               const std::vector<std::string>& feed_forward, const std::string& name) {
  TargetReport report = match(targets, target_candidates(module));
  std::map<std::string, Ia3Side> sides;
  for (const std::string& layer : report.layers) sides[layer] = Ia3Side::output;
  for (const std::string& ending : feed_forward) {
    bool any = false;
    for (auto& [layer, side] : sides) {
      if (!matches_suffix(layer, ending)) continue;
      any = true;
      side = Ia3Side::input;
    }
    if (!any) throw OptionError(message("feed-forward name ", quoted(ending), " takes none of the targeted layers"));
  }
  attach_ia3(module, sides, report.heads, name);
  return report;
}

}  // namespace graft
