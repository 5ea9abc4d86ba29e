#include "graft/models/gguf_adapter.hpp"

#include <gtest/gtest.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/biases.hpp"
#include "graft/adapters/kinds/dora.hpp"
#include "graft/adapters/kinds/ia3.hpp"
#include "graft/adapters/kinds/token_rows.hpp"
#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/io/gguf.hpp"
#include "graft/io/gguf_writer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft::gguf_adapter_test {
namespace {

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
  config.hidden_act = family == "gpt2" ? "gelu_new" : family == "gemma3_text" ? "gelu_pytorch_tanh" : "silu";
  return config;
}

/// The model of that family whose weights are always the same.
CausalLM base(const std::string& family) {
  torch::manual_seed(5);
  CausalLM model(small(family));
  model->eval();
  return model;
}

/// What is trained gets values.
void draw(CausalLM& model) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : model->parameters())
    if (parameter.requires_grad()) parameter.normal_(0.0, 0.4);
}

torch::Tensor logits(CausalLM& model) {
  const torch::NoGradGuard no_grad;
  const std::vector<std::vector<std::int32_t>> rows{{3, 1, 4, 1, 5}, {9, 2, 6}};
  return model(pack(rows));
}

double error(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

class GgufAdapters : public testing::TestWithParam<const char*> {};

TEST_P(GgufAdapters, ComeBackFromTheirFiles) {
  const TemporaryDirectory directory;
  CausalLM model = base(GetParam());
  const torch::Tensor plain = logits(model);
  attach(*model, {.rank = 4, .alpha = 8.0}, {.layers = {"all-linear"}});
  draw(model);
  const torch::Tensor adapted = logits(model);
  ASSERT_GT(error(adapted, plain), 0.1);
  save_gguf_adapter(directory / "a.gguf", model, "default",
                    {.title = "a title", .task = "task", .prompt_prefix = "prefix", .metadata = {{"mine", "yes"}}});
  CausalLM other = base(GetParam());
  const LoadedGgufAdapter loaded = load_gguf_adapter(directory / "a.gguf", other, "again");
  EXPECT_EQ(loaded.layers.size(), std::string(GetParam()) == "gpt2" ? 2u * 4 : 2u * 7);
  EXPECT_EQ(loaded.alpha, 8.0);
  EXPECT_EQ(loaded.title, "a title");
  EXPECT_EQ(loaded.task, "task");
  EXPECT_EQ(loaded.prompt_prefix, "prefix");
  EXPECT_EQ(loaded.other_base, "");
  EXPECT_TRUE(torch::equal(logits(other), adapted));
  for (const auto& [path, layer] : adaptable_layers(*other)) {
    const bool has = layer->adapter<LowRankAdapter>("again") != nullptr;
    EXPECT_EQ(has, layer->layer_type().is_linear() && path != "lm_head") << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GgufAdapters, testing::Values("llama", "qwen2", "qwen3", "gemma3_text", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(GgufAdapter, HasTheNamesAndTheOrderOfRowsThatLlamaCppHas) {
  const TemporaryDirectory directory;
  CausalLM model = base("llama");
  attach(*model, {.rank = 1, .alpha = 2.0}, {.layers = {"q_proj", "k_proj", "v_proj", "lm_head"}});
  const torch::NoGradGuard no_grad;
  for (const auto& [path, layer] : adaptable_layers(*model))
    if (const auto held = layer->adapter<LowRankAdapter>("default"))
      held->lora_B.copy_(torch::arange(held->lora_B.size(0)).unsqueeze(1));
  save_gguf_adapter(directory / "a.gguf", model);
  const GgufFile file(directory / "a.gguf");
  EXPECT_EQ(file.metadata().text("general.type"), "adapter");
  EXPECT_EQ(file.metadata().text("general.architecture"), "llama");
  EXPECT_EQ(file.metadata().text("adapter.type"), "lora");
  EXPECT_EQ(file.metadata().number("adapter.lora.alpha", 0, 10), 2.0);
  const auto rows = [&](const std::string& name) {
    std::vector<float> values(file.tensor(name).values());
    file.read_float32(file.tensor(name), values);
    return values;
  };
  EXPECT_EQ(file.tensors().size(), 2u * (3 * 2 + 1));
  EXPECT_EQ(file.tensor("blk.1.attn_q.weight.lora_a").shape, (std::vector<std::int64_t>{1, 24}));
  EXPECT_EQ(file.tensor("output.weight.lora_b").shape, (std::vector<std::int64_t>{30, 1}));
  // Heads of 8: rows i and i + 4 become neighbours.
  EXPECT_EQ(rows("blk.0.attn_k.weight.lora_b"),
            (std::vector<float>{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15}));
  EXPECT_EQ(rows("blk.0.attn_q.weight.lora_b")[31], 31.0f);
  EXPECT_EQ(rows("blk.0.attn_q.weight.lora_b")[1], 4.0f);
  EXPECT_EQ(rows("blk.0.attn_v.weight.lora_b")[1], 1.0f);
}

TEST(GgufAdapter, OneAlphaSaysWhatPatternsAndDivisorsSay) {
  for (const LowRankStart start : {LowRankStart::kaiming, LowRankStart::pissa, LowRankStart::olora}) {
    const TemporaryDirectory directory;
    CausalLM model = base("llama");
    attach(*model, {.rank = 4, .alpha = 6.0, .start = start, .divisor = LowRankScale::root_of_rank},
           {.layers = {"all-linear"}}, {.rank = {{"q_proj", 2}, {"up_proj", 5}}, .alpha = {{"v_proj", 3.0}}});
    draw(model);
    const torch::Tensor adapted = logits(model);
    merge(*model);
    save_gguf_adapter(directory / "a.gguf", model);  // merged or not, the file is the same
    unmerge(*model);
    save_gguf_adapter(directory / "b.gguf", model);
    EXPECT_EQ(read_file(directory / "a.gguf", 1 << 20), read_file(directory / "b.gguf", 1 << 20));
    CausalLM other = base("llama");
    const LoadedGgufAdapter loaded = load_gguf_adapter(directory / "a.gguf", other);
    const double rank = start == LowRankStart::kaiming ? 4 : 8;
    EXPECT_NEAR(loaded.alpha, 6.0 / 2.0 * rank, 1e-6);
    EXPECT_LT(error(logits(other), adapted), 1e-5);
  }
}

TEST(GgufAdapter, AlphaOfNothingStaysNothing) {
  const TemporaryDirectory directory;
  CausalLM model = base("llama");
  const torch::Tensor plain = logits(model);
  attach(*model, {.rank = 2, .alpha = 0.0}, {.layers = {"q_proj"}});
  draw(model);
  save_gguf_adapter(directory / "a.gguf", model);
  CausalLM other = base("llama");
  EXPECT_GT(load_gguf_adapter(directory / "a.gguf", other).alpha, 0.0) << "0 would switch the division off";
  EXPECT_TRUE(torch::equal(logits(other), plain));
}

TEST(GgufAdapter, HalfPrecisionHalvesTheFile) {
  const TemporaryDirectory directory;
  CausalLM model = base("qwen3");
  attach(*model, {.rank = 4, .alpha = 8.0}, {.layers = {"all-linear"}});
  draw(model);
  const torch::Tensor adapted = logits(model);
  save_gguf_adapter(directory / "a.gguf", model, "default", {.type = GgufType::F16});
  EXPECT_EQ(GgufFile(directory / "a.gguf").tensors().front().type, GgufType::F16);
  CausalLM other = base("qwen3");
  load_gguf_adapter(directory / "a.gguf", other);
  EXPECT_LT(error(logits(other), adapted), 1e-2);  // 11 bits
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : model->parameters())
    if (parameter.requires_grad()) parameter.fill_(1e5);
  write_file(directory / "b.gguf", "as it was");
  const std::string too_large =
      error_message([&] { save_gguf_adapter(directory / "b.gguf", model, "default", {.type = GgufType::F16}); });
  EXPECT_NE(too_large.find("StateError: tensor \"blk.0.attn_q.weight.lora_a\" has values that are not finite in F16; "
                           "choose F32"),
            std::string::npos)
      << too_large;
  EXPECT_EQ(read_file(directory / "b.gguf", 100), "as it was");
}

TEST(GgufAdapter, WhatAFileHasNoRoomForIsNamed) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "a.gguf";
  CausalLM dora = base("llama"), ia3 = base("llama"), biased = base("llama"), words = base("llama"),
           tokens = base("llama"), heads = base("llama"), trained = base("llama"), plain = base("llama");
  attach(*dora, DoraOptions({.rank = 2}), {.layers = {"q_proj"}});
  attach(*ia3, Ia3Options(), {.layers = {"k_proj"}});
  attach(*biased, {.rank = 2, .bias = true}, {.layers = {"v_proj"}});
  attach(*words, {.rank = 2}, {.layers = {"embed_tokens"}});
  attach(*tokens, {.rank = 2}, {.layers = {"q_proj"}});
  train_token_rows(*tokens, "embed_tokens", {3, 4});
  attach(*heads, {.rank = 2}, {.layers = {"q_proj"}, .heads = std::vector<std::string>{"lm_head"}});
  attach(*trained, {.rank = 2}, {.layers = {"q_proj"}});
  trained->named_parameters()["model.norm.weight"].set_requires_grad(true);
  attach(*plain, {.rank = 2}, {.layers = {"q_proj"}});
  const struct {
    std::function<void()> call;
    std::string says;
  } rows[] = {
      {[&] { save_gguf_adapter(path, dora); }, "layer \"model.layers.0.self_attn.q_proj\" is of DoRA"},
      {[&] { save_gguf_adapter(path, ia3); }, "layer \"model.layers.1.self_attn.k_proj\" is of IA3"},
      {[&] { save_gguf_adapter(path, biased); }, "layer \"model.layers.0.self_attn.v_proj\" has a bias on B"},
      {[&] { save_gguf_adapter(path, words); }, "layer \"model.embed_tokens\" is no linear layer of GGUF models"},
      {[&] { save_gguf_adapter(path, tokens); }, "layer \"model.embed_tokens\" is of trained token rows"},
      {[&] { save_gguf_adapter(path, heads); }, "it has modules in full (modules_to_save)"},
      {[&] { save_gguf_adapter(path, trained); }, "parameter \"model.norm.weight\" of the base is trained"},
      {[&] { save_gguf_adapter(path, plain, "other"); }, "\"other\""},
      {[&] { save_gguf_adapter(path, plain, "default", {.type = GgufType::Q8_0}); },
       "a GGUF adapter of type Q8_0; choose F32 or F16"},
      {[&] {
         save_gguf_adapter(path, plain, "default", {.metadata = {{"adapter.type", "x"}}});
       },
       "key \"adapter.type\" of a GGUF adapter has its own value"},
      {[&] { save_gguf_adapter(directory.path(), plain); }, "OptionError"},
  };
  for (const auto& row : rows) {
    const std::string error = error_message(row.call);
    EXPECT_NE(error.find(row.says), std::string::npos) << row.says << "\n" << error;
    EXPECT_FALSE(path_exists(path)) << row.says;
  }
}

TEST(GgufAdapter, WhatDoesNotFitIsNamedAndTheModelStaysAsItWas) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "a.gguf";
  const std::vector<float> numbers(2000, 0.5f);
  const auto tensor = [&](const std::string& name, std::vector<std::int64_t> shape) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    return GgufTensorBytes{name, GgufType::F32, std::move(shape),
                           std::as_bytes(std::span(numbers).first(static_cast<std::size_t>(count)))};
  };
  const std::string q = "blk.0.attn_q.weight";
  const std::vector<GgufTensorBytes> good{tensor(q + ".lora_a", {2, 24}), tensor(q + ".lora_b", {32, 2})};
  using Metadata = std::map<std::string, GgufMetadataValue>;
  const Metadata sound{{"general.type", std::string("adapter")},
                       {"general.architecture", std::string("llama")},
                       {"adapter.type", std::string("lora")},
                       {"adapter.lora.alpha", 4.0f}};
  const auto with = [&](const std::string& key, const GgufMetadataValue& value) {
    Metadata metadata = sound;
    metadata[key] = value;
    return metadata;
  };
  Metadata without = sound;
  without.erase("adapter.lora.alpha");
  const struct {
    Metadata metadata;
    std::vector<GgufTensorBytes> tensors;
    std::string says;
  } rows[] = {
      {with("general.type", std::string("model")), good, "\"general.type\" is \"model\", but must be \"adapter\""},
      {with("general.architecture", std::string("qwen2")), good, "\"general.architecture\" is \"qwen2\", but must be"},
      {with("adapter.type", std::string("ia3")), good, "\"adapter.type\" is \"ia3\", but must be \"lora\""},
      {with("adapter.alora.invocation_tokens", std::string("x")), good, "adapters that begin at a token"},
      {with("adapter.lora.alpha", -1.0f), good, "\"adapter.lora.alpha\" is -1"},
      {without, good, "\"adapter.lora.alpha\" is missing"},
      {sound, {}, "it holds no layer's adapter"},
      {sound, {good[0]}, "layer \"model.layers.0.self_attn.q_proj\" has no .lora_b"},
      {sound, {good[1]}, "has no .lora_a"},
      {sound, {good[0], tensor(q + ".lora_b", {24, 2})}, "has A [2, 24] and B [24, 2], but takes [2, 24] and [32, 2]"},
      {sound, {tensor(q + ".lora_a", {40, 24}), tensor(q + ".lora_b", {32, 40})}, "rank is 40"},
      {sound, {good[0], good[1], tensor("blk.0.attn_q.weight", {2})}, "tensor \"blk.0.attn_q.weight\" is of no layer"},
      {sound,
       {tensor("blk.7.attn_q.weight.lora_a", {2, 24})},
       "the model has no layer \"model.layers.7.self_attn.q_proj\""},
      {sound, {tensor("blk.0.ssm_in.weight.lora_a", {2, 24})}, "tensor \"blk.0.ssm_in.weight.lora_a\" is of no layer"},
      {sound,
       {tensor("token_embd.weight.lora_a", {30, 2}), tensor("token_embd.weight.lora_b", {24, 2})},
       "layer \"model.embed_tokens\" is no linear layer"},
      {sound,
       {tensor("blk.0.attn_norm.weight.lora_a", {2, 24})},
       "the model has no layer \"model.layers.0.input_layernorm\""},
  };
  CausalLM model = base("llama");
  const torch::Tensor plain = logits(model);
  for (const auto& row : rows) {
    write_gguf(path, row.metadata, row.tensors);
    const std::string error = error_message([&] { load_gguf_adapter(path, model); });
    EXPECT_NE(error.find(row.says), std::string::npos) << row.says << "\n" << error;
    EXPECT_TRUE(error.starts_with("FormatError: ")) << error;
    EXPECT_TRUE(adapters(*model).empty());
  }
  write_gguf(path, with("adapter.lora.alpha", 0.0f), good);
  load_gguf_adapter(path, model);  // llama.cpp then adds B A as it is
  for (const auto& [at, layer] : adaptable_layers(*model)) {
    const auto held = layer->adapter<LowRankAdapter>("default");
    if (held) {
      EXPECT_EQ(held->scale(), 1.0);
    }
  }
  EXPECT_NE(error_message([&] { load_gguf_adapter(path, model); }).find("\"default\""), std::string::npos);
  detach(*model, "default");
  EXPECT_TRUE(torch::equal(logits(model), plain));
}

TEST(GgufAdapter, OfAnotherBaseIsSaidToBe) {
  const TemporaryDirectory directory;
  CausalLM model = base("llama");
  attach(*model, {.rank = 2}, {.layers = {"q_proj"}});
  draw(model);
  save_gguf_adapter(directory / "a.gguf", model);
  torch::manual_seed(6);
  CausalLM other(small("llama"));
  const std::string warning = load_gguf_adapter(directory / "a.gguf", other).other_base;
  EXPECT_NE(warning.find("was trained on a base whose adapted weights have the fingerprint"), std::string::npos);
}

}  // namespace
}  // namespace graft::gguf_adapter_test
