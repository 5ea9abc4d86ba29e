#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graft/adapters/biases.hpp"
#include "graft/adapters/dora.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/detail/config_targets.hpp"
#include "graft/core/regular_expression.hpp"
#include "graft/io/adapter_dir.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

namespace graft::detail {

inline bool within_any(std::string_view name, const std::vector<std::string>& modules) {
  return std::any_of(modules.begin(), modules.end(), [&](const std::string& module) { return within(name, module); });
}

/// The tensors of a head, named by their paths in the model.
inline NamedTensors head_tensors(torch::nn::Module& module, const std::vector<std::string>& heads) {
  NamedTensors tensors = base_tensors(module);
  std::erase_if(tensors, [&](const auto& named) {
    return std::none_of(heads.begin(), heads.end(),
                        [&](const std::string& head) { return named.first.starts_with(head + "."); });
  });
  return tensors;
}

/// Modules that PEFT takes for those of modules_to_save: every one whose path ends with a name, letter by letter.
inline std::vector<std::string> saved_modules(torch::nn::Module& module, const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  for (const TargetCandidate& candidate : target_candidates(module)) {
    const bool wanted = std::any_of(names.begin(), names.end(),
                                    [&](const std::string& name) { return candidate.name.ends_with(name); });
    if (wanted && !within_any(candidate.name, paths)) paths.push_back(candidate.name);
  }
  return paths;
}

/// A base's bias in an adapter's file.
inline std::string bias_key(const std::string& name, const std::set<std::string>& adapted) {
  constexpr std::string_view ending = ".bias";
  if (!name.ends_with(ending)) return name;
  const std::string layer = name.substr(0, name.size() - ending.size());
  return adapted.count(layer) ? layer + ".base_layer.bias" : name;
}

/// Reads an adapter's directory against a model: what would be attached, and where each tensor goes.
class AdapterReader {
 public:
  AdapterReader(const AdapterDir& directory, torch::nn::Module& module)
      : directory_(directory),
        module_(module),
        targets_(directory.config()),
        ranks_(directory.config().rank_pattern),
        alphas_(directory.config().alpha_pattern) {
    read_heads();
    read_token_rows();
    std::map<std::string, TargetCandidate> candidates;
    for (TargetCandidate& candidate : target_candidates(module)) candidates.emplace(candidate.name, candidate);
    for (const auto& [path, layer] : adaptable_layers(module)) {
      const auto found = candidates.find(path);
      const bool wanted = found != candidates.end() && targets_.take(found->second) && !within_any(path, heads_);
      if (directory.config().peft_type == AdapterType::ia3) {
        read_ia3(path, *layer, wanted);
      } else if (!token_rows_.count(path)) {
        read_layer(path, *layer, wanted);
      }
    }
    read_biases();
    for (const TensorInfo& tensor : directory.tensors()) {
      if (!used_.count(tensor.name)) extra_.push_back(quoted(tensor.name));
    }
    if (adapters_.empty() && ia3_.empty()) other_.push_back("it holds no adapter for any layer of the model");
    fail_if_faulty();
  }

  /// The tensors of one layer's adapter; bias and magnitude are null where the config has none.
  struct Stored {
    const TensorInfo* A;
    const TensorInfo* B;
    const TensorInfo* bias;
    const TensorInfo* magnitude;
    LoraOptions options;
  };
  const std::map<std::string, Stored>& adapters() const { return adapters_; }

  /// The factors of one layer of IA3.
  struct StoredIa3 {
    const TensorInfo* factors;
    Ia3Side side;
  };
  const std::map<std::string, StoredIa3>& ia3() const { return ia3_; }

  /// Rows of an embedding.
  struct StoredRows {
    const TensorInfo* values;
    std::vector<std::int64_t> tokens;
  };
  const std::map<std::string, StoredRows>& token_rows() const { return token_rows_; }

  const std::vector<std::string>& heads() const { return heads_; }
  const std::vector<std::string>& biases() const { return biases_; }
  const std::vector<std::string>& weights() const { return weights_; }

  /// Parameters of the model itself, heads included, and what they become.
  const std::vector<std::pair<torch::Tensor, const TensorInfo*>>& base_tensors() const { return base_tensors_; }

