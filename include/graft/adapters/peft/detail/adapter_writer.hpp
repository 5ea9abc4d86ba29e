#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/peft/detail/adapter_reader.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft::detail {

/// The last parts of the layers' paths if they name exactly these layers, else the paths.
inline std::vector<std::string> target_names(torch::nn::Module& module, const std::vector<std::string>& layers,
                                             const std::vector<std::string>& heads) {
  std::set<std::string> endings;
  for (const std::string& layer : layers) endings.emplace(last_parts(layer, 1));
  std::size_t taken = 0;
  for (const TargetCandidate& candidate : target_candidates(module)) {
    const bool named = endings.count(std::string(last_parts(candidate.name, 1))) > 0;
    if (candidate.adaptable && named && !within_any(candidate.name, heads)) ++taken;
  }
  if (taken == layers.size()) return {endings.begin(), endings.end()};
  return layers;
}

template <class Value>
Value most_common(const std::vector<Value>& values) {
  return *std::max_element(values.begin(), values.end(), [&](const Value& a, const Value& b) {
    return std::count(values.begin(), values.end(), a) < std::count(values.begin(), values.end(), b);
  });
}

/// What the config says of these layers. An adapter that started as a part of the weight is stored as ordinary LoRA of
/// twice the rank and the same scale: alpha grows as what it is divided by.
inline void describe_layers(const std::vector<std::pair<std::string, std::shared_ptr<LowRankAdapter>>>& layers,
                            AdapterConfig& config) {
  std::vector<std::int64_t> ranks;
  std::vector<double> alphas;
  const LoraOptions& first = layers.front().second->options;
  const auto is_dora = [](const auto& adapter) { return std::dynamic_pointer_cast<DoraAdapter>(adapter) != nullptr; };
  const bool dora = is_dora(layers.front().second);
  for (const auto& [path, adapter] : layers) {
    const LoraOptions& options = adapter->options;
    const bool twice = adapter->start_A.defined();
    const bool root = options.divisor == LowRankScale::root_of_rank;
    ranks.push_back(twice ? 2 * options.rank : options.rank);
    alphas.push_back(!twice ? options.alpha : root ? std::sqrt(2.0) * options.alpha : 2.0 * options.alpha);
    if (options.dropout != first.dropout || options.divisor != first.divisor || options.bias != first.bias ||
        is_dora(adapter) != dora) {
      throw OptionError(message("layers ", quoted(layers.front().first), " and ", quoted(path),
                                " differ in dropout, divisor, bias on B or DoRA, and adapter_config.json has room for "
                                "one; save them as two adapters"));
    }
  }
  config.r = most_common(ranks);
  config.lora_alpha = most_common(alphas);
  config.lora_dropout = first.dropout;
  config.use_rslora = first.divisor == LowRankScale::root_of_rank;
  config.lora_bias = first.bias;
  config.use_dora = dora;
  config.init_lora_weights = first.start == LowRankStart::gaussian ? "gaussian" : "true";
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string& path = layers[i].first;
    if (ranks[i] != config.r) config.rank_pattern["^" + regular_expression_of(path)] = ranks[i];
    if (alphas[i] != config.lora_alpha) config.alpha_pattern["^" + regular_expression_of(path)] = alphas[i];
  }
}

/// What a directory holds of an adapter's layers.
struct AdapterContent {
  std::vector<std::string> paths;  // of the layers that are targets
  NamedTensors tensors;
  AdapterConfig config;
  bool bias_is_merged = false;
};

