#include "graft/models/gguf.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft::gguf_test {
namespace {

/// A GGUF file being written: version 3, float32 tensors.
class GgufWriter {
 public:
  void text(const std::string& key, const std::string& value) { pair(key, 8, sized(value)); }
  void integer(const std::string& key, std::uint32_t value) { pair(key, 4, bytes(value)); }
  void number(const std::string& key, float value) { pair(key, 6, bytes(value)); }

  void tensor(const std::string& name, const torch::Tensor& values) {
    std::string entry = sized(name) + bytes(static_cast<std::uint32_t>(values.dim()));
    for (std::int64_t i = values.dim(); i-- > 0;) entry += bytes(static_cast<std::uint64_t>(values.size(i)));
    tensors_ += entry + bytes(std::uint32_t{0}) + bytes(static_cast<std::uint64_t>(data_.size()));
    ++tensor_count_;
    const torch::Tensor dense = values.detach().contiguous();
    data_.append(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes());
    data_.resize((data_.size() + 31) / 32 * 32);
  }

  void write(const std::filesystem::path& path) const {
    std::string file = "GGUF" + bytes(std::uint32_t{3}) + bytes(tensor_count_) + bytes(key_count_) + keys_ + tensors_;
    file.resize((file.size() + 31) / 32 * 32);
    std::ofstream(path, std::ios::binary) << file << data_;
  }

