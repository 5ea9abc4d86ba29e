#include "graft/adapters/adaptable.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include "graft/adapters/full.hpp"
#include "graft/adapters/lora.hpp"

#include "support/error_message.hpp"

namespace graft {
namespace {

void randomise(Adaptable& layer, const std::string& name = "default") {
  const torch::NoGradGuard no_grad;
  layer.adapter<LowRankAdapter>(name)->lora_A.normal_(0.0, 0.1);
  layer.adapter<LowRankAdapter>(name)->lora_B.normal_(0.0, 0.1);
}

struct ParentImpl : torch::nn::Cloneable<ParentImpl> {
  ParentImpl() { reset(); }
  void reset() override { query = register_module("query", Linear(torch::nn::LinearOptions(6, 4))); }
  torch::Tensor forward(const torch::Tensor& x) { return query(x); }
  Linear query = nullptr;
};

struct LoraParentImpl : torch::nn::Cloneable<LoraParentImpl> {
  LoraParentImpl() { reset(); }
  void reset() override {
    query = register_module("query", Lora<torch::nn::Linear>(torch::nn::LinearOptions(6, 4), LoraOptions{.rank = 2}));
  }
  torch::Tensor forward(const torch::Tensor& x) { return query(x); }
  Lora<torch::nn::Linear> query = nullptr;
};

template <class Parent>
void expect_clone_keeps_adapters() {
  Parent parent;
  if (!parent.query->adapter("default")) parent.query->add("default", {.rank = 2});
  randomise(*parent.query);
  const auto x = torch::randn({3, 6});
  const auto y = parent.forward(x);
  const auto copy = std::dynamic_pointer_cast<Parent>(parent.clone());
  EXPECT_TRUE(torch::equal(copy->forward(x), y));
  EXPECT_EQ(copy->named_parameters().keys(), parent.named_parameters().keys());
  for (const auto& parameter : copy->named_parameters()) {
    const auto& original = parent.named_parameters()[parameter.key()];
    EXPECT_NE(parameter.value().data_ptr(), original.data_ptr()) << parameter.key();
    EXPECT_EQ(parameter.value().requires_grad(), original.requires_grad()) << parameter.key();
  }
  copy->query->choose({});
  EXPECT_FALSE(torch::equal(copy->forward(x), y));
  EXPECT_TRUE(torch::equal(parent.forward(x), y));
  copy->query->add("second", {.rank = 1});
  EXPECT_EQ(copy->query->adapters(), (std::vector<std::string>{"default", "second"}));
  EXPECT_EQ(parent.query->adapters(), std::vector<std::string>{"default"});
  copy->query->remove_adapter("second");
  copy->query->remove_adapter("default");
  EXPECT_TRUE(copy->query->named_children().is_empty());
}

TEST(Adaptable, CloneOfAParentKeepsAdaptersAndSharesNothing) { expect_clone_keeps_adapters<ParentImpl>(); }

TEST(Adaptable, CloneOfAParentReplacesTheAdapterItsConstructorMade) { expect_clone_keeps_adapters<LoraParentImpl>(); }

TEST(Adaptable, CloneOfALayerKeepsItsAdaptersMergedOrNot) {
  Linear layer(torch::nn::LinearOptions(5, 7));
  layer->add("a", {.rank = 2, .alpha = 3, .dropout = 0.5});
  randomise(*layer, "a");
  layer->add("b", {.rank = 1});
  randomise(*layer, "b");
  layer->choose({{"a", 0.5}, {"b", -2.0}});
  layer->eval();
  const auto x = torch::randn({4, 5});
  const auto bits = layer->weight.clone();
  layer->merge();
  const auto copy = std::dynamic_pointer_cast<AdaptableImpl<torch::nn::LinearImpl>>(layer->clone());
  EXPECT_TRUE(copy->merged());
  EXPECT_EQ(copy->adapter<LowRankAdapter>("a")->options.dropout, 0.5);
  copy->unmerge();
  EXPECT_TRUE(torch::equal(copy->weight, bits));
  EXPECT_FALSE(torch::equal(layer->weight, bits));
  layer->unmerge();
  EXPECT_TRUE(torch::equal(copy->forward(x), layer(x)));
  EXPECT_FALSE(copy->weight.requires_grad());
  EXPECT_FALSE(copy->is_training());
}

TEST(Adaptable, NoneActiveIsTheExactPlainLayer) {
  torch::manual_seed(3);
  torch::nn::Linear plain(torch::nn::LinearOptions(8, 4));
  torch::manual_seed(3);
  Linear layer(torch::nn::LinearOptions(8, 4));
  const auto x = torch::randn({2, 3, 8});
  const torch::Tensor base = layer(x);
  // Eight products each, summed in another order.
  EXPECT_TRUE(torch::allclose(base, plain(x), 1e-6, 1e-6));
  layer->add("default", {.rank = 2});
  EXPECT_TRUE(torch::allclose(layer(x), base, 0, 0)) << "a fresh adapter changes nothing";
  randomise(*layer);
  EXPECT_FALSE(torch::allclose(layer(x), base));
  layer->choose({});
  EXPECT_TRUE(torch::equal(layer(x), base));
}

TEST(Adaptable, LayersOfOneInputGoThroughOneGroup) {
  Linear query(torch::nn::LinearOptions(8, 4)), key(torch::nn::LinearOptions(8, 6).bias(false));
  query->add("default", {.rank = 2});
  randomise(*query);
  const auto x = torch::randn({3, 8});
  const std::vector<LinearPart> parts{*query->part(x), *key->part(x)};
  const auto y = linear_group(x, parts);
  EXPECT_TRUE(torch::allclose(y[0], query(x), 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(y[1], key(x), 1e-5, 1e-6));
}

TEST(Adaptable, ParametersOfTheLayerKeepTheirNames) {
  Linear layer(torch::nn::LinearOptions(8, 4));
  EXPECT_EQ(layer->named_parameters().keys(), (std::vector<std::string>{"weight", "bias"}));
  layer->add("task", {.rank = 2});
  EXPECT_EQ(layer->named_parameters().keys(),
            (std::vector<std::string>{"weight", "bias", "adapters.task.lora_A", "adapters.task.lora_B"}));
  layer->remove_adapter("task");
  EXPECT_EQ(layer->named_parameters().keys(), (std::vector<std::string>{"weight", "bias"}));
}

TEST(Adaptable, ActiveAdaptersAreSummedWithTheirWeights) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  layer->to(torch::kFloat64);
  layer->add("a", {.rank = 2, .alpha = 8});
  randomise(*layer, "a");
  layer->add("b", {.rank = 3, .alpha = 1});
  randomise(*layer, "b");
  const auto x = torch::randn({4, 6}, torch::kFloat64);
  const auto base = torch::linear(x, layer->weight, layer->bias);
  const auto branch = [&](const std::string& name) { return x.mm(layer->update(name).t()); };
  layer->choose({{"a", 2.0}, {"b", -0.5}});
  EXPECT_TRUE(torch::allclose(layer(x), base + 2.0 * branch("a") - 0.5 * branch("b"), 1e-12, 1e-12));
  layer->choose({{"b"}});
  EXPECT_TRUE(torch::allclose(layer(x), base + branch("b"), 1e-12, 1e-12));
}

TEST(Adaptable, ChoosingDoesNotChangeWhatIsTrained) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  layer->add("a", {.rank = 2});
  layer->add("b", {.rank = 2});
  layer->choose({{"a"}});
  for (const auto* name : {"a", "b"}) EXPECT_TRUE(layer->adapter<LowRankAdapter>(name)->lora_A.requires_grad());
  layer->choose({});
  for (const auto* name : {"a", "b"}) EXPECT_TRUE(layer->adapter<LowRankAdapter>(name)->lora_A.requires_grad());
  EXPECT_FALSE(layer->weight.requires_grad());
  EXPECT_FALSE(layer->bias.requires_grad());
}

TEST(Adaptable, UnmergeGivesBackTheVeryBitsAfterAHundredRoundsInBfloat16) {
  Linear layer(torch::nn::LinearOptions(64, 48));
  layer->to(torch::kBFloat16);
  layer->add("default", {.rank = 4});
  EXPECT_EQ(layer->adapter<LowRankAdapter>("default")->lora_A.scalar_type(), torch::kFloat32);
  randomise(*layer);
  const auto bits = layer->weight.clone();
  const auto expected = (bits.to(torch::kFloat32) + layer->update("default")).to(torch::kBFloat16);
  for (int round = 0; round < 100; ++round) {
    layer->merge();
    ASSERT_TRUE(torch::equal(layer->weight, expected)) << "summed in float32 and rounded once";
    layer->unmerge();
    ASSERT_TRUE(torch::equal(layer->weight, bits));
  }
}

TEST(Adaptable, MergedLayerGivesTheAdaptersOutput) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  layer->to(torch::kFloat64);
  layer->add("default", {.rank = 2});
  randomise(*layer);
  const auto x = torch::randn({4, 6}, torch::kFloat64);
  const auto y = layer(x);
  layer->merge();
  layer->merge();
  EXPECT_TRUE(layer->merged());
  EXPECT_TRUE(torch::allclose(layer(x), y, 1e-12, 1e-12));
}

