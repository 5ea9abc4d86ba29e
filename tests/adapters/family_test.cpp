// The family of LoRA beside LoRA and DoRA: PiSSA, OLoRA, LoRA-FA, LoRA+, IA3, rows of an embedding.
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/utils.h>

#include "graft/adapters/kinds/dora.hpp"
#include "graft/adapters/kinds/ia3.hpp"
#include "graft/adapters/kinds/lora_fa.hpp"
#include "graft/adapters/kinds/token_rows.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/reparametrise.hpp"
#include "graft/training/lora_plus.hpp"
#include "support/error_message.hpp"

namespace graft::family_test {
namespace {

struct NetImpl : torch::nn::Module {
  NetImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(12, 6)));
    up = register_module("up", Linear(torch::nn::LinearOptions(6, 9)));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({9})));
    down = register_module("down", Linear(torch::nn::LinearOptions(9, 6)));
    classifier = register_module("classifier", Linear(torch::nn::LinearOptions(6, 2)));
    to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& ids) { return classifier(down(norm(torch::tanh(up(words(ids)))))); }
  Embedding words = nullptr;
  Linear up = nullptr, down = nullptr, classifier = nullptr;
  torch::nn::LayerNorm norm = nullptr;
};

const torch::Tensor ids = torch::tensor({1, 2, 3, 9, 3});

void randomise(torch::nn::Module& module, const std::string& name = "default") {
  const torch::NoGradGuard no_grad;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (const auto slot = layer->adapter(name)) {
      for (torch::Tensor& parameter : slot->parameters()) parameter.add_(torch::randn_like(parameter), 0.3);
    }
  }
}

/// Merged, the model gives the same; unmerged, the very bits of before.
void expect_exact_merge(NetImpl& net) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor adapted = net.forward(ids);
  choose(net, std::vector<ActiveAdapter>{});
  const torch::Tensor base = net.forward(ids);
  choose(net, "default");
  ASSERT_FALSE(torch::allclose(adapted, base));
  const MergeChange change = merge(net, [&] { return net.forward(ids); });
  EXPECT_LE(change.relative, 1e-13) << change.text();
  EXPECT_TRUE(torch::allclose(net.forward(ids), adapted, 1e-12, 1e-12));
  unmerge(net);
  EXPECT_TRUE(torch::equal(net.forward(ids), adapted));
  choose(net, std::vector<ActiveAdapter>{});
  EXPECT_TRUE(torch::equal(net.forward(ids), base));
  choose(net, "default");
}

class StartsAtWeight : public ::testing::TestWithParam<LowRankStart> {};

TEST_P(StartsAtWeight, AFreshAdapterIsAPartOfTheWeightAndChangesNothing) {
  torch::manual_seed(1);
  NetImpl net;
  const torch::Tensor before = net.forward(ids);
  const LoraOptions options{.rank = 3, .alpha = 5, .start = GetParam()};
  attach(net, options, {.layers = {"up", "down"}});
  EXPECT_TRUE(torch::allclose(net.forward(ids), before, 1e-13, 1e-13));
  const auto adapter = net.up->adapter<LowRankAdapter>("default");
  const torch::Tensor part = adapter->lora_B.mm(adapter->lora_A) * options.scale();
  const torch::Tensor weight = net.up->weight.detach();
  if (GetParam() == LowRankStart::pissa) {
    const auto [U, S, V] = torch::linalg_svd(weight, false);
    const torch::Tensor largest = (U.narrow(1, 0, 3) * S.narrow(0, 0, 3)).mm(V.narrow(0, 0, 3));
    EXPECT_TRUE(torch::allclose(part, largest, 1e-10, 1e-10));
  } else {
    const auto [Q, R] = torch::linalg_qr(weight);
    EXPECT_TRUE(torch::allclose(part, Q.narrow(1, 0, 3).mm(R.narrow(0, 0, 3)) * options.scale(), 1e-10, 1e-10));
  }
}

TEST_P(StartsAtWeight, TrainsAsWithTheResidualForItsWeight) {
  torch::manual_seed(2);
  NetImpl net;
  const LoraOptions options{.rank = 3, .alpha = 5, .start = GetParam()};
  attach(net, options, {.layers = {"up", "down"}});
  NetImpl residual;  // the papers' way: the part is taken off the weight
  {
    const torch::NoGradGuard no_grad;
    for (const auto& parameter : residual.named_parameters())
      parameter.value().copy_(net.named_parameters()[parameter.key()]);
    attach(residual, {.rank = 3, .alpha = 5}, {.layers = {"up", "down"}});
    for (const auto& [own, theirs] : {std::pair(net.up, residual.up), std::pair(net.down, residual.down)}) {
      const auto from = own->adapter<LowRankAdapter>("default"), to = theirs->adapter<LowRankAdapter>("default");
      to->lora_A.copy_(from->lora_A);
      to->lora_B.copy_(from->lora_B);
      theirs->weight.sub_(from->lora_B.mm(from->lora_A), options.scale());
    }
  }
  AdamW one(decay_groups(net, 1e-2, 0.0)), two(decay_groups(residual, 1e-2, 0.0));
  for (int step = 0; step < 4; ++step) {
    const torch::Tensor a = net.forward(ids), b = residual.forward(ids);
    ASSERT_TRUE(torch::allclose(a, b, 1e-10, 1e-10)) << "step " << step;
    a.square().sum().backward();
    b.square().sum().backward();
    one.step();
    two.step();
    one.zero_grad();
    two.zero_grad();
  }
  EXPECT_TRUE(torch::allclose(net.up->adapter<LowRankAdapter>("default")->lora_A,
                              residual.up->adapter<LowRankAdapter>("default")->lora_A, 1e-8, 1e-10));
  expect_exact_merge(net);
}

