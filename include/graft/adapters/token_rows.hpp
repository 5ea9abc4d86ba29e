#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "graft/adapters/attach.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Trains these rows of one embedding, such as those of new tokens, as part of the adapter called `name`, which other
/// layers may have already; the embedding itself is frozen. `embedding` is its path, or the end of it after a dot.
/// Attach the adapter's other layers first: attach() freezes all that is there. PEFT calls it trainable_token_indices.
/// An output layer that shares the embedding's weight keeps the base's rows.
/// Throws OptionError if no layer or more than one has the name, or as Adaptable::add_token_rows() does.
void train_token_rows(torch::nn::Module& module, const std::string& embedding, std::vector<std::int64_t> tokens,
                      const std::string& name = "default");

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/token_rows-inl.hpp"
#endif