TEST(Adaptable, MergeRefusesWhatIsNotFiniteAndLeavesTheWeight) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  layer->add("default", {.rank = 2});
  const auto bits = layer->weight.clone();
  {
    const torch::NoGradGuard no_grad;
    layer->adapter<LowRankAdapter>("default")->lora_B.fill_(std::numeric_limits<float>::infinity());
  }
  EXPECT_EQ(error_message([&] { layer->merge(); }),
            "StateError: merging \"default\" into a layer [5, 6] gives values that are not finite; the weight was left "
            "as it was");
  EXPECT_FALSE(layer->merged());
  EXPECT_TRUE(torch::equal(layer->weight, bits));
}

TEST(Adaptable, DropoutActsOnTheInputOfAInTrainingOnly) {
  Linear layer(torch::nn::LinearOptions(20, 20));
  layer->add("default", {.rank = 20, .alpha = 20, .dropout = 0.25});
  {
    const torch::NoGradGuard no_grad;  // the branch is then the dropped input itself
    layer->adapter<LowRankAdapter>("default")->lora_A.copy_(torch::eye(20));
    layer->adapter<LowRankAdapter>("default")->lora_B.copy_(torch::eye(20));
  }
  const auto x = torch::rand({500, 20}) + 1.0;
  const auto base = torch::linear(x, layer->weight, layer->bias);
  layer->eval();
  EXPECT_TRUE(torch::allclose(layer(x) - base, x, 1e-5, 1e-5));
  layer->train();
  const auto branch = layer(x) - base;
  const auto kept = branch.abs() > 0.5;
  EXPECT_TRUE(torch::allclose(branch, torch::where(kept, x / 0.75, torch::zeros_like(x)), 1e-4, 1e-4));
  EXPECT_NEAR(kept.to(torch::kFloat32).mean().item<float>(), 0.75, 0.02);
}

