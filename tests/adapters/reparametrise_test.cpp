#include "graft/adapters/reparametrise.hpp"

#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include "support/error_message.hpp"

namespace graft::reparametrise_test {
namespace {

// Code that knows nothing of graft.
struct ForeignImpl : torch::nn::Module {
  ForeignImpl() {
    words = register_module("words", torch::nn::Embedding(12, 8));
    conv = register_module("conv", torch::nn::Conv1d(torch::nn::Conv1dOptions(8, 6, 3).padding(1)));
    fc = register_module("fc", torch::nn::Linear(6, 6));
    classifier = register_module("classifier", torch::nn::Linear(6, 2));
  }
  torch::Tensor forward(const torch::Tensor& ids) {
    const auto x = conv(words(ids).transpose(1, 2)).transpose(1, 2);
    return classifier(torch::tanh(fc(x)).mean(1));
  }
  torch::nn::Embedding words = nullptr;
  torch::nn::Conv1d conv = nullptr;
  torch::nn::Linear fc = nullptr, classifier = nullptr;
};

const Targets everything{.layers = {"words", "conv", "fc"}};

torch::Tensor ids() { return torch::arange(24).view({4, 6}).remainder(12); }

std::vector<torch::Tensor> values(const torch::nn::Module& module) {
  std::vector<torch::Tensor> copies;
  for (const auto& parameter : module.parameters()) copies.push_back(parameter.detach().clone());
  return copies;
}

void expect_values(const torch::nn::Module& module, const std::vector<torch::Tensor>& expected) {
  const auto now = module.parameters();
  ASSERT_EQ(now.size(), expected.size());
  for (std::size_t i = 0; i < now.size(); ++i) EXPECT_TRUE(torch::equal(now[i], expected[i])) << i;
}

double train(ForeignImpl& model, Reparametrised& lora, int steps) {
  torch::optim::AdamW optimizer(lora.parameters(), torch::optim::AdamWOptions(3e-2));
  const auto labels = torch::tensor({0, 1, 0, 1});
  double loss = 0.0;
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    const auto value = lora.run([&] { return torch::nn::functional::cross_entropy(model.forward(ids()), labels); });
    value.backward();
    optimizer.step();
    loss = value.item<double>();
  }
  return loss;
}

TEST(Reparametrised, TrainsAModuleThatGraftDidNotWrite) {
  torch::manual_seed(2);
  ForeignImpl model;
  const auto frozen = model.fc->weight.detach().clone();
  Reparametrised lora(model, {.rank = 2, .alpha = 4}, everything);
  EXPECT_EQ(lora.targets().layers, (std::vector<std::string>{"words", "conv", "fc"}));
  EXPECT_EQ(lora.parameters().size(), 8u) << "A and B of three layers, weight and bias of the head";
  const double first = train(model, lora, 1);
  EXPECT_LT(train(model, lora, 60), 0.3 * first);
  EXPECT_TRUE(torch::equal(model.fc->weight, frozen)) << "the base outside run()";
  EXPECT_FALSE(model.fc->weight.grad().defined());
}

TEST(Reparametrised, AFreshOneChangesNothing) {
  ForeignImpl model;
  const auto before = model.forward(ids());
  Reparametrised lora(model, {.rank = 2}, everything);
  EXPECT_TRUE(torch::equal(lora.run([&] { return model.forward(ids()); }), before));
}

TEST(Reparametrised, FoldGivesTheTrainedOutputsAndRestoresWhatRequiredGradients) {
  torch::manual_seed(2);
  ForeignImpl model;
  model.words->weight.set_requires_grad(false);
  torch::Tensor trained;
  {
    Reparametrised lora(model, {.rank = 2, .alpha = 4}, everything);
    train(model, lora, 5);
    trained = lora.run([&] { return model.forward(ids()); });
    lora.fold();
    EXPECT_EQ(error_message([&] { lora.run([] { return 0; }); }),
              "StateError: the re-parametrisation has been folded and is over; make another one");
    EXPECT_EQ(error_message([&] { lora.fold(); }), "StateError: the re-parametrisation has been folded already");
  }
  EXPECT_TRUE(torch::allclose(model.forward(ids()), trained, 1e-5, 1e-6));
  EXPECT_FALSE(model.words->weight.requires_grad());
  EXPECT_TRUE(model.fc->weight.requires_grad());
  EXPECT_EQ(model.named_parameters().size(), 7u);
}

TEST(Reparametrised, WithoutFoldTheBaseComesBackBitForBit) {
  torch::manual_seed(2);
  ForeignImpl model;
  const auto before = values(model);
  {
    Reparametrised lora(model, {.rank = 2}, {.layers = {"words", "conv", "fc"}, .heads = std::vector<std::string>{}});
    train(model, lora, 3);
    EXPECT_THROW(lora.run([&]() -> int { throw std::runtime_error("a forward that fails"); }), std::runtime_error);
    expect_values(model, before);
  }
  expect_values(model, before);
  for (const auto& parameter : model.parameters()) EXPECT_TRUE(parameter.requires_grad());
}

TEST(Reparametrised, FoldOfValuesThatAreNotFiniteChangesNoWeight) {
  ForeignImpl model;
  const auto before = values(model);
  Reparametrised lora(model, {.rank = 2}, everything);
  {
    const torch::NoGradGuard no_grad;
    lora.parameters()[5].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_EQ(error_message([&] { lora.fold(); }),
            "StateError: folding into layer \"fc\" gives values that are not finite; every weight was left as it was");
  expect_values(model, before);
}

TEST(Reparametrised, BadInputIsRefusedBeforeAnythingChanges) {
  ForeignImpl model;
  const auto failure = [&](const LoraOptions& options, const Targets& targets) {
    return error_message([&] { Reparametrised(model, options, targets); });
  };
  EXPECT_EQ(
      failure({.rank = 7}, everything),
      "OptionError: rank is 7 for layer \"conv\" [6, 8, 3]; choose 1 to 6; rank is 7 for layer \"fc\" [6, 6]; choose "
      "1 to 6");
  EXPECT_EQ(failure({.rank = 2, .dropout = 0.1}, everything),
            "OptionError: dropout is 0.1, but a weight has no input to drop; use 0, or layers with adapter slots");
  EXPECT_EQ(failure({.rank = 2}, {.layers = {"fc1"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"fc1\" matches nothing; nearest: \"fc\", \"conv\", \"words\"");
  for (const auto& parameter : model.parameters()) EXPECT_TRUE(parameter.requires_grad());
}

}  // namespace
}  // namespace graft::reparametrise_test
