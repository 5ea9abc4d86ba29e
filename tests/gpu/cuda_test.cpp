// What graft computes on a GPU, beside what it computes on the CPU.

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/generation/generate.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/mpnet.hpp"
#include "graft/ops/attention.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"

#include "gpu/cuda.hpp"

namespace graft {
namespace {

const std::vector<std::vector<std::int32_t>> texts{{2, 7, 9, 3}, {2, 3}, {2, 30, 31, 32, 33, 34, 3}};

TEST_F(Cuda, AttentionAndItsGradientsAreThoseOfTheCpu) {
  const torch::Tensor offsets = torch::tensor({0, 5, 5, 22, 86}, torch::kInt64);
  // Rounding of the format, a few units; float16 and bfloat16 run on flash attention.
  for (const auto& [type, tolerance] : std::vector<std::pair<torch::ScalarType, double>>{
           {torch::kFloat32, 1e-5}, {torch::kBFloat16, 3e-2}, {torch::kFloat16, 4e-3}}) {
    for (const std::int64_t window : {-1, 0, 9}) {  // -1: not causal
      for (const bool biased : {false, true}) {
        std::vector<torch::Tensor> expected, got;
        const auto draw = [&](std::vector<std::int64_t> sizes) { return torch::randn(sizes).to(type); };
        const std::vector<torch::Tensor> inputs{draw({86, 4, 16}), draw({86, 2, 16}), draw({86, 2, 16}),
                                                draw({4, 127})};
        const torch::Tensor weights = torch::randn({86, 4, 16});
        const auto run = [&](torch::Device device, torch::ScalarType computed, const Offsets& offsets) {
          std::vector<torch::Tensor> in;
          for (const torch::Tensor& x : inputs) in.push_back(x.to(device, computed).requires_grad_(true));
          if (!biased) in.pop_back();
          const torch::Tensor y = attention(in[0], in[1], in[2], offsets,
                                            {.causal = window >= 0, .window = std::max<std::int64_t>(window, 0)},
                                            biased ? in[3] : torch::Tensor());
          auto results = torch::autograd::grad({(y.to(torch::kFloat32) * weights.to(device)).sum()}, in);
          results.push_back(y);
          return results;
        };
        const auto theirs = run(torch::kCPU, torch::kFloat32, offsets);
        for (const Offsets& given : {Offsets(offsets), Offsets(offsets.to(torch::kCUDA), 64)}) {
          const auto ours = run(torch::kCUDA, type, given);
          for (std::size_t i = 0; i < ours.size(); ++i)
            EXPECT_LT(relative_error(ours[i], theirs[i]), tolerance)
                << type << " " << window << " " << biased << " " << given.longest << " " << i;
        }
      }
    }
  }
}

/// Loss of the first step, then each trained parameter and its gradient after it.
std::vector<std::pair<std::string, torch::Tensor>> step_of_lora(torch::Device device) {
  BertForSequenceClassification model = small_lora();
  model->to(device);
  const NamedTensors trained = trained_parameters(*model);
  AdamW optimizer({ParameterGroup{.parameters = trained, .lr = 1e-2}});
  const torch::Tensor loss =
      cross_entropy(model(pack(texts).to(device)), torch::tensor({0, 1, 1}, torch::kInt64).to(device)).mean();
  loss.backward();
  std::vector<std::pair<std::string, torch::Tensor>> results{{"loss", loss}};
  for (const auto& [name, parameter] : trained) results.emplace_back("gradient of " + name, parameter.grad().clone());
  optimizer.step(1.0, gradient_scale(trained, 1.0, 1.0).divisor);
  for (const auto& [name, parameter] : trained) results.emplace_back(name, parameter);
  return results;
}

TEST_F(Cuda, AStepOfLoraOnBertIsThatOfTheCpu) {
  const auto ours = step_of_lora(torch::kCUDA), theirs = step_of_lora(torch::kCPU);
  ASSERT_EQ(ours.size(), theirs.size());
  // float32 through two layers; Adam's first step divides a gradient by its own size, which doubles no error.
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_LT(relative_error(ours[i].second, theirs[i].second), 1e-4) << ours[i].first;
}

TEST_F(Cuda, MpnetIsThatOfTheCpu) {
  auto config = small_encoder<MpnetConfig>(24);
  config.initializer_range = 0.3;
  MpnetModel model(config);
  model->eval();
  const torch::NoGradGuard no_grad;
  const torch::Tensor expected = model->hidden(pack(texts));
  model->to(torch::kCUDA);
  EXPECT_LT(relative_error(model->hidden(pack(texts).to(torch::kCUDA)), expected), 1e-5);
}

TEST_F(Cuda, GreedyTextsAreThoseOfTheCpu) {
  CausalConfig config;
  config.vocab_size = 50;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.max_position_embeddings = 40;
  config.initializer_range = 0.5;
  CausalLM model(config);
  model->eval();
  const std::vector<Generation> expected = generate(model, texts, {.max_tokens = 20});
  model->to(torch::kCUDA);
  const std::vector<Generation> got = generate(model, texts, {.max_tokens = 20});
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(got[i].ids, expected[i].ids) << i;
}

}  // namespace
}  // namespace graft
