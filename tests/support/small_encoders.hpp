#pragma once

#include <cstdint>
#include <string>

#include "graft/models/bert_config.hpp"
#include "graft/models/mpnet_config.hpp"

namespace graft {

/// A BertConfig or MpnetConfig of a model that a test computes in no time: 50 words, 2 layers, 3 heads.
template <class Config>
Config small_encoder(std::int64_t hidden = 12) {
  Config config;
  config.vocab_size = 50;
  config.hidden_size = hidden;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 3;
  config.intermediate_size = hidden * 5 / 3;
  config.max_position_embeddings = 16;
  return config;
}

/// The same of a "bert" or "roberta", for three classes.
inline BertConfig small_bert(const std::string& model_type = "bert") {
  auto config = small_encoder<BertConfig>();
  config.model_type = model_type;
  config.pad_token_id = model_type == "roberta" ? 1 : 0;
  config.labels = {"no", "maybe", "yes"};
  return config;
}

}  // namespace graft