/// Gathers the tensors of all layers that have one adapter, and what the config says of them.
class AdapterWriter {
 public:
  AdapterWriter(torch::nn::Module& module, const std::string& name) {
    for (const auto& [path, layer] : adaptable_layers(module)) {
      const auto slot = layer->slot(name);
      if (!slot) continue;
      if (path.empty()) {
        throw OptionError("an adapter's file names layers inside a model; this module is itself the adapted layer");
      }
      if (const auto ia3 = std::dynamic_pointer_cast<Ia3Adapter>(slot)) {
        add_ia3(path, *ia3);
      } else if (const auto rows = std::dynamic_pointer_cast<TokenRowsAdapter>(slot)) {
        add_rows(path, *rows);
      } else {
        add_low_rank(path, *layer, layer->adapter(name));
      }
    }
    if (low_rank_.empty() && ia3_.empty()) {
      throw OptionError(message("adapter ", quoted(name),
                                " is of trained token rows alone, which LoRA's files hold only "
                                "beside other layers; attach LoRA with it"));
    }
    if (!ia3_.empty() && !(low_rank_.empty() && content_.config.trainable_token_indices.empty())) {
      throw OptionError(message("adapter ", quoted(name),
                                " is of IA3 in some layers and of another kind in others, and "
                                "adapter_config.json has room for one; save them as two adapters"));
    }
  }

  /// `heads` are stored in full beside the layers.
  AdapterContent finish(torch::nn::Module& module, const std::vector<std::string>& heads) {
    AdapterConfig& config = content_.config;
    if (ia3_.empty()) describe_layers(low_rank_, config);
    config.target_modules.names = target_names(module, content_.paths, heads);
    if (!ia3_.empty()) describe_ia3();
    return std::move(content_);
  }

 private:
  void add_low_rank(const std::string& path, const Adaptable& layer, const std::shared_ptr<LowRankAdapter>& adapter) {
    const auto [key_A, key_B] = layer.factor_keys();
    torch::Tensor A = adapter->lora_A.detach(), B = adapter->lora_B.detach();
    if (adapter->start_A.defined()) {
      A = torch::cat({A, adapter->start_A}, 0);
      B = torch::cat({B, -adapter->start_B}, 1);
      if (A.size(0) > layer.factor_shape(1).largest_rank) {
        throw OptionError(message("layer ", quoted(path), " would be stored with rank ", A.size(0),
                                  ", twice its own, which is more than its weight ", layer.main_weight().sizes(),
                                  " has; merge it instead"));
      }
    }
    put(path + "." + key_A, A);
    put(path + "." + key_B, B);
    if (adapter->lora_B_bias.defined()) put(path + ".lora_B.bias", adapter->lora_B_bias);
    if (const auto dora = std::dynamic_pointer_cast<DoraAdapter>(adapter)) {
      put(path + ".lora_magnitude_vector", dora->lora_magnitude_vector);
    }
    content_.bias_is_merged = content_.bias_is_merged || (layer.merged() && adapter->lora_B_bias.defined());
    low_rank_.emplace_back(path, adapter);
    content_.paths.push_back(path);
  }

  void add_ia3(const std::string& path, const Ia3Adapter& adapter) {
    put(path + ".ia3_l", adapter.ia3_l);
    ia3_.emplace_back(path, adapter.side);
    content_.paths.push_back(path);
  }

  void add_rows(const std::string& path, const TokenRowsAdapter& adapter) {
    put(path + ".token_adapter.trainable_tokens_delta", adapter.trainable_tokens_delta);
    content_.config.trainable_token_indices[path] = adapter.tokens;
  }

  void put(const std::string& key, const torch::Tensor& tensor) { content_.tensors.emplace_back(key, tensor); }

  /// The feed-forward layers by the names that the targets have, or all of both by their paths.
  void describe_ia3() {
    AdapterConfig& config = content_.config;
    config.peft_type = AdapterType::ia3;
    std::vector<std::string>& names = config.target_modules.names;
    std::vector<std::string>& feed_forward = config.feedforward_modules.names;
    const auto sides_of = [&](const std::string& name) {
      std::set<Ia3Side> sides;
      for (const auto& [path, side] : ia3_) {
        if (path.ends_with(name)) sides.insert(side);
      }
      return sides;
    };
    const bool clear = std::all_of(names.begin(), names.end(), [&](const auto& n) { return sides_of(n).size() == 1; });
    if (!clear) names = content_.paths;
    for (const std::string& name : names) {
      if (sides_of(name).count(Ia3Side::input)) feed_forward.push_back(name);
    }
  }

  AdapterContent content_;
  std::vector<std::pair<std::string, std::shared_ptr<LowRankAdapter>>> low_rank_;
  std::vector<std::pair<std::string, Ia3Side>> ia3_;
};

}  // namespace graft::detail
