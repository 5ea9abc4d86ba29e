#include "graft/adapters/attach.hpp"

#include <limits>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/utils.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

struct BlockImpl : torch::nn::Module {
  BlockImpl() {
    query = register_module("query", Linear(torch::nn::LinearOptions(6, 6)));
    value = register_module("value", Linear(torch::nn::LinearOptions(6, 6)));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({6})));
  }
  torch::Tensor forward(const torch::Tensor& x) { return norm(x + value(torch::tanh(query(x)))); }
  Linear query = nullptr, value = nullptr;
  torch::nn::LayerNorm norm = nullptr;
};
TORCH_MODULE(Block);

struct ModelImpl : torch::nn::Module {
  ModelImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(10, 6)));
    layer = register_module("layer", torch::nn::ModuleList(Block(), Block()));
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(6, 2)));
  }
  torch::Tensor forward(const torch::Tensor& ids) {
    torch::Tensor x = words(ids);
    for (const auto& block : *layer) x = block->as<Block>()->forward(x);
    return classifier(x);
  }
  Embedding words = nullptr;
  torch::nn::ModuleList layer = nullptr;
  Linear classifier = nullptr;
};

const torch::Tensor ids = torch::tensor({1, 2, 3, 9});

void randomise(torch::nn::Module& model, const std::string& name) {
  const torch::NoGradGuard no_grad;
  for (const auto& [path, layer] : adaptable_layers(model)) {
    if (const auto adapter = layer->adapter<LowRankAdapter>(name)) adapter->lora_B.normal_();
  }
}

std::vector<std::string> trained(torch::nn::Module& model) {
  std::vector<std::string> names;
  for (const auto& parameter : model.named_parameters()) {
    if (parameter.value().requires_grad()) names.push_back(parameter.key());
  }
  return names;
}

TEST(Attach, OnlyTheAdapterAndTheHeadAreTrained) {
  ModelImpl model;
  const auto before = model.forward(ids);
  const auto report = attach(model, {.rank = 2}, {.layers = {"query", "words"}});
  EXPECT_EQ(report.layers, (std::vector<std::string>{"words", "layer.0.query", "layer.1.query"}));
  EXPECT_TRUE(torch::equal(model.forward(ids), before));
  EXPECT_EQ(trained(model),
            (std::vector<std::string>{"words.adapters.default.lora_A", "words.adapters.default.lora_B",
                                      "layer.0.query.adapters.default.lora_A", "layer.0.query.adapters.default.lora_B",
                                      "layer.1.query.adapters.default.lora_A", "layer.1.query.adapters.default.lora_B",
                                      "classifier.weight", "classifier.bias"}));
}

TEST(Attach, SameSeedGivesTheSameAdapter) {
  const auto draw = [] {
    torch::manual_seed(4);
    auto model = std::make_shared<ModelImpl>();
    attach(*model, {.rank = 2}, {.layers = {"all-linear"}});
    return model;
  };
  const auto a = draw(), b = draw();
  for (const auto& parameter : a->named_parameters()) {
    EXPECT_TRUE(torch::equal(parameter.value(), b->named_parameters()[parameter.key()])) << parameter.key();
  }
}

TEST(Attach, ASecondAdapterIsHeldToItsTargetsAndTakesOver) {
  ModelImpl model;
  attach(model, {.rank = 2}, {.layers = {"query", "value"}}, "a");
  randomise(model, "a");
  const auto with_a = model.forward(ids);
  EXPECT_EQ(error_message([&] { attach(model, {.rank = 2}, {.layers = {"nothing"}}, "b"); }).substr(0, 42),
            "OptionError: targets do not fit the model;");
  EXPECT_TRUE(torch::equal(model.forward(ids), with_a));
  attach(model, {.rank = 3}, {.layers = {"query"}}, "b");
  EXPECT_EQ(adapters(model), (std::vector<std::string>{"a", "b"}));
  for (const std::string& name : trained(model)) EXPECT_EQ(name.find("adapters.a."), std::string::npos) << name;
  EXPECT_FALSE(torch::equal(model.forward(ids), with_a)) << "only b is active, everywhere";
  choose(model, "a");
  EXPECT_TRUE(torch::equal(model.forward(ids), with_a));
}

