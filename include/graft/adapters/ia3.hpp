#pragma once

#include <map>
#include <string>
#include <vector>

#include "graft/adapters/attach.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// attach() with adapters of IA3: a layer's outputs, or its inputs, are multiplied by one trained factor each,
///   y = l * (x W^T + bias)   or   y = (l * x) W^T + bias,   l = 1 at first
///
/// For linear layers and convolutions without groups. `feed_forward` says whose inputs are scaled: layers whose path is
/// the name or ends with ".name", as in PEFT (BERT: targets key, value, output.dense; feed-forward output.dense).
/// Throws OptionError as attach() does, and for a feed-forward name that takes none of the layers.
/// Source: Liu et al., Few-Shot Parameter-Efficient Fine-Tuning, arXiv:2205.05638, section 3.3.
TargetReport attach_ia3(torch::nn::Module& module, const Targets& targets,
                        const std::vector<std::string>& feed_forward = {}, const std::string& name = "default");

/// The same with the side of each layer by path. `heads` are paths of modules.
template <LayersByPath<Ia3Side> Layers>
void attach_ia3(torch::nn::Module& module, const Layers& layers, const std::vector<std::string>& heads,
                const std::string& name = "default") {
  const detail::AdapterKind<Ia3Side> kind{&Adaptable::add_ia3, &Adaptable::ia3_faults};
  detail::attach_kind(kind, module, layers, heads, name);
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/ia3-inl.hpp"
#endif
