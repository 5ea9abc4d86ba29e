#pragma once

#include <cstddef>
#include <iterator>
#include <set>
#include <span>
#include <vector>

#include <torch/nn/module.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/error.hpp"
#include "graft/core/file.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/models/save.hpp"
#include "graft/tensor/state.hpp"
#include "graft/text/gguf_tokenizer_files.hpp"

namespace graft::detail {

GRAFT_INLINE NamedTensors tensors_to_save(const torch::nn::Module& model) {
  std::set<std::string> adapters;
  std::string unmerged;
  for (const auto& module : model.named_modules("", /*include_self=*/false)) {
    const auto* layer = dynamic_cast<const Adaptable*>(module.value().get());
    if (layer == nullptr) continue;
    if (!layer->active().empty() && !layer->merged()) unmerged += (unmerged.empty() ? "" : ", ") + module.key();
    for (const std::string& name : layer->adapters()) adapters.insert(module.key() + ".adapters." + name + ".");
  }
  if (!unmerged.empty())
    throw StateError(
        "adapters are active that are not merged into the weights; merge them, or save them as an adapter. "
        "Layers: " +
        unmerged);
  NamedTensors tensors = named_tensors(model);
  std::erase_if(tensors, [&](const auto& tensor) {
    const auto after = adapters.upper_bound(tensor.first);
    return after != adapters.begin() && tensor.first.starts_with(*std::prev(after));
  });
  return tensors;
}

/// Throws StateError if the model has one weight for words and output and they are not the same now: what was merged
/// into the embedding alone would be the output layer's too for whoever loads the files.
GRAFT_INLINE void require_tied_as_saved(const torch::nn::Module& model) {
  const auto* ties = dynamic_cast<const TiedOutput*>(&model);
  if (!ties || !ties->tied_weight().defined()) return;
  for (const auto& child : model.named_modules("", /*include_self=*/false)) {
    const auto* layer = dynamic_cast<const Adaptable*>(child.value().get());
    if (!layer || !layer->merged() || !layer->main_weight().is_same(ties->tied_weight())) continue;
    for (const ActiveAdapter& active : layer->active()) {
      if (layer->adapter(active.name)->ties()) continue;
      throw StateError(message("adapter ", quoted(active.name), " is merged into ", quoted(child.key()),
                               ", whose weight the output layer shares without it; unmerge and save the adapter"));
    }
  }
}

/// What config.json calls the type that all of `tensors` have.
GRAFT_INLINE std::string common_dtype(const NamedTensors& tensors) {
  const torch::ScalarType type = tensors.front().second.scalar_type();
  for (const auto& [name, tensor] : tensors)
    if (tensor.scalar_type() != type)
      throw OptionError(message(quoted(name), " is ", c10::toString(tensor.scalar_type()), ", ",
                                quoted(tensors.front().first), " is ", c10::toString(type),
                                "; a model is saved in one type: convert it with model->to(...)"));
  switch (type) {
    case torch::kFloat32:
      return "float32";
    case torch::kFloat64:
      return "float64";
    case torch::kBFloat16:
      return "bfloat16";
    case torch::kFloat16:
      return "float16";
    default:
      throw OptionError(message("a model of type ", c10::toString(type), " cannot be saved"));
  }
}

GRAFT_INLINE void save_weights(const std::filesystem::path& directory, const torch::nn::Module& model,
                               const WeightNames& names, const std::function<Json(const std::string&)>& config,
                               const SavePretrainedOptions& options) {
  require_tied_as_saved(model);
  NamedTensors tensors = tensors_to_save(model);
  const Json json = config(common_dtype(tensors));
  ModelDirOptions files{.shard_bytes = options.shard_bytes, .texts = options.texts, .replace = options.replace};
  if (options.tokenizer_from.extension() == ".gguf" && !directory_exists(options.tokenizer_from)) {
    files.texts.merge(gguf_tokenizer_files(options.tokenizer_from));  // what the caller gives stays
  } else if (!options.tokenizer_from.empty()) {
    files.files = tokenizer_files(options.tokenizer_from);
    if (files.files.empty()) {
      throw OptionError(
          message(quoted(options.tokenizer_from.string()),
                  " has no tokenizer file, such as tokenizer.json or vocab.txt; name the model's own directory"));
    }
  }
  std::vector<TensorInfo> infos;
  for (auto& [name, tensor] : tensors) {
    tensor = names.is_transposed(name) ? tensor.detach().t() : tensor.detach();
    infos.push_back({.name = name, .type = element_type(tensor.scalar_type()), .shape = tensor.sizes().vec()});
  }
  torch::Tensor kept;  // alive until the next call, as write_model_dir() asks
  write_model_dir(
      directory, json, infos,
      [&](std::size_t i) -> std::span<const std::byte> {
        kept = tensors[i].second.to(torch::kCPU).contiguous();
        return bytes_of(kept);
      },
      files);
}

}  // namespace graft::detail