TEST(Adaptable, InitialValuesComeFromTheGenerator) {
  const auto draw = [] {
    torch::manual_seed(11);
    Linear layer(torch::nn::LinearOptions(100, 80));
    layer->add("default", {.rank = 8});
    return layer;
  };
  const auto a = draw()->adapter<LowRankAdapter>("default");
  EXPECT_TRUE(torch::equal(a->lora_A, draw()->adapter<LowRankAdapter>("default")->lora_A));
  EXPECT_EQ(a->lora_B.abs().max().item<float>(), 0.0F);
  EXPECT_LE(a->lora_A.abs().max().item<float>(), 0.1F) << "uniform in +-1 / sqrt(in)";
  EXPECT_NEAR(a->lora_A.std().item<float>(), 0.1 / std::sqrt(3.0), 0.005);
}

TEST(Adaptable, GaussianStartHasDeviationOneOverRank) {
  torch::manual_seed(11);
  Linear layer(torch::nn::LinearOptions(1000, 80));
  layer->add("default", {.rank = 4, .start = LowRankStart::gaussian});
  EXPECT_NEAR(layer->adapter<LowRankAdapter>("default")->lora_A.std().item<float>(), 0.25, 0.01);
}

TEST(Adaptable, WrongInputWidthIsAShapeError) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  EXPECT_EQ(
      error_message([&] {
        layer(torch::zeros({2, 7}));
      }),
      "ShapeError: input of a linear layer is [2, 7], its weight [5, 6], its bias [5]; the last size of the input must "
      "be the last of the weight");
}