 private:
  const TensorInfo* take(const std::string& name) {
    const TensorInfo* tensor = directory_.find(name);
    if (tensor) used_.insert(name);
    return tensor;
  }

  bool fits(const TensorInfo& tensor, torch::IntArrayRef shape, torch::ScalarType type) {
    const auto stored = find_scalar_type(tensor.type);
    if (shape != torch::IntArrayRef(tensor.shape)) {
      misshapen_.push_back(message(quoted(tensor.name), " is ", torch::IntArrayRef(tensor.shape), ", not ", shape));
    } else if (!stored || !convertible(*stored, type)) {
      mistyped_.push_back(message(quoted(tensor.name), " is ", element_type_name(tensor.type),
                                  ", which does not convert to ", c10::toString(type)));
    } else {
      return true;
    }
    return false;
  }

  /// A tensor of the model that the file must hold under `key`.
  bool read_base(const std::string& key, const torch::Tensor& target) {
    const TensorInfo* tensor = take(key);
    if (!tensor) {
      missing_.push_back(quoted(key));
    } else if (fits(*tensor, target.sizes(), target.scalar_type())) {
      base_tensors_.emplace_back(target, tensor);
      return true;
    }
    return false;
  }

  void read_heads() {
    heads_ = saved_modules(module_, directory_.config().modules_to_save);
    for (const auto& [name, target] : head_tensors(module_, heads_)) read_base(name, target);
  }

  void read_biases() {
    const AdapterBias which = directory_.config().bias;
    if (which == AdapterBias::none) return;
    // With "all" PEFT also writes both of its copies of a head's biases, under their names in memory.
    for (const TensorInfo& tensor : directory_.tensors()) {
      for (const std::string& head : heads_) {
        if (tensor.name.starts_with(head + ".original_module.")) used_.insert(tensor.name);
        if (tensor.name.starts_with(head + ".modules_to_save.")) used_.insert(tensor.name);
      }
    }
    std::set<std::string> adapted;
    for (const auto& [path, stored] : adapters_) adapted.insert(path);
    for (const auto& [name, bias] : detail::biases(module_)) {
      const std::string key = bias_key(name, adapted);
      if (within_any(name, heads_)) continue;
      if (which == AdapterBias::all || key != name) {
        if (read_base(key, bias)) biases_.push_back(name);
      }
    }
  }

  void read_layer(const std::string& path, const Adaptable& layer, bool wanted) {
    const AdapterConfig& config = directory_.config();
    const auto [key_A, key_B] = layer.factor_keys();
    const std::string at = path.empty() ? "" : path + ".";
    Stored stored{take(at + key_A), take(at + key_B), nullptr, nullptr, {}};
    if (!stored.A && !stored.B && !wanted) return;
    const auto require = [&](const TensorInfo* tensor, const std::string& key) {
      if (!tensor) missing_.push_back(quoted(at + key));
      return tensor;
    };
    require(stored.A, key_A);
    require(stored.B, key_B);
    if (config.lora_bias) stored.bias = require(take(at + "lora_B.bias"), "lora_B.bias");
    if (config.use_dora) stored.magnitude = require(take(at + "lora_magnitude_vector"), "lora_magnitude_vector");
    if (!stored.A || !stored.B || (config.lora_bias && !stored.bias) || (config.use_dora && !stored.magnitude)) return;

    stored.options = {.rank = ranks_.find(path).value_or(config.r),
                      .alpha = alphas_.find(path).value_or(config.lora_alpha),
                      .dropout = config.lora_dropout,
                      .start = LowRankStart::kaiming,
                      .divisor = config.use_rslora ? LowRankScale::root_of_rank : LowRankScale::rank,
                      .bias = config.lora_bias};
    if (stored.A->shape.empty() || stored.A->shape[0] != stored.options.rank) {
      other_.push_back(message("layer ", quoted(path), " has rank ", stored.A->shape.empty() ? 0 : stored.A->shape[0],
                               " by its weights and ", stored.options.rank, " by the config"));
      return;
    }
    const torch::ScalarType type = factor_type(layer.main_weight().scalar_type());
    try {
      const LowRankShape shape = layer.factor_shape(stored.options.rank);
      bool fit = fits(*stored.A, shape.A, type);
      fit = fits(*stored.B, shape.B, type) && fit;
      if (stored.bias) fit = fits(*stored.bias, {shape.B[0]}, type) && fit;
      if (stored.magnitude) fit = fits(*stored.magnitude, layer.magnitude_shape(), type) && fit;
      if (fit) adapters_.emplace(path, stored);
    } catch (const OptionError& error) {
      other_.push_back(message("layer ", quoted(path), ": ",
                               error.what()));
    }
    if (const TensorInfo* weight = take(at + "base_layer.weight")) {
      const torch::Tensor own = layer.main_weight();
      if (fits(*weight, own.sizes(), own.scalar_type())) {
        base_tensors_.emplace_back(own, weight);
        weights_.push_back(at + "weight");
      }
    }
  }

