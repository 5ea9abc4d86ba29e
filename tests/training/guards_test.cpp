#include "graft/training/guards.hpp"

#include <limits>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/utils.h>

#include "graft/tensor/fingerprint.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

struct PairImpl : torch::nn::Module {
  PairImpl() {
    first = register_module("first", torch::nn::Linear(3, 3));
    second = register_module("second", torch::nn::Linear(3, 2));
  }
  torch::nn::Linear first{nullptr}, second{nullptr};
};
TORCH_MODULE(Pair);

void freeze(torch::nn::Module& module) {
  for (auto& parameter : module.parameters()) parameter.requires_grad_(false);
}

void add_one(const torch::Tensor& tensor) {
  const torch::NoGradGuard no_grad;
  tensor.add_(1.0);
}

TEST(RequireTrainedParameters, SaysHowManyAreFrozen) {
  Pair pair;
  require_trained_parameters(*pair);
  freeze(*pair);
  EXPECT_EQ(error_message([&] { require_trained_parameters(*pair); }),
            "TrainingError: nothing to train: none of the 4 parameters of the module requires a gradient; attach an "
            "adapter or unfreeze a layer");
}

TEST(RequireSameParameters, NamesWhatLacksAndWhatIsLeftOver) {
  Pair pair;
  const auto held = trained_parameters(*pair);
  require_same_parameters(*pair, held);
  freeze(*pair->first);
  pair->second->weight = pair->second->register_parameter("other", torch::ones({2, 3}));
  EXPECT_EQ(
      error_message([&] { require_same_parameters(*pair, held); }),
      "TrainingError: the optimizer holds other parameters than the module trains; it lacks \"second.other\"; the "
      "module does not train its \"first.weight\", \"first.bias\"; build the optimizer after the module is "
      "complete and in its place");
}

TEST(RequireSameParameters, TakesAnEqualTensorForAnother) {
  Pair pair;
  auto held = trained_parameters(*pair);
  held[0].second = held[0].second.detach().clone().requires_grad_();
  EXPECT_EQ(
      error_message([&] { require_same_parameters(*pair, held); }),
      "TrainingError: the optimizer holds other parameters than the module trains; it lacks \"first.weight\"; the "
      "module does not train its \"first.weight\"; build the optimizer after the module is complete and in its "
      "place");
}

TEST(RequireFiniteLoss, NamesStepAndRows) {
  const std::vector<std::int64_t> rows = {4, 17, 9};
  require_finite_loss(1e30, 1, rows);
  EXPECT_EQ(error_message([&] { require_finite_loss(std::nan(""), 12, rows); }),
            "TrainingError: the loss is nan in step 12, rows 4, 17, 9; look at these rows, or lower the learning rate");
  EXPECT_EQ(error_message([&] { require_finite_loss(std::numeric_limits<double>::infinity(), 3, {}); }),
            "TrainingError: the loss is inf in step 3, rows ; look at these rows, or lower the learning rate");
}

TEST(RequireFiniteGradients, NamesTheParameters) {
  Pair pair;
  const auto parameters = trained_parameters(*pair);
  for (auto& parameter : pair->parameters()) parameter.mutable_grad() = torch::ones_like(parameter);
  require_finite_gradients(parameters, 1);
  pair->first->bias.mutable_grad()[1] = std::numeric_limits<float>::infinity();
  pair->second->weight.mutable_grad()[0][2] = std::nanf("");
  EXPECT_EQ(error_message([&] { require_finite_gradients(parameters, 7); }),
            "TrainingError: the gradient is not finite in step 7, in \"first.bias\", \"second.weight\"; lower the "
            "learning rate or clip the norm");
}

TEST(Fingerprint, SeesEveryBit) {
  for (const std::int64_t size : {1, 3, 8, 9, 33, 64}) {
    const auto bytes = torch::zeros({size}, torch::kUInt8);
    const auto before = fingerprint(bytes);
    for (std::int64_t i = 0; i < size; ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        const auto changed = bytes.clone();
        changed[i] = 1 << bit;
        EXPECT_NE(fingerprint(changed), before) << "byte " << i << " of " << size << ", bit " << bit;
      }
    }
  }
}

TEST(Fingerprint, SeesOrderAndSignOfZero) {
  EXPECT_NE(fingerprint(torch::tensor({1.0, 2.0})), fingerprint(torch::tensor({2.0, 1.0})));
  EXPECT_NE(fingerprint(torch::tensor({0.0})), fingerprint(torch::tensor({-0.0})));
  EXPECT_NE(fingerprint(torch::zeros({1})), fingerprint(torch::zeros({2})));
  const auto square = torch::arange(9.0).view({3, 3});
  EXPECT_EQ(fingerprint(square.t()), fingerprint(square.t().contiguous()));
}

TEST(FrozenGuard, NamesWhatChanged) {
  Pair pair;
  freeze(*pair->second);
  const FrozenGuard guard(*pair);
  add_one(pair->first->weight);
  guard.check();
  add_one(pair->second->bias);
  EXPECT_EQ(
      error_message([&] { guard.check(); }),
      "TrainingError: frozen parameters have changed: \"second.bias\"; something other than the optimizer writes to "
      "them");
}

TEST(LearningGuard, NamesParametersWithoutAGradient) {
  Pair pair;
  LearningGuard guard(trained_parameters(*pair));
  pair->first->forward(torch::ones({1, 3})).sum().backward();
  guard.observe();
  const std::string expected =
      "TrainingError: no gradient reaches \"second.weight\", \"second.bias\"; the loss does not depend on them: freeze "
      "them, or use them in the forward pass";
  EXPECT_EQ(error_message([&] { guard.check_gradients(); }), expected);
  EXPECT_EQ(error_message([&] { guard.check(); }), expected);
}

TEST(LearningGuard, NamesParametersWithZeroGradients) {
  Pair pair;
  LearningGuard guard(trained_parameters(*pair));
  (pair->second->forward(pair->first->forward(torch::ones({1, 3})) * 0.0)).sum().backward();
  guard.observe();
  for (const auto& parameter : pair->parameters()) add_one(parameter);
  guard.check_gradients();
  EXPECT_EQ(error_message([&] { guard.check(); }),
            "TrainingError: nothing but zero gradients reach \"first.weight\", \"first.bias\", \"second.weight\"; "
            "something between them and the loss cuts them off");
}

TEST(LearningGuard, ForgivesAZeroGradientThatDoesNotStay) {
  Pair pair;
  LearningGuard guard(trained_parameters(*pair));
  for (const double scale : {0.0, 1.0}) {
    for (auto& parameter : pair->parameters()) parameter.mutable_grad().reset();
    (pair->second->forward(pair->first->forward(torch::ones({1, 3})) * scale)).sum().backward();
    guard.observe();
    for (const auto& parameter : pair->parameters()) add_one(parameter);
  }
  guard.check();
}

TEST(LearningGuard, NamesParametersThatDoNotMove) {
  Pair pair;
  LearningGuard guard(trained_parameters(*pair));
  pair->second->forward(pair->first->forward(torch::ones({1, 3}))).sum().backward();
  guard.observe();
  for (const auto& parameter : pair->first->parameters()) add_one(parameter);
  EXPECT_EQ(
      error_message([&] { guard.check(); }),
      "TrainingError: training does not move \"second.weight\", \"second.bias\"; the learning rate may be too small "
      "for their element type");
}

}  // namespace
}  // namespace graft
