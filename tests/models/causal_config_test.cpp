#include "graft/models/causal_config.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/error_message.hpp"

namespace graft {
namespace {

/// The least that a config.json must hold.
Json least(const std::string& family) {
  if (family == "gpt2")
    return {{"model_type", "gpt2"}, {"vocab_size", 50}, {"n_embd", 12},
            {"n_layer", 2},         {"n_head", 3},      {"n_positions", 16}};
  return {{"model_type", family},         {"vocab_size", 50},         {"hidden_size", 12},
          {"num_hidden_layers", 4},       {"num_attention_heads", 3}, {"intermediate_size", 20},
          {"max_position_embeddings", 16}};
}

CausalConfig read(const std::string& family, const Json& changes = Json::object()) {
  Json json = least(family);
  json.merge_patch(changes);
  return CausalConfig::from_json(json, "config.json");
}

std::string error_of(const std::string& family, const Json& changes) {
  return error_message([&] { read(family, changes); });
}

TEST(CausalConfig, TakesEachFamilysDefaults) {
  const CausalConfig llama = read("llama");
  EXPECT_EQ(llama.num_key_value_heads, 3);
  EXPECT_EQ(llama.head_dim, 4);
  EXPECT_EQ(llama.hidden_act, "silu");
  EXPECT_EQ(llama.rope.theta, 10000.0);
  EXPECT_FALSE(llama.attention_bias || llama.tie_word_embeddings || llama.family().head_norms);
  EXPECT_DOUBLE_EQ(llama.scale(1), 0.5);
  EXPECT_EQ(llama.class_name(), "LlamaForCausalLM");

  const CausalConfig qwen2 = read("qwen2");
  EXPECT_TRUE(qwen2.attention_bias);
  EXPECT_FALSE(qwen2.attention_output_bias);
  const CausalConfig qwen3 = read("qwen3");
  EXPECT_EQ(qwen3.head_dim, 128);
  EXPECT_TRUE(qwen3.family().head_norms);

  const CausalConfig gemma = read("gemma3_text", {{"num_hidden_layers", 7}, {"sliding_window", 8}});
  EXPECT_EQ(gemma.head_dim, 256);
  EXPECT_EQ(gemma.hidden_act, "gelu_pytorch_tanh");
  EXPECT_EQ(gemma.rope.theta, 1e6);
  EXPECT_EQ(gemma.local_rope.theta, 1e4);
  EXPECT_DOUBLE_EQ(gemma.scale(0), 1.0 / 16.0);
  EXPECT_TRUE(gemma.tie_word_embeddings);
  EXPECT_EQ(gemma.window(4), 8);
  EXPECT_EQ(gemma.window(5), 0);
  EXPECT_EQ(gemma.window(6), 8);

  const CausalConfig gpt2 = read("gpt2", {{"scale_attn_by_inverse_layer_idx", true}});
  EXPECT_EQ(gpt2.intermediate_size, 48);
  EXPECT_EQ(gpt2.hidden_act, "gelu_new");
  EXPECT_EQ(gpt2.attention_dropout, 0.1);
  EXPECT_TRUE(gpt2.attention_bias && gpt2.tie_word_embeddings);
  EXPECT_DOUBLE_EQ(gpt2.scale(1), 0.25);
  EXPECT_EQ(gpt2.base_name(), "transformer");
}

TEST(CausalConfig, ReadsRotarySettingsInBothForms) {
  const Json stretch{{"factor", 8.0},
                     {"low_freq_factor", 1.0},
                     {"high_freq_factor", 4.0},
                     {"original_max_position_embeddings", 64},
                     {"rope_type", "llama3"}};
  Json today = stretch;
  today["rope_theta"] = 500.0;
  const CausalConfig old = read("llama", {{"rope_theta", 500.0}, {"rope_scaling", stretch}});
  EXPECT_EQ(old.rope.theta, 500.0);
  ASSERT_TRUE(old.rope.llama3.has_value());
  EXPECT_EQ(old.rope.llama3->original_max_position_embeddings, 64);
  EXPECT_EQ(read("llama", {{"rope_parameters", today}}).rope, old.rope);
  EXPECT_EQ(read("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}).rope.factor, 2.0);

  const CausalConfig gemma = read("gemma3_text", {{"rope_theta", 7.0},
                                                  {"rope_local_base_freq", 5.0},
                                                  {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}});
  EXPECT_EQ(gemma.rope, (RotaryOptions{.theta = 7.0, .factor = 8.0}));
  EXPECT_EQ(gemma.local_rope, (RotaryOptions{.theta = 5.0}));
}

TEST(CausalConfig, WritesWhatItRead) {
  const Json stretch{{"rope_type", "llama3"},   {"factor", 8.0},       {"low_freq_factor", 1.0},
                     {"high_freq_factor", 4.0}, {"rope_theta", 300.0}, {"original_max_position_embeddings", 64}};
  const std::map<std::string, Json> changes{
      {"llama", {{"eos_token_id", {3, 4}}, {"bos_token_id", 1}, {"use_cache", true}, {"rope_parameters", stretch}}},
      {"qwen2", {{"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 2}, {"eos_token_id", 7}}},
      {"qwen3", {{"attention_bias", true}, {"head_dim", 6}, {"pad_token_id", 3}}},
      {"gemma3_text", {{"sliding_window", 4}, {"query_pre_attn_scalar", 9}, {"sliding_window_pattern", 2}}},
      {"gpt2", {{"n_inner", 20}, {"scale_attn_weights", false}, {"attn_pdrop", 0.25}}}};
  for (const auto& [family, change] : changes) {
    const CausalConfig config = read(family, change);
    const Json written = config.to_json(config.class_name(), "float32");
    const CausalConfig again = CausalConfig::from_json(written, "config.json");
    EXPECT_EQ(again.to_json(config.class_name(), "float32"), written) << family;
    EXPECT_EQ(again.rope, config.rope) << family;
    EXPECT_EQ(again.windowed, config.windowed) << family;
    EXPECT_EQ(again.attention_scale, config.attention_scale) << family;
    EXPECT_EQ(again.eos_token_ids, config.eos_token_ids) << family;
    EXPECT_EQ(written.contains("use_cache"), family == "llama");
  }
}

TEST(CausalConfig, RefusesWhatItDoesNotHave) {
  EXPECT_EQ(error_message([] {
              CausalConfig::from_json({{"model_type", "llama"}, {"vocab_size", 3}}, "config.json");
            }),
            "FormatError: config.json: missing \"hidden_size\", \"num_hidden_layers\", \"num_attention_heads\", "
            "\"max_position_embeddings\", \"intermediate_size\"; is this the config.json of a causal language model?");
  EXPECT_EQ(error_of("mamba", Json::object()),
            "FormatError: config.json: \"model_type\" is \"mamba\", but must be \"llama\", "
            "\"qwen2\", \"qwen3\", \"gemma3_text\" or \"gpt2\"");
  EXPECT_EQ(error_of("gemma3_text", {{"final_logit_softcapping", 30.0}}),
            "FormatError: config.json: \"final_logit_softcapping\" is 30.0, but must be null; graft has no soft caps");
  EXPECT_EQ(
      error_of("llama", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}}}),
      "FormatError: config.json: \"rope_scaling\": \"rope_type\" is \"yarn\", but must be \"default\", \"linear\" "
      "or \"llama3\"; graft has no other");
  EXPECT_EQ(error_of("gemma3_text", {{"use_bidirectional_attention", true}}),
            "FormatError: config.json: \"use_bidirectional_attention\" is true, but must be false; graft's decoders "
            "look back only");
  EXPECT_EQ(error_of("gpt2", {{"add_cross_attention", true}}),
            "FormatError: config.json: \"add_cross_attention\" is true, but must be false; graft's causal models are "
            "decoders alone");
  EXPECT_EQ(error_of("qwen2", {{"num_key_value_heads", 2}}),
            "FormatError: config.json: num_key_value_heads is 2, which does not divide the 3 attention heads");
  EXPECT_EQ(error_of("llama", {{"head_dim", 3}}),
            "FormatError: config.json: head_dim is 3; rotary positions turn pairs, so choose an even size");
  EXPECT_EQ(error_of("llama", {{"eos_token_id", {3, 50}}}),
            "FormatError: config.json: \"eos_token_id\" is an array of 2, but must be an id from 0 to 49, or a list of "
            "such");
  EXPECT_EQ(error_of("gpt2", {{"n_head", 5}}),
            "FormatError: config.json: \"n_head\" is 5, but must be a divisor of n_embd, 12");
  CausalConfig broken;
  broken.num_hidden_layers = 0;
  EXPECT_EQ(error_message([&] { broken.check(); }), "OptionError: num_hidden_layers is 0; choose 1 to 1024");
}

}  // namespace
}  // namespace graft
