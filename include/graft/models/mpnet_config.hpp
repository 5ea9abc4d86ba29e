#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/layers/activation.hpp"

namespace graft {

/// The sizes and settings of an MPNet encoder, named as in its config.json. As in transformers, the padding id is 1 and
/// distances fall into 32 buckets, whatever the file says. A struct filled in by hand is checked by the model that
/// takes it.
struct MpnetConfig {
  static constexpr std::int64_t padding = 1;  ///< a token's id and its position; neither row is ever trained

  std::int64_t vocab_size = 30527;
  std::int64_t hidden_size = 768;  ///< D, a multiple of num_attention_heads
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  std::int64_t max_position_embeddings = 514;  ///< rows of the table; the longest text is two shorter
  std::string hidden_act = "gelu";             ///< as activation_named() takes it
  double hidden_dropout_prob = 0.1;            ///< both dropouts lie in [0, 1)
  double attention_probs_dropout_prob = 0.1;
  double layer_norm_eps = 1e-12;
  double initializer_range = 0.02;  ///< standard deviation of fresh weights

  /// Fields of the file that change nothing here (`_name_or_path`, `bos_token_id`, ...), kept for saving.
  Json other = Json::object();

  /// Reads a config.json. `where` names it in errors. The sizes must be there; the rest has the defaults above. Throws
  /// FormatError: missing fields, all at once; a value outside its range (sizes as check() has them); a setting that
  /// graft does not have: another number of buckets, chunking, quantisation.
  static MpnetConfig from_json(const Json& json, const std::string& where);

  /// What from_json() reads, with `architecture` (MPNetModel) and `dtype` ("float32", ...).
  Json to_json(const std::string& architecture, const std::string& dtype) const;

  /// Throws OptionError if a field leaves its range: sizes 1 to 2^20, but at most 1,024 layers, 2 to 2^24 words and 3
  /// to 2^22 positions.
  void check() const;

  /// Longest text that the position table serves.
  std::int64_t max_tokens() const { return max_position_embeddings - padding - 1; }

  // What models/load.hpp asks of a configuration.
  std::string base_name() const { return "mpnet"; }  ///< name of the encoder inside a model with a head
  /// Modules that one task has and another has not.
  static std::vector<std::string> head_names() { return {"pooler", "classifier", "qa_outputs", "lm_head"}; }
  /// Copies of weights that the model ties: none, since the head that has one is not here.
  static std::vector<std::pair<std::string, std::string>> tied_names() { return {}; }
  /// Tensors of files that are no weights, by their name without the encoder's.
  static bool is_buffer(std::string_view name) { return name == "embeddings.position_ids"; }
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/mpnet_config-inl.hpp"
#endif
