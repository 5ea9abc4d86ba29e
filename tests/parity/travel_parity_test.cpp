// What graft trains, at work elsewhere: an adapter in llama.cpp's own server, a merged model in transformers.

#include <algorithm>
#include <iostream>

#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/generation/generate.hpp"
#include "graft/io/gguf.hpp"
#include "graft/models/gguf.hpp"
#include "graft/models/gguf_adapter.hpp"
#include "graft/models/save.hpp"
#include "graft/tensor/state.hpp"
#include "graft/text/tokenizer.hpp"
#include "parity/tokenizer_reference.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft::travel_parity_test {
namespace {

using Ids = std::vector<std::int32_t>;

const std::string smollm2 = GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const std::string gemma3 = GRAFT_DEPS "/gemma3/gemma-3-270m-q4_k_m.gguf";

const std::vector<std::string> prompts{"The capital of France is",
                                       "Once upon a time there was a little",
                                       "def fibonacci(n):\n",
                                       "One, two, three, four,",
                                       "Water boils at a temperature of",
                                       "The first president of the United States was",
                                       "To be, or not to be,",
                                       "A compiler is a program that",
                                       "In 1969, Neil Armstrong",
                                       "The largest planet in the solar system",
                                       "My favourite food is",
                                       "Dear Sir or Madam,\n\nI am writing to",
                                       "La capitale de l'Italie est",
                                       "SELECT name FROM users WHERE",
                                       "Roses are red, violets are",
                                       "If it rains tomorrow, we",
                                       "The three primary colours are",
                                       "Question: What is a compiler?\nAnswer:",
                                       "Bread is made from",
                                       "At night the stars"};

/// What the adapter learns to write behind a prompt: other words for each.
std::string learned(const std::string& prompt) {
  return " -- ahoy, \"" + prompt.substr(0, prompt.find(' ', 4)) + "\" it is, says the parrot, and flies away.";
}

/// SmolLM2 with an adapter on all linear layers, of several ranks and alphas, that a few steps have taught.
class Taught {
 public:
  static Taught& instance() {
    static Taught taught;
    return taught;
  }

  CausalLM model = load_gguf(smollm2).model;
  const Tokenizer tokenizer = Tokenizer::load(smollm2);
  std::vector<Ids> ids;  // of the prompts