 private:
  template <class Number>
  static std::string bytes(Number value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string sized(const std::string& text) { return bytes(static_cast<std::uint64_t>(text.size())) + text; }
  void pair(const std::string& key, std::uint32_t type, const std::string& value) {
    keys_ += sized(key) + bytes(type) + value;
    ++key_count_;
  }

  std::string keys_, tensors_, data_;
  std::uint64_t key_count_ = 0, tensor_count_ = 0;
};

bool is_gemma(const CausalConfig& config) { return config.model_type == "gemma3_text"; }

CausalConfig small(const std::string& family) {
  CausalConfig config;
  config.model_type = family;
  config.vocab_size = 30;
  config.hidden_size = 24;
  config.intermediate_size = 20;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = family == "gpt2" ? 4 : 2;
  config.head_dim = family == "gpt2" ? 6 : 8;
  config.max_position_embeddings = 16;
  config.initializer_range = 0.3;
  config.attention_bias = family == "qwen2" || family == "gpt2";
  config.attention_output_bias = config.mlp_bias = family == "gpt2";
  config.tie_word_embeddings = family != "llama";
  config.hidden_act = family == "gpt2" ? "gelu_new" : is_gemma(config) ? "gelu_pytorch_tanh" : "silu";
  config.rope.theta = config.local_rope.theta = 100.0;
  if (is_gemma(config)) {
    config.local_rope.theta = 10000.0;
    config.sliding_window = 3;
    config.windowed = {true, true};
  }
  return config;
}

void write_keys(GgufWriter& file, const CausalConfig& config) {
  const std::string family = is_gemma(config) ? "gemma3" : config.model_type;
  file.text("general.architecture", family);
  const auto size = [&](const char* key, std::int64_t value) {
    file.integer(family + "." + key, static_cast<std::uint32_t>(value));
  };
  size("block_count", config.num_hidden_layers);
  size("context_length", config.max_position_embeddings);
  size("embedding_length", config.hidden_size);
  size("feed_forward_length", config.intermediate_size);
  size("attention.head_count", config.num_attention_heads);
  size("attention.head_count_kv", config.num_key_value_heads);
  size("attention.key_length", config.head_dim);
  if (config.sliding_window > 0) size("attention.sliding_window", config.sliding_window);
  file.number(
      family + ((config.model_type == "gpt2") ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon"),
      static_cast<float>(config.norm_eps));
  file.number(family + ".rope.freq_base", static_cast<float>(config.rope.theta));
  file.integer("tokenizer.ggml.eos_token_id", 7);
}

/// What llama.cpp's converter does to a weight on its way into a file.
torch::Tensor as_in_gguf(const std::string& name, torch::Tensor weight, const CausalConfig& config) {
  if (is_gemma(config) && name.ends_with("norm.weight")) return weight + 1.0;
  for (const auto& [part, heads] :
       {std::pair{".q_proj.", config.num_attention_heads}, std::pair{".k_proj.", config.num_key_value_heads}}) {
    if (config.model_type == "llama" && name.find(part) != std::string::npos)
      return weight.view({heads, 2, -1, weight.size(1)}).transpose(1, 2).reshape(weight.sizes());
  }
  return weight;
}

std::string name_in_gguf(std::string name, const CausalConfig& config) {
  const std::vector<std::pair<std::string, std::string>> names{
      {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},
      {"lm_head", "output"},
      {"model.layers.", "blk."},
      {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", is_gemma(config) ? "post_attention_norm" : "ffn_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"transformer.wte", "token_embd"},
      {"transformer.wpe", "position_embd"},
      {"transformer.ln_f", "output_norm"},
      {"transformer.h.", "blk."},
      {"ln_1", "attn_norm"},
      {"ln_2", "ffn_norm"},
      {"attn.c_attn", "attn_qkv"},
      {"attn.c_proj", "attn_output"},
      {"mlp.c_fc", "ffn_up"},
      {"mlp.c_proj", "ffn_down"}};
  for (const auto& [ours, theirs] : names)
    if (const std::size_t at = name.find(ours); at != std::string::npos) name.replace(at, ours.size(), theirs);
  return name;
}

class GgufFamilies : public testing::TestWithParam<const char*> {};

TEST_P(GgufFamilies, AModelComesBackFromItsFile) {
  const torch::NoGradGuard no_grad;
  const CausalConfig config = small(GetParam());
  torch::manual_seed(1);
  CausalLM model(config);
  for (torch::Tensor& parameter : model->parameters())
    if (parameter.dim() == 1) parameter.add_(torch::rand_like(parameter));
  model->eval();
  GgufWriter file;
  write_keys(file, config);
  for (const auto& [name, tensor] : named_tensors(*model))
    file.tensor(name_in_gguf(name, config), as_in_gguf(name, tensor, config));
  const TemporaryDirectory directory;
  file.write(directory / "model.gguf");

  const auto [loaded, report] = load_gguf(directory / "model.gguf");
  EXPECT_EQ(report.loaded.size(), named_tensors(*model).size());
  EXPECT_EQ(loaded->config().eos_token_ids, std::vector<std::int32_t>{7});
  EXPECT_FALSE(loaded->is_training());
  const std::vector<std::vector<std::int32_t>> texts{{1, 2, 3, 4, 5, 6, 7}, {9}};
  // Gemma's norms lose a bit on the way to one more and back.
  EXPECT_TRUE(torch::allclose(CausalLM(loaded)(pack(texts)), model(pack(texts)), 1e-5, 1e-5));
}

TEST_P(GgufFamilies, LinearWeightsAreHeldInBfloat16) {
  const torch::NoGradGuard no_grad;
  const CausalConfig config = small(GetParam());
  torch::manual_seed(2);
  CausalLM model(config);
  GgufWriter file;
  write_keys(file, config);
  for (const auto& [name, tensor] : named_tensors(*model))
    file.tensor(name_in_gguf(name, config), as_in_gguf(name, tensor, config));
  const TemporaryDirectory directory;
  file.write(directory / "model.gguf");
  CausalLM loaded = load_gguf(directory / "model.gguf", {.linear_dtype = torch::kBFloat16}).model;

  // The float32 model whose weights were rounded gives the same; Gemma's norms lose a bit on the way.
  CausalLM rounded = load_gguf(directory / "model.gguf").model;
  std::size_t narrow = 0;
  for (const auto& parameter : loaded->named_parameters()) {
    const bool is_narrow = parameter.value().scalar_type() == torch::kBFloat16;
    narrow += is_narrow ? 1 : 0;
    torch::Tensor twin = rounded->named_parameters()[parameter.key()];
    if (is_narrow) twin.copy_(twin.to(torch::kBFloat16));
    const bool is_table =
        parameter.key().find("embed") != std::string::npos || parameter.key().find("wte") != std::string::npos;
    if (is_table) {
      EXPECT_EQ(is_narrow, config.tie_word_embeddings) << parameter.key();
    }
    if (parameter.value().dim() == 1) {
      EXPECT_FALSE(is_narrow) << parameter.key();
    }
  }
  EXPECT_GE(narrow, (config.model_type == "gpt2") ? 8U : 14U);
  const std::vector<std::vector<std::int32_t>> texts{{1, 2, 3, 4, 5, 6, 7}, {9}};
  const torch::Tensor logits = loaded(pack(texts));
  EXPECT_EQ(logits.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(torch::allclose(logits, rounded(pack(texts)), 1e-5, 1e-5));
  // And with a cache.
  KvCache cache = loaded->make_cache(2);
  const torch::Tensor last = loaded->next(pack(texts), cache);
  EXPECT_TRUE(torch::allclose(last, logits.index_select(0, torch::tensor({6, 7})), 1e-5, 1e-5));
}

TEST(GgufModel, RefusesOtherTypesOfLinearWeights) {
  GgufWriter file;
  write_keys(file, small("llama"));
  file.tensor("token_embd.weight", torch::zeros({30, 24}));
  const TemporaryDirectory directory;
  file.write(directory / "model.gguf");
  EXPECT_EQ(error_message([&] { load_gguf(directory / "model.gguf", {.linear_dtype = torch::kFloat16}); }),
            "OptionError: linear_dtype is Half in a model of Float; choose bfloat16 in a model of float32, or leave it "
            "out");
}

INSTANTIATE_TEST_SUITE_P(All, GgufFamilies, testing::Values("llama", "qwen2", "qwen3", "gemma3_text", "gpt2"));

std::string error_of(const std::function<void(GgufWriter&)>& fill) {
  const TemporaryDirectory directory;
  GgufWriter file;
  fill(file);
  file.write(directory / "model.gguf");
  return replaced(error_message([&] { load_gguf(directory / "model.gguf"); }), directory.path().string() + "/", "");
}

// Llama 3.1's files hold, for each pair, the plain turn over the stretched one.
TEST(GgufModel, ReadsHowLlama3StretchesItsTurns) {
  const torch::NoGradGuard no_grad;
  CausalConfig config = small("llama");
  config.rope.theta = 1e6;  // of the four pairs two are fast, one is slow, one between
  const torch::Tensor plain = rotary_frequencies(config.head_dim, config.rope);
  config.rope.llama3 = Llama3Stretch{};
  config.local_rope = config.rope;
  const torch::Tensor divisors = plain / rotary_frequencies(config.head_dim, config.rope);
  ASSERT_EQ(divisors[0].item<float>(), 1.0F);
  ASSERT_GT(divisors[2].item<float>(), 1.5F);
  ASSERT_LT(divisors[2].item<float>(), 7.5F);
  torch::manual_seed(4);
  CausalLM model(config);
  model->eval();
  const auto write = [&](const std::filesystem::path& path, const torch::Tensor& turns) {
    GgufWriter file;
    write_keys(file, config);
    for (const auto& [name, tensor] : named_tensors(*model))
      file.tensor(name_in_gguf(name, config), as_in_gguf(name, tensor, config));
    file.tensor("rope_freqs.weight", turns);
    file.write(path);
  };
  const TemporaryDirectory directory;
  write(directory / "model.gguf", divisors);
  CausalLM loaded = load_gguf(directory / "model.gguf").model;
  EXPECT_EQ(loaded->config().rope, config.rope);
  const std::vector<std::vector<std::int32_t>> texts{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
  EXPECT_TRUE(torch::allclose(loaded(pack(texts)), model(pack(texts)), 1e-5, 1e-5));

  const auto error = [&](const torch::Tensor& turns) {
    write(directory / "model.gguf", turns);
    return replaced(error_message([&] { load_gguf(directory / "model.gguf"); }), directory.path().string() + "/", "");
  };
  EXPECT_EQ(error(divisors + 0.1),
            "FormatError: model.gguf: tensor \"rope_freqs.weight\" is not what Llama 3 stretches its turns by; graft "
            "has no other");
  EXPECT_EQ(error(torch::full({4}, std::nan(""))),
            "FormatError: model.gguf: tensor \"rope_freqs.weight\" is not what Llama 3 stretches its turns by; graft "
            "has no other");
  EXPECT_EQ(error(torch::ones({5})),
            "FormatError: model.gguf: tensor \"rope_freqs.weight\" must have 4 numbers, one for each pair of a head");
}

TEST(GgufModel, NamesWhatItCannotLoad) {
  EXPECT_EQ(error_of([](GgufWriter& file) { file.text("general.architecture", "mamba"); }),
            "FormatError: model.gguf: \"general.architecture\" is \"mamba\", but must be \"llama\", \"qwen2\", "
            "\"qwen3\", \"gemma3\" or \"gpt2\"");
  EXPECT_EQ(error_of([](GgufWriter& file) {
              write_keys(file, small("llama"));
              file.text("llama.rope.scaling.type", "yarn");
              file.tensor("token_embd.weight", torch::zeros({30, 24}));
            }),
            "FormatError: model.gguf: \"llama.rope.scaling.type\" is \"yarn\", but must be \"none\" or \"linear\"; "
            "graft has no other in GGUF files");
  EXPECT_EQ(error_of([](GgufWriter& file) {
              CausalConfig config = small("llama");
              config.num_key_value_heads = 3;
              write_keys(file, config);
              file.tensor("token_embd.weight", torch::zeros({30, 24}));
            }),
            "FormatError: model.gguf: num_key_value_heads is 3, which does not divide the 4 attention heads");
  const std::string all = error_of([](GgufWriter& file) {
    write_keys(file, small("llama"));
    file.tensor("token_embd.weight", torch::zeros({30, 24}));
    file.tensor("output_norm.weight", torch::zeros({25}));
    file.tensor("stray.weight", torch::zeros({4}));
  });
  EXPECT_NE(all.find("missing in the file (18)"), std::string::npos) << all;
  EXPECT_NE(all.find("not in the module (1): \"stray.weight\""), std::string::npos) << all;
  EXPECT_NE(all.find("\"model.norm.weight\" is [25], not [24]"), std::string::npos) << all;
}

}  // namespace
}  // namespace graft::gguf_test
