#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "graft/adapters/attach.hpp"

namespace graft {

/// Trains these rows of one embedding, such as those of new tokens, as part of the adapter called `name`, which other
/// layers may have already; the embedding itself is frozen. `embedding` is its path, or the end of it after a dot.
/// Attach the adapter's other layers first: attach() freezes all that is there. PEFT calls it trainable_token_indices.
/// An output layer that shares the embedding's weight keeps the base's rows.
/// Throws OptionError if no layer or more than one has the name, or as Adaptable::add_token_rows() does.
inline void train_token_rows(torch::nn::Module& module, const std::string& embedding, std::vector<std::int64_t> tokens,
                             const std::string& name = "default") {
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
