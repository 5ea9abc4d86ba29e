#pragma once

#include <cstdint>
#include <string>

namespace graft {

/// What BERT, RoBERTa and MPNet encoders are sized and set by, named as in their config.json.
struct EncoderConfig {
  std::int64_t vocab_size = 30522;
  std::int64_t hidden_size = 768;  ///< D, a multiple of num_attention_heads
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  std::int64_t max_position_embeddings = 512;  ///< rows of the table of positions
  std::string hidden_act = "gelu";             ///< as activation_named() takes it
  double hidden_dropout_prob = 0.1;            ///< all dropouts lie in [0, 1)
  double attention_probs_dropout_prob = 0.1;
  double layer_norm_eps = 1e-12;
  double initializer_range = 0.02;  ///< standard deviation of fresh weights

  /// Fields of the file that change nothing here (`_name_or_path`, `eos_token_id`, ...), kept for saving: JSON.
  std::string other = "{}";
};

}  // namespace graft