INSTANTIATE_TEST_SUITE_P(Family, StartsAtWeight, ::testing::Values(LowRankStart::pissa, LowRankStart::olora));

TEST(Family, AStartFromTheWeightHasItsLimits) {
  NetImpl net;
  EXPECT_EQ(error_message([&] { net.words->add("a", {.rank = 2, .start = LowRankStart::pissa}); }),
            "OptionError: the start of PiSSA and OLoRA is for linear layers, not for this layer");
  EXPECT_EQ(error_message([&] { net.up->add("a", {.rank = 2, .alpha = -1, .start = LowRankStart::pissa}); }),
            "OptionError: alpha is -1 for this layer; PiSSA divides by it: give a number above 0");
  EXPECT_EQ(error_message([&] { net.up->add("a", DoraOptions({.rank = 2, .start = LowRankStart::olora})); }),
            "OptionError: DoRA for this layer starts from kaiming or gaussian; PiSSA and OLoRA are for LoRA");
  EXPECT_NE(error_message([&] {
              Reparametrised(net, {.rank = 2, .start = LowRankStart::olora}, {.layers = {"up"}});
            }).find("PiSSA and OLoRA are for adapter slots"),
            std::string::npos);
}

TEST(Family, LoraFaTurnsTheGradientOfBAndFreezesA) {
  torch::manual_seed(3);
  NetImpl net;
  attach(net, {.rank = 2, .alpha = 6}, {.layers = {"up", "down"}});
  randomise(net);
  net.forward(ids).square().sum().backward();
  const auto adapter = net.up->adapter<LowRankAdapter>("default");
  const torch::Tensor plain = adapter->lora_B.grad().clone();
  net.zero_grad();
  {
    const LoraFa fa(net);
    EXPECT_FALSE(adapter->lora_A.requires_grad());
    net.forward(ids).square().sum().backward();
  }
  const torch::Tensor A = adapter->lora_A.detach();
  const torch::Tensor inverse = (A.mm(A.t()) + 1e-8 * torch::eye(2, A.options())).inverse();
  EXPECT_TRUE(torch::allclose(adapter->lora_B.grad(), plain.mm(inverse) / 9.0, 1e-9, 1e-12));
  net.zero_grad();
  net.forward(ids).square().sum().backward();
  EXPECT_TRUE(torch::allclose(adapter->lora_B.grad(), plain, 1e-12, 1e-12)) << "its end takes the hook off";

  net.words->add("default", {.rank = 2});
  EXPECT_EQ(error_message([&] { LoraFa fa(net); }),
            "OptionError: LoRA-FA is for plain LoRA on layers that are no embeddings; adapter \"default\" of layer "
            "\"words\" is another kind");
}

TEST(Family, LoraPlusLearnsBAndVectorsFaster) {
  NetImpl net;
  attach(net, {.rank = 2}, {.layers = {"words", "up", "down"}});
  net.norm->weight.set_requires_grad(true);
  const auto groups = lora_plus_groups(net, {.lr = 1e-4, .ratio = 16, .embedding_lr = 1e-6, .weight_decay = 0.1});
  std::vector<std::pair<std::vector<std::string>, std::pair<double, double>>> found;
  for (const ParameterGroup& group : groups) {
    found.emplace_back(std::vector<std::string>(), std::pair(group.lr, group.weight_decay));
    for (const auto& [name, tensor] : group.parameters) found.back().first.push_back(name);
  }
  const decltype(found) expected{
      {{"up.adapters.default.lora_A", "down.adapters.default.lora_A", "classifier.weight"}, {1e-4, 0.1}},
      {{"words.adapters.default.lora_A", "words.adapters.default.lora_B"}, {1e-6, 0.1}},
      {{"up.adapters.default.lora_B", "down.adapters.default.lora_B"}, {1.6e-3, 0.1}},
      {{"norm.weight", "classifier.bias"}, {1.6e-3, 0.0}}};
  EXPECT_EQ(found, expected);
  EXPECT_EQ(error_message([&] { lora_plus_groups(net, {.ratio = 0.5}); }),
            "OptionError: the ratio of LoRA+ is 0.5; give 1 or more");
}

