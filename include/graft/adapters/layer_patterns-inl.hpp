#pragma once

#include "graft/adapters/layer_patterns.hpp"

namespace graft::detail {

GRAFT_INLINE void refuse_unused_patterns(const std::vector<std::string>& ranks,
                                         const std::vector<std::string>& alphas) {
  std::string unused;
  for (const std::string& key : ranks) unused += message("\n  rank pattern ", quoted(key));
  for (const std::string& key : alphas) unused += message("\n  alpha pattern ", quoted(key));
  if (!unused.empty()) throw OptionError("patterns that give no target its value; nothing was changed:" + unused);
}

}  // namespace graft::detail