TEST(Adaptable, BadInputGetsAMessageThatSaysWhatToDo) {
  Linear layer(torch::nn::LinearOptions(6, 5));
  const auto message_of = [&](const std::string& name, const LoraOptions& options) {
    return error_message([&] { layer->add(name, options); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(message_of("a", {.rank = 0}), "OptionError: rank is 0 for this layer [5, 6]; choose 1 to 5");
  EXPECT_EQ(message_of("a", {.rank = 6}), "OptionError: rank is 6 for this layer [5, 6]; choose 1 to 5");
  EXPECT_EQ(message_of("a", {.rank = 1'000'000'000'000}),
            "OptionError: rank is 1000000000000 for this layer [5, 6]; choose 1 to 5");
  EXPECT_EQ(message_of("a", {.rank = 2, .alpha = nan}),
            "OptionError: alpha is nan for this layer; give 0 to 1e9, what an adapter's file may hold");
  EXPECT_EQ(message_of("a", {.rank = 2, .dropout = 1.0}),
            "OptionError: dropout is 1 for this layer; choose 0 or more and less than 1");
  EXPECT_EQ(message_of("a", {.rank = 2, .dropout = nan}),
            "OptionError: dropout is nan for this layer; choose 0 or more and less than 1");
  EXPECT_EQ(message_of("", {.rank = 2}), "OptionError: the adapter's name for this layer is empty; give it one");
  EXPECT_EQ(message_of("a.b", {.rank = 2}),
            "OptionError: adapter name \"a.b\" for this layer holds a dot; parameter names use it to separate modules");
  EXPECT_EQ(message_of("a", {.rank = -1, .alpha = nan}),
            "OptionError: alpha is nan for this layer; give 0 to 1e9, what an adapter's file may hold; rank is -1 for "
            "this layer [5, 6]; choose 1 "
            "to 5")
      << "all faults at once";
  EXPECT_TRUE(layer->weight.requires_grad()) << "a failed call changes nothing";
  EXPECT_TRUE(layer->adapters().empty());

  layer->add("a", {.rank = 2});
  EXPECT_EQ(message_of("a", {.rank = 2}),
            "OptionError: adapter name \"a\" is taken in this layer; remove that one or choose another");
  EXPECT_EQ(error_message([&] { layer->remove_adapter("b"); }),
            "OptionError: no adapter is called \"b\" in a layer [5, 6] that has a");
  EXPECT_EQ(error_message([&] {
              layer->choose({{"a"}, {"a"}});
            }),
            "OptionError: adapter \"a\" is chosen twice; give it one weight");
  EXPECT_EQ(error_message([&] {
              layer->choose({{"a", nan}});
            }),
            "OptionError: the weight of adapter \"a\" is nan; give a finite number");
  layer->choose({});
  EXPECT_EQ(error_message([&] { layer->merge(); }),
            "StateError: a layer [5, 6] has no active adapter to merge; choose one first");
  layer->choose({{"a"}});
  layer->merge();
  EXPECT_EQ(message_of("b", {.rank = 2}),
            "StateError: cannot add an adapter while the adapters of a layer [5, 6] are merged into it; unmerge first");
  EXPECT_EQ(
      error_message([&] { layer->remove_adapter("a"); }),
      "StateError: cannot remove an adapter while the adapters of a layer [5, 6] are merged into it; unmerge first");
  EXPECT_EQ(
      error_message([&] { layer->choose({}); }),
      "StateError: cannot choose adapters while the adapters of a layer [5, 6] are merged into it; unmerge first");
}

const LoraOptions lora{.rank = 2, .alpha = 4};

// A net written once over either holder.
template <template <class> class Wrap>
struct NetImpl : torch::nn::Module {
  NetImpl() : a(torch::nn::LinearOptions(4, 16), lora), b(torch::nn::LinearOptions(16, 2), lora) {
    register_module("a", a);
    register_module("b", b);
  }
  torch::Tensor forward(const torch::Tensor& x) { return b(torch::relu(a(x))); }
  Wrap<torch::nn::Linear> a;
  Wrap<torch::nn::Linear> b;
};

template <template <class> class Wrap>
void expect_net_trains() {
  torch::manual_seed(5);
  NetImpl<Wrap> net;
  std::vector<torch::Tensor> trained;
  for (const auto& parameter : net.parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  torch::optim::AdamW optimizer(trained, torch::optim::AdamWOptions(2e-2));
  const auto x = torch::randn({64, 4});
  const auto label = (x.select(1, 0) > 0).to(torch::kInt64);
  double first = 0.0;
  double last = 0.0;
  for (int step = 0; step < 100; ++step) {
    optimizer.zero_grad();
    const auto loss = torch::nn::functional::cross_entropy(net.forward(x), label);
    loss.backward();
    optimizer.step();
    last = loss.template item<double>();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, 0.3 * first);
}

TEST(Adaptable, OneNetTrainsWithFullAndWithLora) {
  expect_net_trains<Full>();
  expect_net_trains<Lora>();
}

TEST(Lora, TrainsTheAdapterAndNothingElse) {
  Lora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2, .alpha = 4});
  layer(torch::randn({3, 6})).sum().backward();
  EXPECT_FALSE(layer->weight.grad().defined());
  EXPECT_FALSE(layer->bias.grad().defined());
  EXPECT_TRUE(layer->adapter<LowRankAdapter>("default")->lora_B.grad().defined());
  EXPECT_EQ(layer->adapter<LowRankAdapter>("default")->lora_A.grad().abs().max().item<float>(), 0.0F)
      << "B is zero at first";
  EXPECT_EQ(layer->adapter<LowRankAdapter>("default")->scale(), 2.0);
}

// What is written into the weight while an adapter is in it would be undone by unmerge().
TEST(Adaptable, AWeightThatChangedWhileMergedIsAnError) {
  const torch::Tensor x = torch::randn({3, 6});
  const auto merged = [] {
    Lora<torch::nn::Linear> layer(torch::nn::LinearOptions(6, 5), LoraOptions{.rank = 2});
    layer->merge();
    return layer;
  };
  const std::string says = "was changed while adapters are merged into it, which unmerge() would undo";
  {
    auto layer = merged();
    const torch::NoGradGuard no_grad;
    layer->weight.add_(1.0);
    EXPECT_NE(error_message([&] { layer->forward(x); }).find(says), std::string::npos);
    EXPECT_NE(error_message([&] { layer->unmerge(); }).find(says), std::string::npos);
    EXPECT_TRUE(layer->merged()) << "a failed call changes nothing";
  }
  {
    auto layer = merged();
    layer->weight.set_data(torch::zeros({5, 6}));  // as loaders do
    EXPECT_NE(error_message([&] { layer->unmerge(); }).find(says), std::string::npos);
  }
  {
    auto layer = merged();
    layer->weight.set_requires_grad(true);
    EXPECT_NE(error_message([&] { layer->forward(x); }).find("is trained while adapters are merged"),
              std::string::npos);
  }
  auto layer = merged();
  layer->forward(x);
  layer->to(torch::kFloat64);  // is no change
  layer->forward(x.to(torch::kFloat64));
  const auto copy = std::dynamic_pointer_cast<AdaptableImpl<torch::nn::LinearImpl>>(layer->clone());
  copy->forward(x.to(torch::kFloat64));
  layer->unmerge();
  copy->unmerge();
}

// A weight made under InferenceMode has no version counter: nothing may rely on one.
TEST(Adaptable, WeightsMadeUnderInferenceModeAreNeverStale) {
  const MatrixBackend before = matrix_backend();
  set_matrix_backend(MatrixBackend::onednn);
  const c10::InferenceMode inference;
  Linear layer(64, 48);
  const torch::Tensor x = torch::randn({40, 64});
  const auto expect_current = [&](const char* when) {
    EXPECT_TRUE(torch::allclose(layer(x), x.mm(layer->weight.t()) + layer->bias, 1e-4, 1e-4)) << when;
  };
  expect_current("at first");
  layer->weight.add_(0.5);
  expect_current("changed in place");
  layer->add("a", LoraOptions{.rank = 2});
  layer->adapter<LowRankAdapter>("a")->lora_B.fill_(0.1);
  const torch::Tensor apart = layer(x);
  layer->merge();
  expect_current("merged");
  EXPECT_TRUE(torch::allclose(layer(x), apart, 1e-4, 1e-4));
  layer->unmerge();
  EXPECT_TRUE(torch::allclose(layer(x), apart, 1e-4, 1e-4));
  set_matrix_backend(before);
}

}  // namespace
}  // namespace graft
