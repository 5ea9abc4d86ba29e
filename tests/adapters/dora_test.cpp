#include "graft/adapters/kinds/dora.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "graft/adapters/lora.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

/// Gives A, B and the magnitudes values of their own.
void randomise(DoraAdapter& adapter) {
  const torch::NoGradGuard no_grad;
  adapter.lora_A.normal_();
  adapter.lora_B.normal_();
  adapter.lora_magnitude_vector.uniform_(0.5, 2.0);
}

DoraAdapter& dora_of(const Adaptable& layer) { return *layer.adapter<DoraAdapter>("default"); }

TEST(Dora, FreshLayerEqualsItsBase) {
  torch::manual_seed(1);
  Dora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2});
  const auto x = torch::randn({3, 6});
  EXPECT_TRUE(torch::allclose(layer->forward(x), torch::linear(x, layer->weight, layer->bias), 1e-6, 1e-6));
}

TEST(Dora, OutputsAndGradientsAreThoseOfTheFormulaWithAConstantNorm) {
  torch::manual_seed(2);
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    Dora<torch::nn::Linear> layer(torch::nn::LinearOptions(70, 130), LoraOptions{.rank = 3, .alpha = 2});
    layer->to(type);
    DoraAdapter& adapter = dora_of(*layer);
    randomise(adapter);
    const auto x = torch::randn({4, 5, 70}, type).requires_grad_();
    const auto direction = torch::randn({4, 5, 130}, type);
    const std::vector<torch::Tensor> inputs = {x, adapter.lora_A, adapter.lora_B, adapter.lora_magnitude_vector};

    const auto W = layer->weight + adapter.scale() * adapter.lora_B.mm(adapter.lora_A);
    const auto norm = torch::linalg_norm(W, c10::nullopt, {1}).detach();
    const auto expected = torch::linear(x, W * (adapter.lora_magnitude_vector / norm).unsqueeze(1), layer->bias);
    const auto y = layer->forward(x);
    const double tolerance = type == torch::kFloat64 ? 1e-12 : 2e-5;  // sums of 130 products of either kind of number
    EXPECT_TRUE(torch::allclose(y, expected, tolerance, tolerance));
    const auto theirs = torch::autograd::grad({(expected * direction).sum()}, inputs);
    const auto ours = torch::autograd::grad({(y * direction).sum()}, inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_LT(((ours[i] - theirs[i]).abs().max() / theirs[i].abs().max()).item<double>(), tolerance) << i;
    }
  }
}

TEST(Dora, ALayerWithoutBiasHasItsGradients) {
  torch::manual_seed(7);
  Dora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5).bias(false), LoraOptions{.rank = 2, .alpha = 2});
  DoraAdapter& adapter = dora_of(*layer);
  randomise(adapter);
  const auto x = torch::randn({3, 6});
  const auto W = layer->weight + adapter.lora_B.mm(adapter.lora_A);
  const auto c = adapter.lora_magnitude_vector / torch::linalg_norm(W, c10::nullopt, {1}).detach();
  const std::vector<torch::Tensor> inputs = {adapter.lora_A, adapter.lora_B, adapter.lora_magnitude_vector};
  const auto expected = torch::linear(x, W * c.unsqueeze(1)), y = layer->forward(x);
  EXPECT_TRUE(torch::allclose(y, expected, 1e-5, 1e-5));
  const auto theirs = torch::autograd::grad({expected.square().sum()}, inputs);
  const auto ours = torch::autograd::grad({y.square().sum()}, inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(torch::allclose(ours[i], theirs[i], 1e-4, 1e-4)) << i;
}

TEST(Dora, NormsFollowWhatTheyAreMadeOf) {
  torch::manual_seed(3);
  Dora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2, .alpha = 2});
  DoraAdapter& adapter = dora_of(*layer);
  const auto x = torch::randn({3, 6});
  const torch::NoGradGuard no_grad;
  for (torch::Tensor changed : {layer->weight, adapter.lora_A, adapter.lora_B, adapter.lora_magnitude_vector}) {
    layer->forward(x);
    changed.normal_();
    const auto W = layer->weight + adapter.lora_B.mm(adapter.lora_A);
    const auto c = adapter.lora_magnitude_vector / torch::linalg_norm(W, c10::nullopt, {1});
    EXPECT_TRUE(torch::allclose(layer->forward(x), torch::linear(x, W * c.unsqueeze(1), layer->bias), 1e-5, 1e-5));
  }
}

