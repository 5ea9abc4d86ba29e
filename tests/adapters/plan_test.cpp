#include "graft/adapters/plan.hpp"

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "graft/tensor/state.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

struct BertSizes {
  std::int64_t vocab_size = 30522;
  std::int64_t hidden_size = 768;
  std::int64_t num_hidden_layers = 12;
  std::int64_t intermediate_size = 3072;
  std::int64_t max_position_embeddings = 512;
  std::int64_t type_vocab_size = 2;
};

const BertSizes base;
const BertSizes large{.hidden_size = 1024, .num_hidden_layers = 24, .intermediate_size = 4096};
const BertSizes mini_lm{.hidden_size = 384, .num_hidden_layers = 6, .intermediate_size = 1536};

std::int64_t trained(const BertSizes& sizes, std::int64_t rank, const std::vector<std::string>& layers,
                     std::int64_t labels = 0, const std::vector<std::string>& excluded = {}) {
  return plan(bert_shape(sizes, labels),
              {.adapter = LoraOptions{.rank = rank}, .targets = {.layers = layers, .excluded = excluded}})
      .parameters.all.trained;
}

TEST(Plan, FullModelsHaveTheirPublishedSizes) {
  EXPECT_EQ(plan(bert_shape(base, 0)).parameters.all.total(), 109'482'240);
  EXPECT_EQ(plan(bert_shape(large, 0)).parameters.all.total(), 335'141'888);
  EXPECT_EQ(plan(bert_shape(mini_lm, 2)).parameters.all.trained, 22'713'986);
  EXPECT_EQ(plan(bert_shape(BertSizes{.hidden_size = 256, .num_hidden_layers = 4, .intermediate_size = 1024}, 0))
                .parameters.all.total(),
            11'170'560);
  EXPECT_EQ(plan(bert_shape(BertSizes{.hidden_size = 128, .num_hidden_layers = 2, .intermediate_size = 512}, 0))
                .parameters.all.total(),
            4'385'920);
}

