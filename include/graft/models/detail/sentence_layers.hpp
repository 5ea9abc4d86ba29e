#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/layers/pooling.hpp"
#include "graft/models/detail/sentence_config.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/tensor/state.hpp"

namespace graft::detail {

/// One way of pooling; before the tokens in `hidden`, `left_out` tokens of each sequence were taken away.
inline torch::Tensor pooled_by(PoolingMode mode, const torch::Tensor& hidden, const torch::Tensor& offsets,
                               std::int64_t left_out) {
  switch (mode) {
    case PoolingMode::cls:
      return first_tokens(hidden, offsets);
    case PoolingMode::max:
      return max_tokens(hidden, offsets);
    case PoolingMode::mean:
      return mean_tokens(hidden, offsets);
    case PoolingMode::mean_sqrt_len_tokens:
      return mean_sqrt_tokens(hidden, offsets);
    case PoolingMode::weightedmean:
      return weighted_mean_tokens(hidden, offsets, 1 + left_out);
    case PoolingMode::lasttoken:
      return last_tokens(hidden, offsets);
  }
  throw OptionError("a way of pooling is none of the enumerators");
}

/// hidden [T, D] over `batch`, without the first `left_out` tokens of each sequence -> [N, modes * D].
inline torch::Tensor pooled_by(std::span<const PoolingMode> modes, torch::Tensor hidden, torch::Tensor offsets,
                               const torch::Tensor& positions, std::int64_t left_out) {
  if (left_out > 0) {
    hidden = hidden.index_select(0, (positions >= left_out).nonzero().squeeze(1));
    offsets = offsets - torch::arange(offsets.size(0)) * left_out;
  }
  std::vector<torch::Tensor> parts;
  for (const PoolingMode mode : modes) parts.push_back(pooled_by(mode, hidden, offsets, left_out));
  return parts.size() == 1 ? parts.front() : torch::cat(parts, 1);
}

/// Weights under their names, without values: they are read from a file.
class WeightsImpl : public torch::nn::Module {
 public:
  explicit WeightsImpl(torch::IntArrayRef weight, std::int64_t bias = 0) {
    this->weight = register_parameter("weight", torch::empty(weight));
    if (bias > 0) this->bias = register_parameter("bias", torch::empty({bias}));
  }
  torch::Tensor weight, bias;
};
TORCH_MODULE(Weights);

/// Dense, LayerNorm or Normalize on vectors [N, in] -> [N, out]. Children: `linear` and maybe `residual`, or `norm`.
class SentenceLayerImpl : public torch::nn::Module {
 public:
  /// Reads the module's config.json and weights. `in` is the width of what comes before it.
  SentenceLayerImpl(const SentenceConfig::Layer& layer, std::int64_t in) : directory_(layer.directory), width_(in) {
    const std::filesystem::path path = directory_ / "config.json";
    if (layer.kind == "Normalize") {
      if (!std::filesystem::exists(path)) return;  // older versions wrote none
      const Json json = read_json(path);
      const JsonFields fields(json, path.native());
      refuse_others(fields, std::array<std::string_view, 2>{"module_input_name", "module_output_name"});
      check_places(fields);
      return;
    }
    const Json json = read_json(path);
    const JsonFields fields(json, path.native());
    layer.kind == "Dense" ? read_dense(fields) : read_norm(fields);
    read_weights();
  }

  std::int64_t width() const { return width_; }
  const std::filesystem::path& directory() const { return directory_; }

  /// What the config says that changes the vectors, for a fingerprint.
  const std::string& text() const { return text_; }

  torch::Tensor forward(const torch::Tensor& x) {
    if (norm_) return torch::layer_norm(x, {width_}, norm_->weight, norm_->bias);
    if (!linear_) return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
    torch::Tensor y = torch::linear(x, linear_->weight, linear_->bias);
    if (activation_ != nullptr) y = activation_(y);
    if (!adds_input_) return y;
    return y + (residual_ ? torch::linear(x, residual_->weight) : x);
  }

 private:
  using Activation = torch::Tensor (*)(const torch::Tensor&);

  void read_dense(const JsonFields& fields) {
    refuse_others(fields, std::array<std::string_view, 7>{"in_features", "out_features", "bias", "activation_function",
                                                          "module_input_name", "module_output_name", "use_residual"});
    check_places(fields);
    if (fields.integer("in_features", 1, 1 << 20) != width_)
      fields.fail("in_features", std::to_string(width_) + ", the width of what comes before");
    const std::int64_t out = fields.integer("out_features", 1, 1 << 16);
    const std::string activation = fields.text("activation_function", "torch.nn.modules.activation.Tanh");
    activation_ = activation_of(fields, activation);
    linear_ =
        register_module("linear", Weights(torch::IntArrayRef{out, width_}, fields.boolean("bias", true) ? out : 0));
    adds_input_ = fields.boolean("use_residual", false);
    if (adds_input_ && out != width_) residual_ = register_module("residual", Weights(torch::IntArrayRef{out, width_}));
    text_ = message("dense ", activation, adds_input_ ? " residual" : "");
    width_ = out;
  }

  void read_norm(const JsonFields& fields) {
    refuse_others(fields, std::array<std::string_view, 1>{"dimension"});
    if (fields.integer("dimension", 1, 1 << 20) != width_)
      fields.fail("dimension", std::to_string(width_) + ", the width of what comes before");
    norm_ = register_module("norm", Weights(torch::IntArrayRef{width_}, width_));
    text_ = "layer_norm";
  }

  static Activation activation_of(const JsonFields& fields, const std::string& name) {
    constexpr std::array<std::pair<std::string_view, Activation>, 6> known{{
        {"torch.nn.modules.linear.Identity", nullptr},
        {"torch.nn.modules.activation.Tanh", [](const torch::Tensor& x) { return torch::tanh(x); }},
        {"torch.nn.modules.activation.ReLU", [](const torch::Tensor& x) { return torch::relu(x); }},
        {"torch.nn.modules.activation.GELU", [](const torch::Tensor& x) { return torch::gelu(x); }},
        {"torch.nn.modules.activation.SiLU", [](const torch::Tensor& x) { return torch::silu(x); }},
        {"torch.nn.modules.activation.Sigmoid", [](const torch::Tensor& x) { return torch::sigmoid(x); }},
    }};
    std::string all;
    for (const auto& [known_name, activation] : known) {
      if (known_name == name) return activation;
      all += (all.empty() ? "" : ", ") + std::string(known_name);
    }
    fields.fail("activation_function", "one of " + all);
  }

  void read_weights() {
    const std::filesystem::path path = directory_ / "model.safetensors";
    if (!std::filesystem::exists(path) && std::filesystem::exists(directory_ / "pytorch_model.bin"))
      throw FormatError(message((directory_ / "pytorch_model.bin").native(),
                                ": is a pickle file, which can run code and is never read; convert it to safetensors"));
    load_state(*this, SafetensorsFile(path));
  }

  std::filesystem::path directory_;
  std::int64_t width_;
  std::string text_ = "normalize";
  Weights linear_{nullptr}, residual_{nullptr}, norm_{nullptr};
  Activation activation_ = nullptr;
  bool adds_input_ = false;
};
TORCH_MODULE(SentenceLayer);

}  // namespace graft::detail
