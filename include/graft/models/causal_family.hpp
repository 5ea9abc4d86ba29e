#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace graft {

/// What a family of causal language models calls its fields in config.json. Empty: it has no such field.
struct CausalFields {
  std::string_view hidden_size = "hidden_size";
  std::string_view num_hidden_layers = "num_hidden_layers";
  std::string_view num_attention_heads = "num_attention_heads";
  std::string_view max_position_embeddings = "max_position_embeddings";
  std::string_view intermediate_size = "intermediate_size";
  std::string_view num_key_value_heads = "num_key_value_heads";
  std::string_view head_dim = "head_dim";
  std::string_view hidden_act = "hidden_act";
  std::string_view norm_eps = "rms_norm_eps";
  std::string_view attention_dropout = "attention_dropout";
  std::string_view hidden_dropout{};
  std::string_view embedding_dropout{};
};

/// A name in GGUF files, without the layer's, and Hugging Face's.
struct GgufName {
  std::string_view in_file, ours;
};

/// A row of causal_families: what one family has that another has not. Whatever reads a configuration or builds a model
/// goes by it, so that a family that differs from another in nothing else is a new row.
struct CausalFamily {
  /// Which modules a layer is made of: LlamaDecoder's (turned positions, RMS norms, a gated feed-forward half) or
  /// Gpt2Decoder's (a table of positions, layer norms, one joint projection to queries, keys and values).
  enum class Layers { llama, gpt2 };
  enum class Bias { never, always, configured };  ///< configured: by attention_bias or mlp_bias
  enum class Windows {
    never,
    switched,
    patterned
  };  ///< switched: by use_sliding_window, from max_window_layers on;
      ///< patterned: all layers but every sixth, unless it says others

  std::string_view model_type;  ///< in config.json
  std::string_view class_name;  ///< in transformers
  std::string_view gguf;        ///< the architecture in GGUF files
  Layers layers = Layers::llama;
  CausalFields fields{};

  Bias qkv_bias = Bias::configured, output_bias = Bias::configured, mlp_bias = Bias::never;
  bool head_norms = false;         ///< queries and keys are normed head by head
  bool norms_behind = false;       ///< each half of a layer is normed behind it too
  double norm_offset = 0.0;        ///< norms multiply by offset + weight
  bool scaled_embeddings = false;  ///< embeddings times sqrt(hidden_size)
  double query_scalar = 0.0;       ///< default of query_pre_attn_scalar; 0: products are scaled by 1 / sqrt(head_dim)
  bool scale_switches = false;     ///< scale_attn_weights and scale_attn_by_inverse_layer_idx
  Windows windows = Windows::never;
  bool local_rope = false;  ///< layers with a window turn by a theta of their own
  bool padding_row = true;  ///< the embedding of pad_token_id is never trained

  std::int64_t head_dim = 0;  ///< default; 0: hidden_size / num_attention_heads
  std::int64_t inner = 0;     ///< default of the intermediate size, times hidden_size; 0: it must be there
  std::string_view hidden_act = "silu";
  double norm_eps = 1e-6;
  double theta = 1e4;
  double dropout = 0.0;
  bool tied = false;  ///< the head is the embeddings' weight unless the file says not

  std::string_view base = "model", words = "embed_tokens";  ///< modules: the decoder, and its word table
  std::array<std::string_view, 3> transposed{};             ///< weights that files hold as [in, out], by their ends

  std::string_view gguf_layer = "model.layers.";
  std::string_view gguf_eps = "attention.layer_norm_rms_epsilon";
  const GgufName* gguf_names = nullptr;  ///< ends with an empty one; with those of a layer, after "blk.N."
  GgufName gguf_exception{};             ///< stands before them
  bool gguf_neighbours = false;          ///< rows i and i + 1 of q and k are a pair, not i and i + d / 2
};

