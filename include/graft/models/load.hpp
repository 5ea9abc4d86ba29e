#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/models/family.hpp"
#include "graft/tensor/state.hpp"

namespace graft {

/// What a loaded model shall be like.
struct PretrainedOptions {
  c10::ScalarType dtype = c10::kFloat;  ///< of the weights: float32, float64, bfloat16 or float16
  c10::Device device = c10::kCPU;

  /// Of the weights of linear layers, and of a word table that is also a language model's head; nothing: `dtype`.
  /// bfloat16 beside a float32 model halves what a product reads and rounds nothing but these weights. See linear().
  std::optional<c10::ScalarType> linear_dtype{};

  std::vector<std::string> labels{};  ///< what the outputs of a classifier mean; empty: as config.json says
};

/// A model in evaluation mode, and what loading it came to. `report.lacking` names the weights that the files do not
/// have: a head for another task than the files', drawn afresh and worthless before it is trained. `report.ignored`
/// names the tensors of the files that this model has no use for.
template <class Model>
struct Pretrained {
  Model model;
  LoadReport report;
};

/// Loads a Hugging Face model directory, config.json and model.safetensors, single or sharded, of any float type, into
/// a model of any ModelFamily.
///
///     auto [model, report] = load_pretrained<BertForSequenceClassification>("bert-base-uncased", {.labels = {"no",
///     "yes"}});
///
/// Names may have the base's prefix ("bert.") or not, and the norms their old names (gamma, beta). A head that the
/// files wholly lack is drawn as a new model's is. Nothing else may differ: see load_tensors(). Left unread, and
/// reported, are the heads of other tasks, buffers such as position_ids, and copies of tied weights.
///
/// Throws FileError or FormatError as ModelDir, Model::Config::from_json() and load_tensors() do; all names that do not
/// fit are in one error. Memory for weights is taken only when every name and shape fits.
template <class Model>
Pretrained<Model> load_pretrained(const std::filesystem::path& directory, const PretrainedOptions& options = {});

/// The same with a configuration of the caller's, such as one with other dropouts.
template <class Model>
Pretrained<Model> load_pretrained(const ModelDir& directory, const typename Model::ContainedType::Config& config,
                                  const PretrainedOptions& options = {});

/// The configuration of a model directory for the model's class, to be looked at or changed before loading.
template <class Model>
typename Model::ContainedType::Config load_config(const ModelDir& directory) {
  detail::require_family<Model>();
  return Model::ContainedType::Config::from_json(directory.config(), (directory.path() / "config.json").string());
}

namespace detail {

/// A module, and a table of it that products read beside linear layers' weights, if there is one.
struct MadeModel {
  torch::nn::Module* module;
  at::Tensor tied_weight;
};

/// Fills what `make` makes, called once or twice, with the tensors of `files`. Throws as load_pretrained() does.
LoadReport load_weights(const TensorSource& files, const WeightNames& names, const PretrainedOptions& options,
                        const std::function<MadeModel()>& make);

/// A model from any source of tensors that has these names.
template <class Model>
Pretrained<Model> load_from(const TensorSource& files, typename Model::ContainedType::Config config,
                            const WeightNames& names, const PretrainedOptions& options) {
  if constexpr (requires { config.labels = options.labels; }) {
    if (!options.labels.empty()) config.labels = options.labels;
    if constexpr (requires { config.labels_fault.clear(); }) {
      if (!options.labels.empty()) config.labels_fault.clear();
    }
  } else if (!options.labels.empty()) {
    throw OptionError("labels are given for a model that has no classifier; leave them out");
  }
  std::optional<Model> model;
  LoadReport report = load_weights(files, names, options, [&] {
    model.emplace(config);
    MadeModel made{model->ptr().get(), {}};
    if constexpr (requires { (*model)->tied_weight(); }) made.tied_weight = (*model)->tied_weight();
    return made;
  });
  return {*std::move(model), std::move(report)};
}

}  // namespace detail

template <class Model>
Pretrained<Model> load_pretrained(const std::filesystem::path& directory, const PretrainedOptions& options) {
  const ModelDir files(directory);
  return load_pretrained<Model>(files, load_config<Model>(files), options);
}

template <class Model>
Pretrained<Model> load_pretrained(const ModelDir& directory, const typename Model::ContainedType::Config& config,
                                  const PretrainedOptions& options) {
  detail::require_family<Model>();
  return detail::load_from<Model>(directory, config, config.weight_names(), options);
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/load-inl.hpp"
#endif
