#pragma once

#include <filesystem>
#include <string>

#include "graft/core/mode.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/load.hpp"

// What programs that are given a language model's name ask for.

namespace graft {

/// Loads a language model from wherever people have one: a Hugging Face directory, or a GGUF file. Throws as
/// load_pretrained() and load_gguf() do.
Pretrained<CausalLM> load_language_model(const std::filesystem::path& path, const PretrainedOptions& options = {});

/// Puts a PEFT adapter on the language model that it was trained on, under `name`; `base` is what errors call that.
/// Throws as load_adapter() does, and OptionError for an adapter of another task than CAUSAL_LM or, by its fingerprint,
/// of another base; the model then has no adapter of that name.
void load_language_adapter(const std::filesystem::path& directory, CausalLM model, const std::string& base,
                           const std::string& name = "default");

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/language_model-inl.hpp"
#endif