TEST(Dora, MergesAndComesOffBitForBit) {
  torch::manual_seed(4);
  Dora<torch::nn::Conv2d> layer(torch::nn::Conv2dOptions(3, 4, 3).padding(1), LoraOptions{.rank = 2});
  randomise(dora_of(*layer));
  const auto x = torch::randn({2, 3, 5, 5});
  const auto before = layer->weight.detach().clone();
  const auto apart = layer->forward(x);
  const auto update = layer->update("default");
  EXPECT_FALSE(layer->update("default").requires_grad());
  layer->merge();
  EXPECT_TRUE(torch::allclose(layer->forward(x), apart, 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(layer->weight, before + update, 1e-6, 1e-6));
  layer->unmerge();
  EXPECT_TRUE(torch::equal(layer->weight, before));
  EXPECT_TRUE(torch::equal(layer->forward(x), apart));
}

TEST(Dora, SumsWithOtherAdaptersByWeight) {
  torch::manual_seed(5);
  Dora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2});
  randomise(dora_of(*layer));
  layer->add("plain", {.rank = 1, .bias = true});
  {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& factor : layer->adapter("plain")->parameters()) factor.normal_();
  }
  const auto x = torch::randn({3, 6});
  const auto base = torch::linear(x, layer->weight, layer->bias);
  layer->choose({{"default", 1.0}});
  const auto one = layer->forward(x) - base;
  layer->choose({{"plain", 1.0}});
  const auto other = layer->forward(x) - base;
  layer->choose({{"default", 0.5}, {"plain", 2.0}});
  const auto both = layer->forward(x);
  EXPECT_TRUE(torch::allclose(both, base + 0.5 * one + 2.0 * other, 1e-5, 1e-5));
  layer->merge();
  EXPECT_TRUE(torch::allclose(layer->forward(x), both, 1e-5, 1e-5));
}

TEST(Dora, ACloneHasItsOwnMagnitudes) {
  Dora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2});
  randomise(dora_of(*layer));
  const auto copy = std::dynamic_pointer_cast<AdaptableImpl<torch::nn::LinearImpl>>(layer->clone());
  const auto x = torch::randn({3, 6});
  EXPECT_TRUE(torch::equal(copy->forward(x), layer->forward(x)));
  const torch::NoGradGuard no_grad;
  dora_of(*copy).lora_magnitude_vector.zero_();
  EXPECT_FALSE(torch::equal(copy->forward(x), layer->forward(x)));
}

TEST(Dora, ABiasOnBIsRefused) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  EXPECT_EQ(
      error_message([&] { layer->add("default", DoraOptions({.rank = 9, .bias = true})); }),
      "OptionError: rank is 9 for this layer [5, 6]; choose 1 to 5; DoRA for this layer takes no bias on B; leave "
      "LoraOptions::bias off");
  EXPECT_TRUE(layer->adapters().empty());
}

TEST(LoraBias, IsAddedMergedAndTakenOffBitForBit) {
  torch::manual_seed(6);
  Lora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2, .alpha = 6, .bias = true});
  const auto x = torch::randn({3, 6});
  const auto base = layer->forward(x);
  const torch::NoGradGuard no_grad;
  layer->adapter<LowRankAdapter>("default")->lora_B_bias.fill_(1.0);
  const auto apart = layer->forward(x);
  EXPECT_TRUE(torch::allclose(apart, base + 3.0));
  const auto bias = layer->bias.clone();
  layer->merge();
  EXPECT_TRUE(torch::allclose(layer->forward(x), apart));
  EXPECT_TRUE(torch::allclose(layer->bias, bias + 3.0));
  layer->unmerge();
  EXPECT_TRUE(torch::equal(layer->bias, bias));

  Lora<torch::nn::Linear> bare(torch::nn::LinearOptions(6, 5).bias(false), LoraOptions{.rank = 2, .bias = true});
  EXPECT_EQ(
      error_message([&] { bare->merge(); }),
      "StateError: a layer [5, 6] has no bias that could take the one of its adapter's B; keep the adapter apart");
  Embedding words(torch::nn::EmbeddingOptions(6, 5));
  EXPECT_EQ(error_message([&] { words->add("a", {.rank = 2, .bias = true}); }),
            "OptionError: this layer: B has no place for a bias here; leave the layer out of the targets");
}

// Most layers of today's language models have none.
TEST(Dora, TrainsAndMergesALayerWithoutBias) {
  torch::manual_seed(2);
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    Linear layer(torch::nn::LinearOptions(6, 5).bias(false));
    layer->to(type);
    layer->add("a", DoraOptions({.rank = 2}));
    const auto x = torch::randn({3, 6}, type).requires_grad_(true);
    {
      const torch::NoGradGuard no_grad;
      layer->adapter<DoraAdapter>("a")->lora_B.normal_();
    }
    const auto W = layer->weight + layer->update("a");
    const auto plain = torch::mm(x, W.t());
    const auto y = layer(x);
    EXPECT_TRUE(torch::allclose(y, plain, 1e-4, 1e-5));
    y.square().sum().backward();
    EXPECT_TRUE(torch::allclose(x.grad(), torch::mm(2 * plain, W), 1e-3, 1e-4));
    for (const torch::Tensor& parameter : layer->adapter("a")->parameters()) EXPECT_TRUE(parameter.grad().defined());
    layer->merge();
    EXPECT_TRUE(torch::allclose(layer(x), y, 1e-4, 1e-5));
  }
}

}  // namespace
}  // namespace graft
