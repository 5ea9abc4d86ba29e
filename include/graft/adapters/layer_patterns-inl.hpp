#pragma once

#include "graft/adapters/layer_patterns.hpp"

namespace graft::detail {

GRAFT_INLINE std::vector<std::string> unused_patterns(const std::vector<std::string>& ranks,
                                                      const std::vector<std::string>& alphas) {
  std::vector<std::string> sentences;
  const auto tell = [&](const char* field, const std::string& key) {
    sentences.push_back(message("\"", field, "\" has the key ", quoted(key), ", which gives no layer its value"));
  };
  for (const std::string& key : ranks) tell("rank_pattern", key);
  for (const std::string& key : alphas) tell("alpha_pattern", key);
  return sentences;
}

GRAFT_INLINE void refuse_unused_patterns(const std::vector<std::string>& ranks,
                                         const std::vector<std::string>& alphas) {
  std::string unused;
  for (const std::string& key : ranks) unused += message("\n  rank pattern ", quoted(key));
  for (const std::string& key : alphas) unused += message("\n  alpha pattern ", quoted(key));
  if (!unused.empty()) throw OptionError("patterns that give no target its value; nothing was changed:" + unused);
}

}  // namespace graft::detail
