#pragma once

#include "graft/adapters/token_rows.hpp"

namespace graft {

GRAFT_INLINE void train_token_rows(torch::nn::Module& module, const std::string& embedding,
                                   std::vector<std::int64_t> tokens, const std::string& name) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  Adaptable* found = nullptr;
  std::string where;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (!matches_suffix(path, embedding)) continue;
    if (found) {
      throw OptionError(
          message(quoted(embedding), " names both ", quoted(where), " and ", quoted(path), "; give more of the path"));
    }
    found = layer;
    where = path;
  }
  if (!found) throw OptionError(message("no layer that takes an adapter is called ", quoted(embedding)));
  const std::vector<std::string> faults = found->token_rows_faults(name, tokens, "layer " + quoted(where));
  if (!faults.empty()) throw OptionError(detail::joined(faults, "; "));
  found->add_token_rows(name, tokens);
}

}  // namespace graft
