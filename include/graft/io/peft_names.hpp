#pragma once

#include <string_view>

/// What PEFT's files call things.
namespace graft::peft_names {

/// Before every tensor's name: this and the name in the model, or this less "model." for what is of no layer.
inline constexpr std::string_view prefix = "base_model.model.";
inline constexpr std::string_view whole_prefix = "base_model.";

// Behind a layer's name.
inline constexpr const char* lora_A = "lora_A.weight";
inline constexpr const char* lora_B = "lora_B.weight";
inline constexpr const char* lora_B_bias = "lora_B.bias";
inline constexpr const char* lora_embedding_A = "lora_embedding_A";
inline constexpr const char* lora_embedding_B = "lora_embedding_B";
inline constexpr const char* magnitude = "lora_magnitude_vector";
inline constexpr const char* ia3_l = "ia3_l";
inline constexpr const char* token_rows = "token_adapter.trainable_tokens_delta";

/// The layer that an adapter's wraps: its bias, and its weight where PEFT stores an adapted embedding in full.
inline constexpr std::string_view base_layer = "base_layer";

/// Copies of a head that PEFT writes beside it and does not read.
inline constexpr std::string_view original_module = "original_module";
inline constexpr std::string_view modules_to_save = "modules_to_save";

/// transformers' models whose linear layers of these names are Conv1D, which stores its weight as [in, out].
inline constexpr std::string_view conv1d_models[] = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer"};
inline constexpr std::string_view conv1d_layers[] = {"c_attn", "q_attn", "c_proj", "c_fc"};

/// The heads that are trained in full beside an adapter where none are named.
inline constexpr std::string_view usual_heads[] = {"classifier", "score", "qa_outputs"};

}  // namespace graft::peft_names
