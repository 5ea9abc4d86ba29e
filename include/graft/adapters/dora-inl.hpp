#pragma once

#include "graft/adapters/dora.hpp"

namespace graft {

GRAFT_INLINE TargetReport attach_dora(torch::nn::Module& module, const LoraOptions& options, const Targets& targets,
                                      const LayerPatterns& patterns, const std::string& name) {
  TargetReport report = match(targets, target_candidates(module));
  attach_dora(module, options_by_layer(report.layers, options, patterns), report.heads, name);
  return report;
}

}  // namespace graft
