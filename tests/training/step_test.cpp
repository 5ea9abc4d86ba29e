#include "graft/training/step.hpp"

#include <gtest/gtest.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "graft/training/libtorch_optimizer.hpp"

namespace graft::step_test {
namespace {

/// A linear layer whose weight is of 16 bits, and eight batches [5, 6] of small whole numbers: each batch's gradient is
/// exact in 16 bits, their sum is not.
struct Task {
  torch::nn::Linear layer{torch::nn::LinearOptions(6, 3).bias(false)};
  std::vector<torch::Tensor> batches;

  explicit Task(torch::ScalarType type) {
    torch::manual_seed(5);
    torch::nn::init::normal_(layer->weight);
    layer->to(torch::kBFloat16);
    layer->to(type);
    for (int i = 0; i < 8; ++i) batches.push_back(torch::randint(5, 30, {5, 6}).to(type));
  }
  Loss loss(const torch::Tensor& batch) {
    return {torch::linear(batch, layer->weight).to(torch::kDouble).sum(), static_cast<double>(batch.size(0))};
  }
};

TEST(MakeGradients, OfSixteenBitsAreSummedOverBatchesInFloat32) {
  Task narrow(torch::kBFloat16), wide(torch::kDouble);
  AdamW narrow_optimizer(decay_groups(*narrow.layer, 1e-3, 0.0)), wide_optimizer(decay_groups(*wide.layer, 1e-3, 0.0));
  const StepGradients eight =
      make_gradients(narrow_optimizer, 8, [&](std::size_t i) { return narrow.loss(narrow.batches[i]); });
  const StepGradients one =
      make_gradients(wide_optimizer, 1, [&](std::size_t) { return wide.loss(torch::cat(wide.batches)); });
  const torch::Tensor sum = narrow.layer->weight.grad(), exact = wide.layer->weight.grad();
  EXPECT_EQ(sum.scalar_type(), torch::kFloat);
  EXPECT_TRUE(sum.to(torch::kDouble).equal(exact));
  EXPECT_FALSE(sum.to(torch::kBFloat16).to(torch::kDouble).equal(exact));  // what would be lost
  EXPECT_NEAR(eight.scale.norm.item<double>(), one.scale.norm.item<double>(), 1e-6 * one.scale.norm.item<double>());
  narrow_optimizer.step(1.0, eight.scale.divisor);
  wide_optimizer.step(1.0, one.scale.divisor);
  EXPECT_LT((narrow_optimizer.updated()[0].second - wide.layer->weight).abs().max().item<double>(), 1e-7);
  EXPECT_EQ(narrow.layer->weight.scalar_type(), torch::kBFloat16);
}

TEST(MakeGradients, OfOneBatchStayInTheParametersType) {
  Task narrow(torch::kBFloat16);
  AdamW optimizer(decay_groups(*narrow.layer, 1e-3, 0.0));
  make_gradients(optimizer, 1, [&](std::size_t) { return narrow.loss(narrow.batches[0]); });
  EXPECT_EQ(narrow.layer->weight.grad().scalar_type(), torch::kBFloat16);
  make_gradients(optimizer, 8, [&](std::size_t i) { return narrow.loss(narrow.batches[i]); });
  make_gradients(optimizer, 1, [&](std::size_t) { return narrow.loss(narrow.batches[0]); });
  EXPECT_EQ(narrow.layer->weight.grad().scalar_type(), torch::kBFloat16);
}

TEST(MakeGradients, SummedInFloat32GoIntoLibTorchsOptimizersToo) {
  for (const bool adam : {false, true}) {
    Task narrow(torch::kBFloat16);
    const std::vector<torch::Tensor> parameters{narrow.layer->weight};
    std::shared_ptr<torch::optim::Optimizer> theirs = std::make_shared<torch::optim::SGD>(parameters, 0.5);
    if (adam) theirs = std::make_shared<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(0.5));
    LibTorchOptimizer optimizer(*narrow.layer, theirs);
    const torch::Tensor before = narrow.layer->weight.detach().clone();
    for (int step = 0; step < 2; ++step) {
      const auto made = make_gradients(optimizer, 8, [&](std::size_t i) { return narrow.loss(narrow.batches[i]); });
      optimizer.step(1.0, made.scale.divisor);
    }
    EXPECT_TRUE(narrow.layer->weight.lt(before).all().item<bool>()) << adam;  // every gradient is positive
  }
}

}  // namespace
}  // namespace graft::step_test
