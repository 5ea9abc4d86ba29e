#pragma once

#include "graft/adapters/layer_patterns.hpp"

namespace graft {

GRAFT_INLINE std::map<std::string, LoraOptions> options_by_layer(const std::vector<std::string>& layers,
                                                                 const LoraOptions& options,
                                                                 const LayerPatterns& patterns) {
  PathValues ranks(patterns.rank);
  PathValues alphas(patterns.alpha);
  std::map<std::string, LoraOptions> result;
  for (const std::string& path : layers) {
    LoraOptions own = options;
    own.rank = ranks.find(path).value_or(options.rank);
    own.alpha = alphas.find(path).value_or(options.alpha);
    result.emplace(path, own);
  }
  std::string unused;
  for (const std::string& key : ranks.unused()) unused += message("\n  rank pattern ", quoted(key));
  for (const std::string& key : alphas.unused()) unused += message("\n  alpha pattern ", quoted(key));
  if (!unused.empty()) throw OptionError("patterns that give no target its value; nothing was changed:" + unused);
  return result;
}

}  // namespace graft
