#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/io/quantised.hpp"
#include "graft/models/causal_lm.hpp"

namespace graft {

/// What a GGUF adapter file says beside its weights.
struct GgufAdapterOptions {
  GgufType type = GgufType::F32;   ///< of the weights, F32 or F16
  std::string title = {};          ///< general.name
  std::string task = {};           ///< adapter.lora.task_name, which llama.cpp's server lists
  std::string prompt_prefix = {};  ///< adapter.lora.prompt_prefix, likewise: what the task's prompts begin with
  std::map<std::string, std::string> metadata = {};  ///< more keys, with text
};

/// Writes the adapter called `name` as the GGUF file that llama.cpp takes (`llama-server --lora FILE`): A and B of each
/// linear layer under the names of GGUF models, rows of q and k in the order of llama's files, and one alpha. Where
/// layers differ in alpha / r (patterns), B is multiplied by what alpha cannot say; of rsLoRA, and of PiSSA and OLoRA,
/// which are written with twice the rank, likewise. As "graft.base" the file says which weights the adapter belongs to.
/// It appears whole or not at all, over any file of that name; the model stays as it is, merged or not.
///
/// Throws OptionError, naming kinds and layers, for what such a file has no room for: another kind than LoRA, a bias on
/// B, an adapted embedding, heads (modules_to_save), trained parameters of the base; if no layer has the adapter, for a
/// type other than F32 and F16, or a key that the file has anyway; StateError for a weight that is not finite in that
/// type; as OutputFile does; FileError where the system refuses.
void save_gguf_adapter(const std::filesystem::path& path, CausalLM model, const std::string& name = "default",
                       const GgufAdapterOptions& options = {});

/// What load_gguf_adapter() put on the model.
struct LoadedGgufAdapter {
  std::vector<std::string> layers;         ///< with an adapter now
  double alpha = 0;                        ///< of the file; 0: each layer's update counts as it is
  std::string title, task, prompt_prefix;  ///< see GgufAdapterOptions; empty: the file does not say
  std::string other_base = {};  ///< a warning that the adapter was trained on another base; empty if not known to be
};

/// Puts the adapter of a GGUF file, graft's or llama.cpp's, on a model, as plain LoRA under `name`. Then it is as after
/// attach(): the active adapter, and all that requires gradients.
///
/// Throws FormatError that lists every fault, before anything is changed: a file that is no adapter or one of another
/// architecture or kind, half a pair, a tensor that the model has no layer for, shapes that do not fit; as GgufFile
/// does; OptionError and StateError as attach() does.
LoadedGgufAdapter load_gguf_adapter(const std::filesystem::path& path, CausalLM model,
                                    const std::string& name = "default");

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/gguf_adapter-inl.hpp"
#endif
