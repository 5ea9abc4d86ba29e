#include "graft/ops/activation_checkpoint.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/ops/dropout.hpp"
#include "graft/ops/linear.hpp"
#include "support/error_message.hpp"

namespace graft::activation_checkpoint {
namespace {

/// Two linear layers of one width, with graft's dropout and LibTorch's between them.
struct Block {
  torch::Tensor first, second;
  double chance = 0.3;
  mutable int runs = 0;

  explicit Block(std::int64_t width, torch::ScalarType type = torch::kFloat) {
    first = torch::randn({width, width}, type).requires_grad_();
    second = torch::randn({width, width}, type).requires_grad_();
  }
  at::Tensor operator()(const at::Tensor& x) const {
    ++runs;
    const at::Tensor hidden = graft::dropout(torch::tanh(graft::linear(x, first)), chance);
    return x + torch::dropout(graft::linear(hidden, second), chance, /*train=*/true);
  }
};

/// The result, gradients of input and weights of two blocks, and what the generator gives afterwards.
std::vector<torch::Tensor> through(bool keeps_little, const std::vector<const Block*>& blocks, bool train_input) {
  torch::manual_seed(11);
  torch::Tensor input = torch::randn({6, blocks[0]->first.size(0)}).requires_grad_(train_input), x = input;
  for (const Block* block : blocks)
    x = keeps_little ? checkpointed([block](const at::Tensor& y) { return (*block)(y); }, x) : (*block)(x);
  const torch::Tensor drawn = torch::rand({3});
  (x * x).sum().backward();
  std::vector<torch::Tensor> all{x.detach(), drawn, torch::rand({3})};
  if (train_input) all.push_back(input.grad());
  for (const Block* block : blocks) {
    for (const torch::Tensor& weight : {block->first, block->second}) {
      if (weight.grad().defined()) all.push_back(weight.grad().clone());
      weight.mutable_grad() = torch::Tensor();
    }
  }
  return all;
}

TEST(ActivationCheckpoint, GradientsAndDrawsAreBitForBitThoseOfThePlainCall) {
  torch::manual_seed(3);
  const Block one(40), two(40);
  for (const bool train_input : {true, false}) {
    const auto plain = through(false, {&one, &two}, train_input), little = through(true, {&one, &two}, train_input);
    ASSERT_EQ(plain.size(), little.size());
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(little[i].equal(plain[i])) << train_input << " " << i;
  }
}

TEST(ActivationCheckpoint, AWeightOfTwoBlocksGetsBothGradients) {
  torch::manual_seed(4);
  const Block one(24);
  const auto plain = through(false, {&one, &one}, false), little = through(true, {&one, &one}, false);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(little[i].equal(plain[i])) << i;
}

TEST(ActivationCheckpoint, RunsOnceWhereNothingIsTrainedAndNothingBeforeItRunsAgain) {
  torch::manual_seed(5);
  Block frozen(16), trained(16);
  frozen.first.requires_grad_(false);
  frozen.second.requires_grad_(false);
  const auto all = through(true, {&frozen, &trained}, false);
  EXPECT_EQ(frozen.runs, 1);
  EXPECT_EQ(trained.runs, 2);
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(checkpointed([&](const at::Tensor& x) { return trained(x); }, torch::ones({2, 16})).requires_grad());
  EXPECT_EQ(trained.runs, 3);
}

TEST(ActivationCheckpoint, TakesSeveralInputsOfWhichSomeAreNotTrained) {
  torch::manual_seed(6);
  const torch::Tensor a = torch::randn({3, 4}, torch::kDouble).requires_grad_();
  const torch::Tensor index = torch::tensor({2, 0}), b = torch::randn({2, 4}, torch::kDouble).requires_grad_();
  const auto function = [](const std::vector<at::Tensor>& in) {
    return (in[0].index_select(0, in[1]) * in[2]).exp().sum(1);
  };
  const auto gradients = [&](const torch::Tensor& y) { return torch::autograd::grad({y.sum()}, {a, b}); };
  const auto plain = gradients(function({a, index, b})), little = gradients(checkpointed(function, {a, index, b}));
  for (int i : {0, 1}) EXPECT_TRUE(little[i].equal(plain[i]));
}

TEST(ActivationCheckpoint, GivesItsMemoryBackAndKeepsTheInputAlone) {
  const torch::Tensor weight = torch::ones({}).requires_grad_(), x = torch::ones({4});
  c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> between(torch::Tensor().getIntrusivePtr());
  const torch::Tensor y = checkpointed(
      [&](const at::Tensor& in) {
        const torch::Tensor middle = (in * weight).exp();  // exp keeps its result for backward
        between = decltype(between)(middle.getIntrusivePtr());
        return middle * weight;
      },
      x);
  EXPECT_TRUE(between.expired());
  y.sum().backward();
  EXPECT_TRUE(between.expired());
  EXPECT_FLOAT_EQ(weight.grad().item<float>(), 4 * 2 * std::exp(1.0F));
}

TEST(ActivationCheckpoint, RefusesASecondDerivativeAndAParameterWrittenToInBetween) {
  const torch::Tensor x = torch::ones({2}).requires_grad_();
  torch::Tensor weight = torch::ones({2}).requires_grad_();
  const auto function = [&](const at::Tensor& in) { return in * in * weight; };
  const torch::Tensor twice = checkpointed(function, x).sum();
  EXPECT_EQ(error_message([&] { torch::autograd::grad({twice}, {x}, {}, true, true); }),
            "StateError: activation checkpointing has no second derivative; run backward with create_graph = false");
  const torch::Tensor written = checkpointed(function, x).sum();
  {
    const torch::NoGradGuard no_grad;
    weight.add_(1);
  }
  EXPECT_THROW(written.backward(), c10::Error);
}

}  // namespace
}  // namespace graft::activation_checkpoint