  void read_ia3(const std::string& path, const Adaptable& layer, bool wanted) {
    const std::string key = (path.empty() ? "" : path + ".") + "ia3_l";
    const TensorInfo* factors = take(key);
    if (!factors && wanted) missing_.push_back(quoted(key));
    if (!factors) return;
    const Ia3Side side = targets_.is_feed_forward(path) ? Ia3Side::input : Ia3Side::output;
    const std::vector<std::int64_t> shape = layer.ia3_shape(side);
    if (shape.empty()) {
      other_.push_back(message("layer ", quoted(path), " is of a type that graft has no IA3 for"));
    } else if (fits(*factors, shape, factor_type(layer.main_weight().scalar_type()))) {
      ia3_.emplace(path, StoredIa3{factors, side});
    }
  }

  void read_token_rows() {
    for (const auto& [name, tokens] : directory_.config().trainable_token_indices) {
      bool any = false;
      for (const auto& [path, layer] : adaptable_layers(module_)) {
        if (!layer->is_embedding() || !(name.empty() ? !any : matches_suffix(path, name))) continue;
        any = true;
        read_rows_of(path, *layer, tokens);
      }
      if (!any) {
        other_.push_back(message("\"trainable_token_indices\" names ",
                                 name.empty() ? std::string("the input embedding") : quoted(name),
                                 ", and the model has no such embedding"));
      }
    }
  }

  void read_rows_of(const std::string& path, const Adaptable& layer, const std::vector<std::int64_t>& tokens) {
    const std::string key = (path.empty() ? "" : path + ".") + "token_adapter.trainable_tokens_delta";
    for (std::string& fault : layer.token_rows_faults("rows", tokens, "layer " + quoted(path))) {
      other_.push_back(std::move(fault));
    }
    const torch::Tensor weight = layer.main_weight();
    const TensorInfo* values = take(key);
    if (!values) {
      missing_.push_back(quoted(key));
    } else if (fits(*values, {static_cast<std::int64_t>(tokens.size()), weight.size(1)},
                    factor_type(weight.scalar_type()))) {
      token_rows_.emplace(path, StoredRows{values, tokens});
    }
  }

  void fail_if_faulty() {
    if (missing_.empty() && extra_.empty() && misshapen_.empty() && mistyped_.empty() && other_.empty()) return;
    std::string text = message(directory_.path().string(),
                               ": this adapter does not fit the model; nothing was changed. "
                               "Check that both are of one architecture");
    list_faults(text, "missing in the file", missing_);
    list_faults(text, "not in the model", extra_);
    list_faults(text, "of another shape", misshapen_);
    list_faults(text, "of another type", mistyped_);
    for (const std::string& fault : other_) text += "\n  " + fault;
    throw FormatError(text);
  }

  const AdapterDir& directory_;
  torch::nn::Module& module_;
  ConfigTargets targets_;
  PathValues<std::int64_t> ranks_;
  PathValues<double> alphas_;
  std::map<std::string, Stored> adapters_;
  std::map<std::string, StoredIa3> ia3_;
  std::map<std::string, StoredRows> token_rows_;
  std::vector<std::string> heads_, biases_, weights_;
  std::vector<std::pair<torch::Tensor, const TensorInfo*>> base_tensors_;
  std::set<std::string> used_;
  std::vector<std::string> missing_, extra_, misshapen_, mistyped_, other_;
};

}  // namespace graft::detail
