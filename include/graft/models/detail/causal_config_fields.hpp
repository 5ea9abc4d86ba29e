#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/mode.hpp"
#include "graft/models/causal_config.hpp"

namespace graft::detail {

/// The row whose `name` is that, or null.
const CausalFamily* find_causal_family(std::string_view CausalFamily::*name, std::string_view that);

/// All of that name, for an error: `llama, qwen2 or gpt2`, with `quotes` as they stand in files.
std::string causal_families_by(std::string_view CausalFamily::*name, bool quotes);

/// What is wrong with the numbers of `config`, or nothing.
std::string fault_of(const CausalConfig& config);

/// The layers with a window by what a family does where no list says it.
std::vector<bool> default_windows(const CausalFamily& family, std::int64_t layers, std::int64_t pattern,
                                  std::int64_t first);

}  // namespace graft::detail
