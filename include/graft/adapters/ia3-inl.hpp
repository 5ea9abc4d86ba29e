#pragma once

#include "graft/adapters/ia3.hpp"

namespace graft {

GRAFT_INLINE TargetReport attach_ia3(torch::nn::Module& module, const Targets& targets,
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