TEST(Family, Ia3ScalesOutputsOrInputs) {
  torch::manual_seed(4);
  NetImpl net;
  const torch::Tensor before = net.forward(ids);
  attach(net, Ia3Options{.feed_forward = {"down"}}, {.layers = {"up", "down"}});
  EXPECT_TRUE(torch::equal(net.forward(ids), before));
  EXPECT_EQ(net.up->adapter("default")->parameters()[0].sizes(), (torch::IntArrayRef{9, 1}));
  EXPECT_EQ(net.down->adapter("default")->parameters()[0].sizes(), (torch::IntArrayRef{1, 9}));
  EXPECT_EQ(count_parameters(net).all.trained, 9 + 9 + 6 * 2 + 2);
  randomise(net);
  const auto l = [](const Linear& layer) { return layer->adapter("default")->parameters()[0].flatten(); };
  const torch::Tensor x = torch::randn({4, 6}, torch::kFloat64), h = torch::randn({4, 9}, torch::kFloat64);
  EXPECT_TRUE(torch::allclose(net.up(x), torch::linear(x, net.up->weight, net.up->bias) * l(net.up), 1e-12, 1e-12));
  EXPECT_TRUE(
      torch::allclose(net.down(h), torch::linear(h * l(net.down), net.down->weight, net.down->bias), 1e-12, 1e-12));
  expect_exact_merge(net);
  const auto copy = std::dynamic_pointer_cast<AdaptableImpl<torch::nn::LinearImpl>>(net.up->clone());
  EXPECT_TRUE(torch::equal(copy->forward(x), net.up(x)));
  net.up->add("lora", {.rank = 2});
  EXPECT_EQ(
      error_message([&] {
        choose(net, {{"default", 1.0}, {"lora", 1.0}});
      }),
      "OptionError: adapter \"default\" scales or replaces what the layer [9, 6] has; choose it alone there, with "
      "weight 1");
  EXPECT_EQ(error_message([&] { attach(net, Ia3Options{.feed_forward = {"down"}}, {.layers = {"up"}}, "other"); }),
            "OptionError: feed-forward name \"down\" takes none of the targeted layers");
  EXPECT_EQ(error_message([&] { attach(net, Ia3Options{}, {.layers = {"words"}}, "other"); }),
            "OptionError: layer \"words\" is of a type that graft has no IA3 for");
}

TEST(Family, Ia3OnConvolutionsMerges) {
  torch::manual_seed(5);
  for (const Ia3Side side : {Ia3Side::output, Ia3Side::input}) {
    Conv2d conv(torch::nn::Conv2dOptions(3, 5, 2));
    conv->add("default", Ia3Options{.side = side});
    {
      const torch::NoGradGuard no_grad;
      conv->adapter("default")->parameters()[0].uniform_(0.5, 2.0);
    }
    const torch::Tensor x = torch::randn({2, 3, 6, 6}), adapted = conv(x);
    conv->merge();
    EXPECT_TRUE(torch::allclose(conv(x), adapted, 1e-5, 1e-6));
    EXPECT_EQ(conv->adapter("default")->parameters()[0].sizes(),
              (torch::IntArrayRef{1, side == Ia3Side::output ? 5 : 3, 1, 1}));
  }
}

TEST(Family, TokenRowsTakeThePlaceOfTheirTokensAlone) {
  torch::manual_seed(6);
  NetImpl net;
  const torch::Tensor before = net.forward(ids);
  attach(net, {.rank = 2}, {.layers = {"up"}});
  train_token_rows(net, "words", {9, 3, 3});
  EXPECT_TRUE(torch::equal(net.forward(ids), before));
  randomise(net);
  const torch::Tensor rows = net.words->adapter("default")->parameters()[0];
  const torch::Tensor table = net.words->weight.detach(), y = net.words(ids);
  EXPECT_TRUE(torch::equal(y[2], rows[0]));
  EXPECT_TRUE(torch::equal(y[3], rows[1]));
  EXPECT_TRUE(torch::equal(y[4], rows[0]));
  EXPECT_TRUE(torch::equal(y[0], table[1]));
  y.sum().backward();
  EXPECT_TRUE(torch::equal(rows.grad(), torch::tensor({2.0, 1.0}, torch::kFloat64).unsqueeze(1).expand({2, 6})));
  EXPECT_FALSE(net.words->weight.grad().defined());
  expect_exact_merge(net);
  EXPECT_EQ(error_message([&] { train_token_rows(net, "words", {12}, "other"); }),
            "OptionError: token 12 is not among the 12 of layer \"words\"");
  EXPECT_EQ(error_message([&] { train_token_rows(net, "up", {1}, "other"); }),
            "OptionError: layer \"up\" is no embedding and has no rows of tokens");
  EXPECT_EQ(error_message([&] { train_token_rows(net, "nowhere", {1}); }),
            "OptionError: no layer that takes an adapter is called \"nowhere\"");
}

}  // namespace
}  // namespace graft::family_test
