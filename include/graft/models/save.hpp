#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/tensor/state.hpp"

namespace graft {

/// How a model's directory is written.
struct SavePretrainedOptions {
  std::filesystem::path tokenizer_from{};     ///< a model directory whose tokenizer files are copied along; empty: none
  bool replace = false;                       ///< whether a directory with a config.json may be replaced, all of it
  std::uint64_t shard_bytes = 5'000'000'000;  ///< weights above this are cut into several files
};

/// Writes a directory that transformers and load_pretrained() load: config.json, the weights in their own type, and the
/// tokenizer's files. It appears whole or not at all. Merged adapters are part of the weights.
///
/// Throws StateError if adapters are active that are not merged, since the directory has no place for them; OptionError
/// if weights are of several types, if `tokenizer_from` has no tokenizer file, or if `directory` holds something that
/// may not be replaced; FileError where the system refuses.
template <class Model>
void save_pretrained(const std::filesystem::path& directory, const Model& model,
                     const SavePretrainedOptions& options = {});

namespace detail {

/// The tensors of a model without what its adapters hold. Throws as save_pretrained() does.
NamedTensors tensors_to_save(const torch::nn::Module& model);

/// What config.json calls the type that all of `tensors` have.
std::string common_dtype(const NamedTensors& tensors);

}  // namespace detail

template <class Model>
void save_pretrained(const std::filesystem::path& directory, const Model& model, const SavePretrainedOptions& options) {
  const NamedTensors tensors = detail::tensors_to_save(*model);
  const Json config = model->config().to_json(model->class_name(), detail::common_dtype(tensors));
  ModelDirOptions files{.shard_bytes = options.shard_bytes, .replace = options.replace};
  if (!options.tokenizer_from.empty()) {
    files.files = tokenizer_files(options.tokenizer_from);
    if (files.files.empty()) {
      throw OptionError(message(quoted(options.tokenizer_from.string()),
                                " has no tokenizer file, such as tokenizer.json or vocab.txt"));
    }
  }
  const auto as_in_files = [&](std::size_t i) {
    const auto& [name, tensor] = tensors[i];
    if constexpr (requires { model->config().is_transposed(name); })
      if (model->config().is_transposed(name)) return tensor.detach().t();
    return tensor.detach();
  };
  std::vector<TensorInfo> infos;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const torch::Tensor tensor = as_in_files(i);
    infos.push_back(
        {.name = tensors[i].first, .type = element_type(tensor.scalar_type()), .shape = tensor.sizes().vec()});
  }
  torch::Tensor kept;  // alive until the next call, as write_model_dir() asks
  const auto bytes_of = [&](std::size_t i) -> std::span<const std::byte> {
    kept = as_in_files(i).to(torch::kCPU).contiguous();
    return detail::bytes_of(kept);
  };
  write_model_dir(directory, config, infos, bytes_of, files);
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/save-inl.hpp"
#endif
