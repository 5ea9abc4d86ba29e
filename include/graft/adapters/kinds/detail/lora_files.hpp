#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/kinds/lora.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/core/error.hpp"
#include "graft/io/peft_names.hpp"

namespace graft::detail {

template <class Value>
Value most_common(const std::vector<Value>& values) {
  return *std::max_element(values.begin(), values.end(), [&](const Value& a, const Value& b) {
    return std::count(values.begin(), values.end(), a) < std::count(values.begin(), values.end(), b);
  });
}

/// LoRA in PEFT's files; DoRA adds to it.
class LoraFiles : public AdapterKind {
 public:
  std::string peft_type() const override { return "LORA"; }
  std::string title() const override { return "LoRA"; }
  bool in(const AdapterConfig& config) const override { return AdapterKind::in(config) && !config.use_dora; }

  /// An adapter that started as a part of the weight is stored as ordinary LoRA of twice the rank and the same scale:
  /// alpha grows as what it is divided by.
  void write(AdapterWriter& out) const override {
    std::vector<std::int64_t> ranks;
    std::vector<double> alphas;
    const auto options_of = [](const auto& one) -> const LoraOptions& {
      return static_cast<const LowRankAdapter&>(*one.adapter).options;
    };
    const LoraOptions& first = options_of(out.layers.front());
    for (const auto& one : out.layers) {
      const auto& adapter = static_cast<const LowRankAdapter&>(*one.adapter);
      const LoraOptions& options = adapter.options;
      if (options.dropout != first.dropout || options.divisor != first.divisor || options.bias != first.bias) {
        throw OptionError(message("layers ", quoted(out.layers.front().path), " and ", quoted(one.path),
                                  " differ in dropout, divisor or bias on B, and adapter_config.json has room for "
                                  "one; save them as two adapters"));
      }
      const bool twice = adapter.start_A.defined(), root = options.divisor == LowRankScale::root_of_rank;
      ranks.push_back(twice ? 2 * options.rank : options.rank);
      alphas.push_back(!twice ? options.alpha : root ? std::sqrt(2.0) * options.alpha : 2.0 * options.alpha);
      put(out, one, adapter);
    }
    AdapterConfig& config = out.config;
    config.r = most_common(ranks);
    config.lora_alpha = most_common(alphas);
    config.lora_dropout = first.dropout;
    config.use_rslora = first.divisor == LowRankScale::root_of_rank;
    config.lora_bias = first.bias;
    config.init_lora_weights = first.start == LowRankStart::gaussian ? "gaussian" : "true";
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const std::string key = "^" + regular_expression_of(out.layers[i].path);
      if (ranks[i] != config.r) config.rank_pattern[key] = ranks[i];
      if (alphas[i] != config.lora_alpha) config.alpha_pattern[key] = alphas[i];
    }
  }

  void read(AdapterReader& in) const override {
    const AdapterConfig& config = in.config();
    PathValues<std::int64_t> ranks(config.rank_pattern);
    PathValues<double> alphas(config.alpha_pattern);
    for (const LayerReader& at : in.layers()) {
      const auto [key_A, key_B] = std::pair(at.layer().layer_type().key_A, at.layer().layer_type().key_B);
      if (!at.find(key_A) && !at.find(key_B) && !at.targeted()) continue;
      const LoraOptions options{.rank = ranks.find(at.path()).value_or(config.r),
                                .alpha = alphas.find(at.path()).value_or(config.lora_alpha),
                                .dropout = config.lora_dropout,
                                .start = LowRankStart::kaiming,
                                .divisor = config.use_rslora ? LowRankScale::root_of_rank : LowRankScale::rank,
                                .bias = config.lora_bias};
      std::vector<std::string> keys{key_A, key_B};
      if (config.lora_bias) keys.push_back(peft_names::lora_B_bias);
      for (const std::string& key : own_keys()) keys.push_back(key);
      if (!at.require(keys)) continue;
      const auto& stored = at.find(key_A)->shape;
      if (stored.empty() || stored[0] != options.rank) {
        at.fault(message("layer ", quoted(at.path()), " has rank ", stored.empty() ? 0 : stored[0],
                         " by its weights and ", options.rank, " by the config"));
        continue;
      }
      try {
        const LowRankShape shape = at.layer().factor_shape(options.rank);
        const torch::Tensor A = at.read(key_A, shape.A), B = at.read(key_B, shape.B);
        const torch::Tensor bias = config.lora_bias ? at.read(peft_names::lora_B_bias, {shape.B[0]}) : torch::Tensor();
        auto adapter = made(at, options, A, B, bias);
        if (A.defined() && B.defined() && (!config.lora_bias || bias.defined()) && adapter) at.put(std::move(adapter));
      } catch (const OptionError& error) {
        at.fault(message("layer ", quoted(at.path()), ": ", error.what()));
      }
    }
    for (std::string& sentence : unused_patterns(ranks.unused(), alphas.unused())) in.warn(std::move(sentence));
  }

 protected:
  virtual void put(AdapterWriter& out, const AdaptedLayer& one, const LowRankAdapter& adapter) const {
    const LayerType& type = one.layer->layer_type();
    torch::Tensor A = adapter.lora_A.detach(), B = adapter.lora_B.detach();
    if (adapter.start_A.defined()) {
      A = torch::cat({A, adapter.start_A}, 0);
      B = torch::cat({B, -adapter.start_B}, 1);
      if (A.size(0) > one.layer->factor_shape(1).largest_rank) {
        throw OptionError(message("layer ", quoted(one.path), " would be stored with rank ", A.size(0),
                                  ", twice its own, which is more than its weight ", one.layer->main_weight().sizes(),
                                  " has; merge it instead"));
      }
    }
    out.put(one, type.key_A, A);
    out.put(one, type.key_B, B);
    if (adapter.lora_B_bias.defined()) out.put(one, peft_names::lora_B_bias, adapter.lora_B_bias);
  }

  /// What a layer has in files beside A, B and its bias, and the adapter made of all; nullptr for what does not fit.
  virtual std::vector<std::string> own_keys() const { return {}; }
  virtual std::shared_ptr<LayerAdapter> made(const LayerReader&, const LoraOptions& options, const torch::Tensor& A,
                                             const torch::Tensor& B, const torch::Tensor& bias) const {
    if (!A.defined() || !B.defined()) return nullptr;
    return std::make_shared<LowRankAdapter>(options, A, B, bias);
  }
};

}  // namespace graft::detail