namespace detail {

inline constexpr GgufName llama_gguf_names[] = {{"token_embd", "model.embed_tokens"},
                                                {"output_norm", "model.norm"},
                                                {"output", "lm_head"},
                                                {"attn_norm", "input_layernorm"},
                                                {"attn_q", "self_attn.q_proj"},
                                                {"attn_k", "self_attn.k_proj"},
                                                {"attn_v", "self_attn.v_proj"},
                                                {"attn_output", "self_attn.o_proj"},
                                                {"attn_q_norm", "self_attn.q_norm"},
                                                {"attn_k_norm", "self_attn.k_norm"},
                                                {"ffn_norm", "post_attention_layernorm"},
                                                {"ffn_gate", "mlp.gate_proj"},
                                                {"ffn_up", "mlp.up_proj"},
                                                {"ffn_down", "mlp.down_proj"},
                                                {"post_attention_norm", "post_attention_layernorm"},
                                                {"post_ffw_norm", "post_feedforward_layernorm"},
                                                {}};
inline constexpr GgufName gpt2_gguf_names[] = {{"token_embd", "transformer.wte"},
                                               {"position_embd", "transformer.wpe"},
                                               {"output_norm", "transformer.ln_f"},
                                               {"output", "lm_head"},
                                               {"attn_norm", "ln_1"},
                                               {"attn_qkv", "attn.c_attn"},
                                               {"attn_output", "attn.c_proj"},
                                               {"ffn_norm", "ln_2"},
                                               {"ffn_up", "mlp.c_fc"},
                                               {"ffn_down", "mlp.c_proj"},
                                               {}};

}  // namespace detail

inline constexpr std::array<CausalFamily, 5> causal_families{{
    {.model_type = "llama",
     .class_name = "LlamaForCausalLM",
     .gguf = "llama",
     .mlp_bias = CausalFamily::Bias::configured,
     .gguf_names = detail::llama_gguf_names,
     .gguf_neighbours = true},
    {.model_type = "qwen2",
     .class_name = "Qwen2ForCausalLM",
     .gguf = "qwen2",
     .qkv_bias = CausalFamily::Bias::always,
     .output_bias = CausalFamily::Bias::never,
     .windows = CausalFamily::Windows::switched,
     .gguf_names = detail::llama_gguf_names},
    {.model_type = "qwen3",
     .class_name = "Qwen3ForCausalLM",
     .gguf = "qwen3",
     .head_norms = true,
     .windows = CausalFamily::Windows::switched,
     .head_dim = 128,
     .gguf_names = detail::llama_gguf_names},
    {.model_type = "gemma3_text",
     .class_name = "Gemma3ForCausalLM",
     .gguf = "gemma3",
     .fields = {.hidden_act = "hidden_activation"},
     .head_norms = true,
     .norms_behind = true,
     .norm_offset = 1.0,
     .scaled_embeddings = true,
     .query_scalar = 256.0,
     .windows = CausalFamily::Windows::patterned,
     .local_rope = true,
     .head_dim = 256,
     .hidden_act = "gelu_pytorch_tanh",
     .theta = 1e6,
     .tied = true,
     .gguf_names = detail::llama_gguf_names,
     .gguf_exception = {"ffn_norm", "pre_feedforward_layernorm"}},
    {.model_type = "gpt2",
     .class_name = "GPT2LMHeadModel",
     .gguf = "gpt2",
     .layers = CausalFamily::Layers::gpt2,
     .fields = {.hidden_size = "n_embd",
                .num_hidden_layers = "n_layer",
                .num_attention_heads = "n_head",
                .max_position_embeddings = "n_positions",
                .intermediate_size = "n_inner",
                .num_key_value_heads = {},
                .head_dim = {},
                .hidden_act = "activation_function",
                .norm_eps = "layer_norm_epsilon",
                .attention_dropout = "attn_pdrop",
                .hidden_dropout = "resid_pdrop",
                .embedding_dropout = "embd_pdrop"},
     .qkv_bias = CausalFamily::Bias::always,
     .output_bias = CausalFamily::Bias::always,
     .mlp_bias = CausalFamily::Bias::always,
     .scale_switches = true,
     .padding_row = false,
     .inner = 4,
     .hidden_act = "gelu_new",
     .norm_eps = 1e-5,
     .dropout = 0.1,
     .tied = true,
     .base = "transformer",
     .words = "wte",
     .transposed = {".c_attn.weight", ".c_proj.weight", ".c_fc.weight"},
     .gguf_layer = "transformer.h.",
     .gguf_eps = "attention.layer_norm_epsilon",
     .gguf_names = detail::gpt2_gguf_names},
}};

}  // namespace graft