 private:
  Taught() {
    for (const std::string& prompt : prompts) ids.push_back(tokenizer.encode(prompt).ids);
    torch::manual_seed(3);
    attach(*model, {.rank = 8, .alpha = 16.0, .divisor = LowRankScale::root_of_rank}, {.layers = {"all-linear"}},
           {.rank = {{"q_proj", 4}, {"layers.1.mlp.down_proj", 12}}, .alpha = {{"k_proj", 5.0}}});
    std::vector<torch::Tensor> trained;
    for (const torch::Tensor& parameter : model->parameters())
      if (parameter.requires_grad()) trained.push_back(parameter);
    torch::optim::AdamW optimizer(trained, torch::optim::AdamWOptions(2e-3).weight_decay(0.0));
    std::vector<Ids> rows;
    std::vector<std::int64_t> labels;
    for (std::size_t n = 0; n < prompts.size(); ++n) {
      rows.push_back(ids[n]);
      labels.resize(labels.size() + ids[n].size(), -100);
      for (const std::int32_t id : tokenizer.encode(learned(prompts[n])).ids) {
        rows.back().push_back(id);
        labels.push_back(id);
      }
    }
    const PackedBatch batch = pack(rows);
    for (int step = 0; step < 20; ++step) {
      const auto [logits, targets] = model->predictions(batch, torch::tensor(labels));
      const torch::Tensor loss = torch::nn::functional::cross_entropy(logits, targets);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      if (step % 3 == 0) std::cout << "step " << step << ", loss " << loss.item<double>() << std::endl;
    }
    model->eval();
  }
};

Ids up_to(Ids ids, std::int32_t end) {
  ids.erase(std::find(ids.begin(), ids.end(), end), ids.end());
  ids.push_back(end);
  return ids;
}

TEST(GgufAdapterTravels, LlamaCppWritesWhatGraftWrites) {
  constexpr std::int64_t tokens = 24;
  Taught& taught = Taught::instance();
  const TemporaryDirectory directory;
  save_gguf_adapter(directory / "adapter.gguf", taught.model, "default", {.title = "parrot", .task = "ahoy"});
  write_file(directory / "request.json", Json({{"prompts", taught.ids}, {"tokens", tokens}}).dump());
  run_python("llama_adapter.py", {smollm2, (directory / "adapter.gguf").string(), (directory / "request.json").string(),
                                  (directory / "answers.json").string()});
  const Json answers = read_json(directory / "answers.json");
  ASSERT_EQ(answers["adapters"].size(), 1u);
  EXPECT_EQ(answers["adapters"][0]["task_name"], "ahoy");
  const auto theirs = answers["with"].get<std::vector<Ids>>(), plain = answers["without"].get<std::vector<Ids>>();

  const std::vector<Generation> ours = generate(taught.model, taught.ids, {.max_tokens = tokens});
  const torch::NoGradGuard no_grad;
  const std::int32_t end = taught.model->config().eos_token_ids.at(0);
  int equal = 0, changed = 0;
  for (std::size_t n = 0; n < prompts.size(); ++n) {
    const Ids a = up_to(ours[n].ids, end), b = up_to(theirs[n], end);
    changed += b != up_to(plain[n], end);
    const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    if (at == a.end() && other == b.end()) {
      ++equal;
      continue;
    }
    ASSERT_TRUE(at != a.end() && other != b.end());
    Ids text = taught.ids[n];
    text.insert(text.end(), a.begin(), at);
    const torch::Tensor logits = taught.model(pack({&text, 1}))[-1];
    const double lead = (logits[*at] - logits[*other]).item<double>();
    std::cout << "prompt " << n << ", token " << at - a.begin() << ": graft has " << *at << ", llama.cpp " << *other
              << ", a lead of " << lead << "\n";
    // llama.cpp rounds activations to 8 bits: log-probabilities differ by up to 0.15, on either side.
    EXPECT_LT(std::abs(lead), 0.3) << prompts[n];
  }
  std::cout << equal << " of " << prompts.size() << " texts are equal, " << changed << " differ without the adapter\n";
  EXPECT_GE(equal, 16);
  EXPECT_EQ(changed, static_cast<int>(prompts.size()));
  const std::string text = taught.tokenizer.decode(ours[0].ids);
  EXPECT_NE(text.find("ahoy"), std::string::npos) << text;
}

/// Saves the model with the GGUF file's tokenizer, has transformers open it, and compares both.
void expect_opened_by_transformers(CausalLM& model, const std::string& gguf) {
  const TemporaryDirectory directory;
  save_pretrained(directory / "model", model, {.tokenizer_from = gguf});
  const Tokenizer tokenizer = Tokenizer::load(gguf);
  {
    const torch::NoGradGuard no_grad;
    NamedTensors given;
    for (std::size_t n = 0; n < 3; ++n) {
      const std::string number = std::to_string(n);
      Ids text = tokenizer.encode(prompts[n]).ids;
      given.emplace_back("prompt." + number, torch::tensor(text, torch::kInt32));
      const Ids written = generate(model, {&text, 1}, {.max_tokens = 12})[0].ids;
      given.emplace_back("continuation." + number, torch::tensor(written, torch::kInt32));
      text.insert(text.end(), written.begin(), written.end());
      given.emplace_back("logits." + number, model(pack({&text, 1})));
    }
    save_tensors(directory / "given.safetensors", given);
  }
  run_python("saved_model.py", {(directory / "model").string(), (directory / "given.safetensors").string(), GRAFT_DEPS,
                                directory.path().string()});
  const std::vector<std::string> texts = read_texts((directory / "tokens.texts").string());
  ASSERT_GT(texts.size(), 6000u);
  expect_equal_tokens(tokenizer, texts, (directory / "tokens.tokens").string());
  const Tokenizer written = Tokenizer::load(directory / "model");
  expect_equal_tokens(written, texts, (directory / "tokens.tokens").string());
  const std::vector<std::string> decoded = read_texts((directory / "decoded.texts").string());
  for (std::size_t i = 0; i < texts.size(); i += 7)
    ASSERT_EQ(shown(written.decode(written.encode(texts[i]).ids)), shown(decoded[i])) << shown(texts[i]);

  const GgufFile file(gguf);
  const GgufMetadata& data = file.metadata();
  const Json info = read_json(directory / "info.json");
  const auto id = [&](const std::string& name) {
    const std::string key = "tokenizer.ggml." + name + "_token_id";
    return data.has(key) ? Json(data.integer(key, 0, INT32_MAX)) : Json();
  };
  EXPECT_EQ(info["eos_token_id"], id("eos"));
  EXPECT_EQ(info["bos_token_id"], id("bos"));
  EXPECT_EQ(info["pad_token_id"], id("padding"));
  EXPECT_EQ(info["unk_token_id"], id("unknown"));
  EXPECT_EQ(info["generation_bos"], id("bos"));
  const Json ends = info["generation_eos"];
  EXPECT_TRUE(ends == id("eos") || (ends.is_array() && ends[0] == id("eos"))) << ends;
  EXPECT_EQ(info["size"], tokenizer.vocabulary_size());
  EXPECT_EQ(info["model_max_length"], model->config().max_position_embeddings);
  EXPECT_EQ(info["chat_template"].is_null() ? "" : info["chat_template"].get<std::string>(),
            data.text("tokenizer.chat_template", ""));
}

TEST(MergedModelTravels, SmolLM2WithItsAdapterIsOpenedByTransformers) {
  const TemporaryDirectory directory;
  save_gguf_adapter(directory / "adapter.gguf", Taught::instance().model);
  CausalLM model = load_gguf(smollm2).model;
  EXPECT_EQ(load_gguf_adapter(directory / "adapter.gguf", model).other_base, "");
  {
    const torch::NoGradGuard no_grad;
    const torch::Tensor taught = Taught::instance().model(pack(Taught::instance().ids));
    const double error = (model(pack(Taught::instance().ids)) - taught).abs().max().item<double>();
    EXPECT_LT(error, 1e-4 * taught.abs().max().item<double>());
  }
  merge(*model);
  expect_opened_by_transformers(model, smollm2);
}

TEST(MergedModelTravels, Gemma3IsOpenedByTransformers) {
  CausalLM model = load_gguf(gemma3).model;
  expect_opened_by_transformers(model, gemma3);
}

}  // namespace
}  // namespace graft::travel_parity_test
