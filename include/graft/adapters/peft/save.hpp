#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/kinds.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft {

/// What an adapter's directory says beside its weights.
struct AdapterInfo {
  std::optional<std::string> base_model = {};  ///< what it was trained on; a label
  std::optional<std::string> task_type = {};   ///< SEQ_CLS, TOKEN_CLS, QUESTION_ANS, ...

  /// Paths of the modules to store in full. Not set: those that are trained as a whole, and `classifier`, `score` and
  /// `qa_outputs` where the model has them.
  std::optional<std::vector<std::string>> heads = {};

  bool fan_in_fan_out = false;  ///< whether the base's files store linear weights [in, out], as GPT-2's do

  std::optional<std::string> data = {};              ///< a fingerprint of what it was trained on, for "graft.data"
  std::map<std::string, std::string> metadata = {};  ///< for the weights' file, beside "format", "graft.base*" and data
  bool replace = false;                              ///< whether one that graft wrote there may be replaced
};

/// Writes the adapter called `name` and the heads as a directory that PEFT opens: adapter_config.json and
/// adapter_model.safetensors. It appears whole or not at all. Merged or not, the file is the same.
///
/// Trained biases of the base go with it if they are all of the model's or all of the adapted layers' (see
/// train_biases()). PEFT takes every module whose path ends with a head's name, letter by letter, for one of
/// modules_to_save; such modules are stored too. An adapter of PiSSA or OLoRA is written as ordinary LoRA for the base
/// as it was, with twice the rank: [A; start A] and [B, -start B]. The weights' file also says, as "graft.base", which
/// weights the adapter belongs to, by fingerprint.
///
/// Throws OptionError if no layer has the adapter, if a trained parameter would be lost because it is of no head and no
/// adapter, if the layers differ in kind or in what the config has room for once (dropout, divisor, bias on B), for a
/// kind that has no form in files, or as write_adapter_dir() does; StateError for biases while an adapter that changes
/// them is merged.
void save_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                  const std::string& name = "default", const AdapterInfo& info = {});

/// What load_adapter() put on the model.
struct LoadedAdapter {
  std::vector<std::string> layers;   ///< with an adapter now
  std::vector<std::string> heads;    ///< whose parameters were read
  std::vector<std::string> biases;   ///< of the base that were read: they are trained and shared by all adapters
  std::vector<std::string> weights;  ///< of the base that were read: PEFT stores an adapted embedding in full
  AdapterConfig config;              ///< as in the file
  std::map<std::string, std::string> metadata;  ///< of the weights' file
  std::vector<std::string> warnings;            ///< of AdapterDir, and that the adapter was trained on another base
  std::string other_base = {};                  ///< the warning that says so; empty if it is not known to be so
};

/// Puts the adapter in `directory`, graft's or PEFT's, on a model, under `name`, and reads the heads, and the base's
/// biases where the file has them. Then it is as after attach(): the active adapter, and with the heads and biases all
/// that requires gradients. Ranks come from the weights' shapes and must be those of the config; alpha from the config.
/// fan_in_fan_out changes nothing: A and B look the same, and graft's layers store [out, in].
///
/// Throws FormatError that lists every fault, before anything is changed: a layer that the config names without weights
/// in the file, half a pair, a head or bias that lacks, a tensor that the model has no place for, another shape or
/// type, a rank that is not the config's, a setting that graft does not have, a kind that is not among `kinds`. Throws
/// OptionError and StateError as attach() does, FileError where the system refuses.
LoadedAdapter load_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                           const std::string& name = "default", const AdapterKinds& kinds = known_kinds());

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/peft/save-inl.hpp"
#endif
