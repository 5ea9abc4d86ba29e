#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/layers/rotary.hpp"
#include "graft/models/causal_family.hpp"
#include "graft/models/family.hpp"

namespace graft {

/// The sizes and settings of a causal language model, named as in Llama's config.json, whatever its family calls them.
///
/// What a family always has follows from `model_type`: family() gives its row of causal_families. A struct filled in by
/// hand is checked by the model that takes it.
struct CausalConfig {
  std::string model_type = "llama";  ///< llama, qwen2, qwen3, gemma3_text or gpt2
  std::int64_t vocab_size = 32000;
  std::int64_t hidden_size = 4096;  ///< D
  std::int64_t intermediate_size = 11008;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;        ///< H
  std::int64_t num_key_value_heads = 32;        ///< G, a divisor of H
  std::int64_t head_dim = 128;                  ///< even, but in GPT-2
  std::int64_t max_position_embeddings = 2048;  ///< tokens of the longest text; rows of GPT-2's table
  std::string hidden_act = "silu";              ///< as activation_named() takes it
  double norm_eps = 1e-6;
  bool attention_bias = false;                 ///< of the projections to query, key and value
  bool attention_output_bias = false;          ///< of the projection behind attention
  bool mlp_bias = false;                       ///< of the feed-forward layers
  std::optional<double> attention_scale{};     ///< of the products of query and key; 1 / sqrt(head_dim) if not set
  bool scale_attention_by_layer = false;       ///< divides that scale by the layer's number, from 1; GPT-2 only
  RotaryOptions rope{};                        ///< of layers that see everything; GPT-2 has none
  RotaryOptions local_rope{};                  ///< of layers with a window
  std::int64_t sliding_window = 0;             ///< tokens that a layer with a window sees; 0: no layer has one
  std::vector<bool> windowed{};                ///< for each layer, whether it has the window; empty: none has
  double attention_dropout = 0.0;              ///< all dropouts lie in [0, 1)
  double hidden_dropout = 0.0;                 ///< behind each half of a layer; GPT-2 only
  double embedding_dropout = 0.0;              ///< GPT-2 only
  double initializer_range = 0.02;             ///< standard deviation of fresh weights
  bool tie_word_embeddings = false;            ///< whether the head is the embeddings' weight
  std::optional<std::int64_t> pad_token_id{};  ///< its embedding is never trained, as in transformers; not in GPT-2
  std::optional<std::int32_t> bos_token_id{};
  std::vector<std::int32_t> eos_token_ids{};  ///< what ends a text: none, one or several

  /// Fields of the file that change nothing here (`use_cache`, `transformers_version`, ...), kept for saving: JSON.
  std::string other = "{}";

  /// Reads a config.json, in today's form or with the older names of rotary settings. `where` names it in errors.
  /// Throws FormatError: missing sizes, all at once; a value outside its range; a setting that graft does not have:
  /// another family, a rotary scaling other than linear and llama3, soft caps, attention in both directions,
  /// quantisation, GPT-2 with cross attention.
  static CausalConfig from_json(const Json& json, const std::string& where);

  /// What from_json() reads, with `architecture` (LlamaForCausalLM, ...) and `dtype` ("float32", ...).
  Json to_json(const std::string& architecture, const std::string& dtype) const;

  /// Throws OptionError if a field leaves its range: sizes 1 to 2^20, but at most 1,024 layers, 2^24 words and 2^22
  /// positions.
  void check() const;

  /// Throws OptionError if model_type is none of causal_families.
  const CausalFamily& family() const;

  /// The window of layer `layer`; 0 if it sees everything.
  std::int64_t window(std::int64_t layer) const {
    return !windowed.empty() && windowed[static_cast<std::size_t>(layer)] ? sliding_window : 0;
  }

  /// The scale of layer `layer`'s products of query and key.
  double scale(std::int64_t layer) const;

  /// What transformers calls the model: LlamaForCausalLM, GPT2LMHeadModel, ...
  std::string class_name() const { return std::string(family().class_name); }
  /// Name of the decoder inside the model: "model", or GPT-2's "transformer".
  std::string base_name() const { return std::string(family().base); }
  WeightNames weight_names() const;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/causal_config-inl.hpp"
#endif
