#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/models/family.hpp"
#include "graft/tensor/state.hpp"

namespace torch::nn {
class Module;
}

namespace graft {

/// How a model's directory is written.
struct SavePretrainedOptions {
  /// A model's directory, whose tokenizer files are copied along, or a GGUF file, whose tokenizer is written as
  /// gguf_tokenizer_files() does; empty: none.
  std::filesystem::path tokenizer_from{};
  std::map<std::string, std::string> texts{};  ///< by name: content of more files, in place of the tokenizer's
  bool replace = false;                        ///< whether one that graft wrote there may be replaced
  std::uint64_t shard_bytes = 5'000'000'000;   ///< weights above this are cut into several files
};

namespace detail {

/// The tensors of a model without what its adapters hold. Throws StateError if adapters are active and not merged.
NamedTensors tensors_to_save(const torch::nn::Module& model);

/// `config` gives the configuration for what it calls the type of the weights. Throws as save_pretrained() does.
void save_weights(const std::filesystem::path& directory, const torch::nn::Module& model, const WeightNames& names,
                  const std::function<Json(const std::string& dtype)>& config, const SavePretrainedOptions& options);

}  // namespace detail

/// Writes a directory that transformers and load_pretrained() load: config.json, the weights in their own type, and the
/// tokenizer's files. It appears whole or not at all. Merged adapters are part of the weights.
///
/// Throws StateError if adapters are active that are not merged, since the directory has no place for them; OptionError
/// if weights are of several types, if `tokenizer_from` has no tokenizer file, or if `directory` holds something that
/// may not be replaced; FileError where the system refuses; for a GGUF file as gguf_tokenizer_files() does.
template <class Model>
void save_pretrained(const std::filesystem::path& directory, const Model& model,
                     const SavePretrainedOptions& options = {}) {
  detail::require_family<Model>();
  const auto config = [&](const std::string& dtype) { return model->config().to_json(model->class_name(), dtype); };
  detail::save_weights(directory, *model, model->config().weight_names(), config, options);
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/save-inl.hpp"
#endif