TEST(Attach, AdaptersAreChosenWeighedRenamedAndTakenOff) {
  ModelImpl model;
  const auto base = model.forward(ids);
  attach(model, {.rank = 2}, {.layers = {"query"}}, "a");
  randomise(model, "a");
  const auto with_a = model.forward(ids);
  attach(model, {.rank = 2}, {.layers = {"value"}}, "b");
  randomise(model, "b");
  choose(model, std::vector<ActiveAdapter>{});
  EXPECT_TRUE(torch::equal(model.forward(ids), base)) << "none active is the exact base";
  choose(model, {{"a"}, {"b", 0.5}});
  const auto both = model.forward(ids);
  EXPECT_FALSE(torch::allclose(both, with_a));
  weigh(model, "b", 0.0);
  EXPECT_TRUE(torch::allclose(model.forward(ids), with_a));
  weigh(model, "b", 0.5);
  EXPECT_TRUE(torch::equal(model.forward(ids), both));
  rename(model, "b", "c");
  EXPECT_TRUE(torch::equal(model.forward(ids), both));
  train_only(model, {"a", "c"});
  EXPECT_EQ(trained(model).size(), 10u);
  detach(model, "c");
  EXPECT_TRUE(torch::equal(model.forward(ids), with_a));
  detach(model, "a");
  EXPECT_TRUE(torch::equal(model.forward(ids), base));
  EXPECT_TRUE(adapters(model).empty());
}

TEST(Attach, MergeAndUnmergeGoOverTheWholeModel) {
  ModelImpl model;
  attach(model, {.rank = 2}, {.layers = {"all-linear", "words"}});
  randomise(model, "default");
  const auto with = model.forward(ids);
  std::vector<torch::Tensor> bits;
  for (const auto& parameter : model.parameters()) bits.push_back(parameter.detach().clone());
  merge(model);
  EXPECT_TRUE(torch::allclose(model.forward(ids), with, 1e-4, 1e-5));
  EXPECT_EQ(error_message([&] { attach(model, {.rank = 1}, {.layers = {"query"}}, "b"); }),
            "StateError: cannot attach an adapter while adapters are merged into \"words\"; unmerge first");
  EXPECT_EQ(error_message([&] { choose(model, "default"); }),
            "StateError: cannot choose adapters while adapters are merged into \"words\"; unmerge first");
  unmerge(model);
  const auto after = model.parameters();
  for (std::size_t i = 0; i < bits.size(); ++i) EXPECT_TRUE(torch::equal(after[i], bits[i]));
}

TEST(Attach, AMergeThatFailsInOneLayerMergesNone) {
  ModelImpl model;
  attach(model, {.rank = 2}, {.layers = {"query"}});
  randomise(model, "default");
  {
    const torch::NoGradGuard no_grad;
    adaptable_layers(model)[3].second->adapter<LowRankAdapter>("default")->lora_B.fill_(
        std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_EQ(
      error_message([&] { merge(model); }),
      "StateError: layer \"layer.1.query\": merging \"default\" into a layer [6, 6] gives values that are not finite; "
      "the weight was left as it was");
  for (const auto& [path, layer] : adaptable_layers(model)) EXPECT_FALSE(layer->merged()) << path;
}

TEST(Attach, BadInputGetsAMessageThatNamesTheLayer) {
  ModelImpl model;
  const auto all = model.named_parameters().keys();
  EXPECT_EQ(error_message([&] { attach(model, {.rank = 0}, {.layers = {"layer.0.query"}}); }),
            "OptionError: rank is 0 for layer \"layer.0.query\" [6, 6]; choose 1 to 6");
  EXPECT_EQ(error_message([&] { attach(model, {.rank = 7}, {.layers = {"query"}}); }),
            "OptionError: 2 faults:\n"
            "  rank is 7 for layer \"layer.0.query\" [6, 6]; choose 1 to 6\n"
            "  rank is 7 for layer \"layer.1.query\" [6, 6]; choose 1 to 6");
  EXPECT_EQ(model.named_parameters().keys(), all);
  EXPECT_EQ(trained(model), all) << "nothing was frozen either";
  EXPECT_EQ(error_message([&] { choose(model, "x"); }),
            "OptionError: no layer has an adapter called \"x\"; there is none");
  EXPECT_EQ(error_message([&] { merge(model); }),
            "StateError: no layer has an active adapter to merge; attach or choose one first");
  attach(model, {.rank = 2}, {.layers = {"query"}}, "a");
  EXPECT_EQ(error_message([&] { attach(model, {.rank = 2}, {.layers = {"layer.1.query"}}, "a"); }),
            "OptionError: adapter name \"a\" is taken in layer \"layer.1.query\"; remove that one or choose another");
  EXPECT_EQ(error_message([&] { detach(model, "b"); }),
            "OptionError: no layer has an adapter called \"b\"; there are: a");
  attach(model, {.rank = 2}, {.layers = {"value"}}, "b");
  EXPECT_EQ(error_message([&] { weigh(model, "a", 0.5); }),
            "OptionError: adapter \"a\" is not active; choose it first");
}

}  // namespace
}  // namespace graft
