#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "graft/io/model_dir.hpp"
#include "graft/models/detail/checkpoint_names.hpp"
#include "graft/tensor/meta.hpp"
#include "graft/models/detail/turned_tensors.hpp"
#include "graft/tensor/state.hpp"

namespace graft {

/// What a loaded model shall be like.
struct PretrainedOptions {
  torch::ScalarType dtype = torch::kFloat32;  ///< of the weights: float32, float64, bfloat16 or float16
  torch::Device device = torch::kCPU;

  /// Of the weights of linear layers, and of a word table that is also a language model's head; nothing: `dtype`.
  /// bfloat16 beside a float32 model halves what a product reads and rounds nothing but these weights. See linear().
  std::optional<torch::ScalarType> linear_dtype{};

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

/// Loads a Hugging Face model directory: config.json and model.safetensors, single or sharded, of any float type.
///
///     auto [model, report] = load_pretrained<BertForSequenceClassification>("bert-base-uncased", {.labels = {"no",
///     "yes"}});
///
/// Names may have the encoder's prefix ("bert.") or not, and the norms their old names (gamma, beta). A head that the
/// files wholly lack is drawn as a new model's is. Nothing else may differ: see load_tensors(). Left unread, and
/// reported, are the heads of other tasks, buffers such as position_ids, and copies of tied weights.
///
/// Throws FileError or FormatError as ModelDir, Model::Config::from_json() and load_tensors() do; all names that do not
/// fit are in one error. Memory for weights is taken only when every name and shape fits.
template <class Model>
Pretrained<Model> load_pretrained(const std::filesystem::path& directory, const PretrainedOptions& options = {});

/// The configuration of a model directory for the model's class, to be looked at or changed before loading.
template <class Model>
typename Model::ContainedType::Config load_config(const ModelDir& directory) {
  return Model::ContainedType::Config::from_json(directory.config(), (directory.path() / "config.json").string());
}

/// The same with a configuration of the caller's, such as one with other dropouts.
template <class Model>
Pretrained<Model> load_pretrained(const ModelDir& directory, const typename Model::ContainedType::Config& config,
                                  const PretrainedOptions& options = {});

template <class Model>
Pretrained<Model> load_pretrained(const std::filesystem::path& directory, const PretrainedOptions& options) {
  const ModelDir files(directory);
  return load_pretrained<Model>(files, load_config<Model>(files), options);
}

namespace detail {

/// Weights from any source of tensors that have the names of Hugging Face's.
template <class Model, TensorSource Source>
Pretrained<Model> load_from(const Source& source, const typename Model::ContainedType::Config& given,
                            const PretrainedOptions& options) {
  auto config = given;
  if constexpr (requires { config.labels = options.labels; }) {
    if (!options.labels.empty()) config.labels = options.labels;
  } else if (!options.labels.empty()) {
    throw OptionError("labels are given for a model that has no classifier; leave them out");
  }

  const torch::ScalarType linear_type = options.linear_dtype.value_or(options.dtype);
  if (linear_type != options.dtype && (linear_type != torch::kBFloat16 || options.dtype != torch::kFloat32))
    throw OptionError(message("linear_dtype is ", c10::toString(linear_type), " in a model of ",
                              c10::toString(options.dtype),
                              "; choose bfloat16 in a model of float32, or leave it out"));
  const auto set_types = [&](Model& model) {
    model->to(options.dtype);
    if (linear_type == options.dtype) return;
    for (torch::Tensor& weight : matrices(*model)) weight.set_data(weight.to(linear_type));
  };

  Model model = [&] {
    const MetaScope no_memory;
    Model made(config);
    set_types(made);
    return made;
  }();
  const NamedTensors expected = named_tensors(*model);
  const CheckpointNames names(source, expected, config);
  const LoadReport plan = load_tensors(expected, HeadersOnly(source), names.rules());
  names.check_tied_copies(source);

  if (plan.lacking.empty()) {
    give_memory(*model, options.device);
  } else {
    model = Model(config);  // draws what is not loaded
    set_types(model);
    model->to(options.device);
  }
  model->eval();
  LoadReport report = load_state(*model, source, names.rules());
  return {model, std::move(report)};
}

}  // namespace detail

template <class Model>
Pretrained<Model> load_pretrained(const ModelDir& directory, const typename Model::ContainedType::Config& config,
                                  const PretrainedOptions& options) {
  if constexpr (requires { config.is_transposed(std::string_view()); }) {
    const detail::TurnedTensors turned(directory, [&](std::string_view name) { return config.is_transposed(name); });
    return detail::load_from<Model>(turned, config, options);
  } else {
    return detail::load_from<Model>(directory, config, options);
  }
}

}  // namespace graft