// The counts that PEFT prints for the same targets.
TEST(Plan, LowRankCountsAreThoseOfPeft) {
  const std::vector<std::string> qv{"query", "value"};
  const std::vector<std::string> qkvo{"query", "key", "value", "attention.output.dense"};
  const std::vector<std::int64_t> ranks{1, 4, 8, 16, 64};
  const std::vector<std::int64_t> base_qv{36'864, 147'456, 294'912, 589'824, 2'359'296};
  const std::vector<std::int64_t> base_qkvo{73'728, 294'912, 589'824, 1'179'648, 4'718'592};
  const std::vector<std::int64_t> base_six{165'888, 663'552, 1'327'104, 2'654'208, 10'616'832};
  const std::vector<std::int64_t> large_qv{98'304, 393'216, 786'432, 1'572'864, 6'291'456};
  const std::vector<std::int64_t> large_six{442'368, 1'769'472, 3'538'944, 7'077'888, 28'311'552};
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    EXPECT_EQ(trained(base, ranks[i], qv), base_qv[i]);
    EXPECT_EQ(trained(base, ranks[i], qkvo), base_qkvo[i]);
    EXPECT_EQ(trained(base, ranks[i], {"all-linear"}, 0, {"pooler.dense"}), base_six[i]);
    EXPECT_EQ(trained(large, ranks[i], qv), large_qv[i]);
    EXPECT_EQ(trained(large, ranks[i], {"all-linear"}, 0, {"pooler.dense"}), large_six[i]);
  }
  EXPECT_EQ(trained(base, 8, {"all-linear"}), 1'339'392);
  EXPECT_EQ(trained(base, 8, qv, 2), 296'450);
  EXPECT_EQ(trained(mini_lm, 8, qv, 2), 74'498);
  EXPECT_EQ(trained(mini_lm, 8, {"all-linear"}, 2), 338'690);
}

TEST(Plan, BytesOfWeightsGradientsAndOptimizer) {
  const Plan full = plan(bert_shape(base, 0));
  EXPECT_NEAR(static_cast<double>(full.bytes()) / (1 << 20), 1670.6, 0.05);
  const Plan lora = plan(bert_shape(base, 2), {.adapter = LoraOptions{}, .targets = {.layers = {"query", "value"}}});
  EXPECT_EQ(lora.gradient_bytes, 4 * 296'450);
  EXPECT_EQ(lora.optimizer_bytes, 8 * 296'450);
  EXPECT_NEAR(static_cast<double>(lora.bytes()) / (1 << 20), 422.2, 0.05);
  const Plan half =
      plan(bert_shape(base, 2), {.adapter = LoraOptions{}, .targets = {.layers = {"query"}}, .weight_bytes = 2});
  EXPECT_EQ(half.weight_bytes, 2 * (109'482'240 + 1538) + 4 * 147'456);
}

TEST(Plan, AnswersForGpt3WithoutItsWeights) {
  const Plan full = plan(gpt_shape());
  const Plan lora = plan(gpt_shape(), {.adapter = LoraOptions{.rank = 4}, .targets = {.layers = {"q_proj", "v_proj"}}});
  EXPECT_NEAR(static_cast<double>(full.parameters.all.total()), 174.6e9, 0.05e9);
  EXPECT_EQ(lora.parameters.all.trained, 96 * 2 * 4 * 2 * 12288) << "18.9 M: table 5 of the LoRA paper calls it 18 M";
  EXPECT_EQ(lora.optimizer_bytes, 8 * lora.parameters.all.trained);
}

struct SmallImpl : torch::nn::Module {
  SmallImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(30, 8)));
    conv = register_module("conv", Conv1d(torch::nn::Conv1dOptions(8, 6, 3)));
    query = register_module("query", Linear(torch::nn::LinearOptions(6, 6).bias(false)));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({6})));
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(6, 2)));
    tied = register_module("tied", Embedding(torch::nn::EmbeddingOptions(30, 8)));
    tied->weight = tied->register_parameter("again", words->weight);
  }
  Embedding words = nullptr, tied = nullptr;
  Conv1d conv = nullptr;
  Linear query = nullptr, classifier = nullptr;
  torch::nn::LayerNorm norm = nullptr;
};

TEST(Plan, OfAModelsShapeAgreesWithTheModelItself) {
  SmallImpl model;
  const Targets targets{.layers = {"words", "conv", "query"}};
  const ModelShape shape = shape_of(model);
  const Plan full = plan(shape);
  EXPECT_EQ(full.parameters.all.trained, count_parameters(model).all.trained);
  const Plan lora = plan(shape, {.adapter = LoraOptions{.rank = 2}, .targets = targets});
  attach(model, {.rank = 2}, targets);
  const ParameterReport counted = count_parameters(model);
  EXPECT_EQ(lora.parameters.all.trained, counted.all.trained);
  EXPECT_EQ(lora.parameters.all.frozen, counted.all.frozen);
  EXPECT_EQ(lora.parameters.all.stored, counted.all.stored);
  EXPECT_EQ(plan(shape_of(model)).parameters.all.trained, full.parameters.all.trained)
      << "adapters are not of the shape";
}

TEST(Plan, FileSizeIsThatOfTheFileWritten) {
  const TemporaryDirectory directory;
  torch::nn::Sequential model(torch::nn::Linear(40, 50), torch::nn::Linear(50, 7));
  save_tensors(directory / "model.safetensors", named_tensors(*model));
  EXPECT_EQ(plan(shape_of(*model)).file_bytes,
            static_cast<std::int64_t>(std::filesystem::file_size(directory / "model.safetensors")));
}

TEST(Plan, BadInputIsRefusedAsAttachWould) {
  const ModelShape model = bert_shape(mini_lm, 2);
  EXPECT_EQ(error_message(
                [&] { plan(model, {.adapter = LoraOptions{.rank = 400}, .targets = {.layers = {"pooler.dense"}}}); }),
            "OptionError: rank is 400 for layer \"bert.pooler.dense\" [384, 384]; choose 1 to 384");
  EXPECT_EQ(error_message([&] { plan(model, {.adapter = LoraOptions{}, .targets = {.layers = {"qeury"}}}); }),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"qeury\" matches nothing; nearest: \"query\", \"key\", \"dense\"");
  EXPECT_EQ(error_message([&] {
              plan({{"a", LayerShape::Kind::linear, {0, 4}}});
            }),
            "OptionError: layer \"a\" has a size of 0; sizes start at 1");
}

TEST(Plan, SummaryIsReadable) {
  EXPECT_EQ(
      plan(bert_shape(mini_lm, 2), {.adapter = LoraOptions{}, .targets = {.layers = {"query", "value"}}}).summary(),
      "parameters  22,787,714, trained 74,498 (0.3269 %)\n"
      "weights     86.9 MiB\n"
      "gradients   291.0 KiB\n"
      "optimizer   582.0 KiB\n"
      "saved file  294.5 KiB\n");
}

TEST(Parameters, CountsByLayerAndTable) {
  torch::nn::Sequential model;
  model->push_back("query", Linear(torch::nn::LinearOptions(30, 40)));
  model->push_back("classifier", Linear(torch::nn::LinearOptions(40, 2)));
  EXPECT_EQ(count_parameters(*model).all.stored, 30 * 40 + 40 + 82);
  attach(*model, {.rank = 2}, {.layers = {"query"}});
  EXPECT_EQ(count_parameters(*model).table(),
            "layer                trained            frozen            stored\n"
            "query                    140             1,240               140\n"
            "classifier                82                 0                82\n"
            "all                      222             1,240               222  trained 15.1847 %\n");
  EXPECT_EQ(base_tensors(*model).size(), 4u);
}

}  // namespace
}  // namespace graft
