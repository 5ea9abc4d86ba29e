// graft's causal language models against transformers' on the same weights. The error of a tensor is
// max |ours - theirs| / max |theirs|, in float32.

#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/generation/generate.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/gguf.hpp"
#include "graft/models/load.hpp"
#include "graft/models/save.hpp"
#include "graft/tensor/state.hpp"
#include "graft/text/tokenizer.hpp"
#include "support/python.hpp"
#include "support/safetensors.hpp"
#include "support/temporary_directory.hpp"

namespace graft::causal_parity_test {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;
using Ids = std::vector<std::int32_t>;

double relative_error(const torch::Tensor& ours, const torch::Tensor& theirs) {
  EXPECT_EQ(ours.sizes(), theirs.sizes());
  return ((ours - theirs).abs().max() / theirs.abs().max()).item<double>();
}

Ids ids_of(const torch::Tensor& tensor) {
  const torch::Tensor ids = tensor.to(torch::kInt32).contiguous();
  return {ids.const_data_ptr<std::int32_t>(), ids.const_data_ptr<std::int32_t>() + ids.numel()};
}

std::vector<Ids> sequences_of(const Tensors& tensors) {
  const torch::Tensor offsets = tensors.at("offsets");
  std::vector<Ids> sequences;
  for (std::int64_t n = 0; n + 1 < offsets.size(0); ++n)
    sequences.push_back(
        ids_of(tensors.at("ids").slice(0, offsets[n].item<std::int64_t>(), offsets[n + 1].item<std::int64_t>())));
  return sequences;
}

/// What causal_models.py made, once for all tests.
const std::filesystem::path& reference() {
  static const TemporaryDirectory directory;
  static const bool made = [] {
    run_python("causal_models.py", {directory.path().string()});
    return true;
  }();
  EXPECT_TRUE(made);
  return directory.path();
}

class CausalModels : public testing::TestWithParam<const char*> {
 protected:
  CausalLM load() const { return load_pretrained<CausalLM>(reference() / GetParam()).model; }
  Tensors expected() const { return read_all(reference() / (std::string(GetParam()) + ".safetensors")); }
};

TEST_P(CausalModels, LogitsAreThoseOfTransformers) {
  const torch::NoGradGuard no_grad;
  const Tensors theirs = expected();
  CausalLM model = load();
  const torch::Tensor packed = model(pack(sequences_of(theirs)));
  EXPECT_LT(relative_error(packed, theirs.at("logits")), 1e-5);
  std::vector<torch::Tensor> alone;
  for (const Ids& ids : sequences_of(theirs)) alone.push_back(model(pack({&ids, 1})));
  EXPECT_LT(relative_error(packed, torch::cat(alone)), 1e-5);
}

TEST_P(CausalModels, LossAndEveryGradientAreThoseOfTransformers) {
  const Tensors theirs = expected();
  CausalLM model = load();
  const auto [logits, targets] = model->predictions(pack(sequences_of(theirs)), theirs.at("labels"));
  const torch::Tensor loss = torch::nn::functional::cross_entropy(logits, targets);
  EXPECT_LT(relative_error(loss, theirs.at("loss")), 1e-6);
  loss.backward();
  std::size_t gradients = 0;
  for (const auto& parameter : model->named_parameters()) {
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    torch::Tensor theirs_of_it = theirs.at("gradient." + parameter.key());
    if (model->config().weight_names().is_transposed(parameter.key())) theirs_of_it = theirs_of_it.t();
    EXPECT_LT(relative_error(parameter->grad(), theirs_of_it), 1e-4) << parameter.key();
    ++gradients;
  }
  EXPECT_EQ(gradients,
            std::ranges::count_if(theirs, [](const auto& entry) { return entry.first.starts_with("gradient."); }));
}

TEST_P(CausalModels, GreedyTextIsThatOfTransformersWithAndWithoutCache) {
  const torch::NoGradGuard no_grad;
  const Tensors theirs = expected();
  CausalLM model = load();
  const std::vector<Ids> prompts = sequences_of(theirs);
  const std::vector<Generation> cached = generate(model, prompts, {.max_tokens = 40, .stop_at_eos = false});
  for (std::size_t n = 0; n < prompts.size(); ++n) {
    const Ids wanted = ids_of(theirs.at("greedy." + std::to_string(n)));
    ASSERT_EQ(wanted.size(), 40);
    EXPECT_EQ(cached[n].ids, wanted) << "sequence " << n;
    Ids text = prompts[n], uncached;
    while (uncached.size() < wanted.size()) {
      uncached.push_back(model(pack({&text, 1}))[-1].argmax().item<std::int32_t>());
      text.push_back(uncached.back());
    }
    EXPECT_EQ(uncached, wanted) << "sequence " << n << ", without cache";
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CausalModels,
                         testing::Values("llama_untied", "llama_tied", "llama_stretched", "llama_linear", "qwen2",
                                         "qwen2_window", "qwen3", "gemma3", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(SavedCausalModels, AreLoadedByTransformers) {
  const TemporaryDirectory saved;
  std::size_t models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(reference())) {
    if (!entry.is_directory()) continue;
    save_pretrained(saved / entry.path().filename().string(), load_pretrained<CausalLM>(entry.path()).model);
    ++models;
  }
  EXPECT_EQ(models, 9);
  run_python("causal_models.py", {reference().string(), saved.path().string()});
}

TEST(SavedCausalModels, AdaptersAreLoadedByPeft) {
  const TemporaryDirectory saved;
  for (const std::string name : {"llama_untied", "gemma3", "gpt2"}) {
    const torch::NoGradGuard no_grad;
    const Tensors theirs = read_all(reference() / (name + ".safetensors"));
    CausalLM model = load_pretrained<CausalLM>(reference() / name).model;
    const TargetReport report = attach(*model, {.rank = 3, .alpha = 6.0}, {.layers = {"all-linear"}});
    EXPECT_EQ(report.layers.size(), name == "gpt2" ? 3 * 4 : 3 * 7) << report.table();
    for (torch::Tensor& parameter : model->parameters())
      if (parameter.requires_grad()) parameter.normal_(0.0, 0.3);
    save_adapter(saved / name, *model, "default", {.task_type = "CAUSAL_LM", .fan_in_fan_out = name == "gpt2"});
    save_tensors(saved / (name + ".safetensors"), {{"logits", model(pack(sequences_of(theirs)))}});
  }
  run_python("causal_models.py", {reference().string(), saved.path().string(), "adapters"});
}

// ------------------------------------------------------------------------------------------- two real models, as GGUF

const std::vector<std::string> texts{"The capital of France is",
                                     "Once upon a time there was a little",
                                     "def fibonacci(n):\n",
                                     "1, 2, 3, 4, 5,",
                                     "Water boils at a temperature of",
                                     "The first president of the United States was",
                                     "To be, or not to be,",
                                     "#include <iostream>\n\nint main() {",
                                     "In 1969, Neil Armstrong",
                                     "The largest planet in the solar system",
                                     "My favourite food is",
                                     "E = mc^2 means that",
                                     "Dear Sir or Madam,\n\nI am writing to",
                                     "La capitale de l'Italie est",
                                     "SELECT name FROM users WHERE",
                                     "The mitochondria is the",
                                     "Roses are red, violets are",
                                     "If it rains tomorrow, we",
                                     "The three primary colours are",
                                     "Question: What is a compiler?\nAnswer:"};

/// Continues the texts and has causal_gguf.py compare with transformers: logits to 1e-4, and every token.
void expect_equal_to_transformers(const std::filesystem::path& file) {
  const torch::NoGradGuard no_grad;
  const Tokenizer tokenizer = Tokenizer::load(file);
  CausalLM model = load_gguf(file).model;
  std::vector<Ids> prompts;
  for (const std::string& text : texts) prompts.push_back(tokenizer.encode(text).ids);
  const std::vector<Generation> continued = generate(model, prompts, {.max_tokens = 16, .stop_at_eos = false});
  NamedTensors given;
  for (std::size_t n = 0; n < prompts.size(); ++n) {
    const std::string number = std::to_string(n);
    given.emplace_back("prompt." + number, torch::tensor(prompts[n], torch::kInt32));
    given.emplace_back("continuation." + number, torch::tensor(continued[n].ids, torch::kInt32));
    if (n < 3) given.emplace_back("logits." + number, model(pack({&prompts[n], 1})));
  }
  const TemporaryDirectory directory;
  save_tensors(directory / "given.safetensors", given);
  run_python("causal_gguf.py", {file.string(), (directory / "given.safetensors").string()});
}

TEST(GgufModels, SmolLM2IsThatOfTransformers) {
  expect_equal_to_transformers(GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
}

TEST(GgufModels, Gemma3IsThatOfTransformers) {
  expect_equal_to_transformers(GRAFT_DEPS "/gemma3/gemma-3-270m-q4_k_m.gguf");
}

}  // namespace
}  // namespace graft::causal_parity_test
