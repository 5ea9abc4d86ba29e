#pragma once

#include <array>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/layers/activation.hpp"
#include "graft/models/detail/config_fields.hpp"
#include "graft/models/encoder_config.hpp"

// What the readers and writers of BERT's and MPNet's configurations share.

namespace graft::detail {

struct EncoderSize {
  std::string_view name;
  std::int64_t EncoderConfig::*member;
  std::int64_t max;
  std::int64_t least_beside_padding = 1;  ///< where row 1 is padding's
};

inline constexpr std::array<EncoderSize, 6> encoder_sizes{{
    {"vocab_size", &EncoderConfig::vocab_size, max_words, 2},
    {"hidden_size", &EncoderConfig::hidden_size, max_config_size},
    {"num_hidden_layers", &EncoderConfig::num_hidden_layers, max_layers},
    {"num_attention_heads", &EncoderConfig::num_attention_heads, max_config_size},
    {"intermediate_size", &EncoderConfig::intermediate_size, max_config_size},
    {"max_position_embeddings", &EncoderConfig::max_position_embeddings, max_positions, 3},
}};

/// Reads the fields of EncoderConfig, all sizes among them. `padding`: whether row 1 is always padding's.
void read_encoder(const JsonFields& fields, EncoderConfig& config, bool padding);
void write_encoder(const EncoderConfig& config, Json& json);

/// What is wrong with a configuration, or nothing.
std::string encoder_fault(const EncoderConfig& config, bool padding);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/models/detail/encoder_fields-inl.hpp"
#endif
