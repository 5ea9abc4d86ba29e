#include "graft/adapters/low_rank.hpp"

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/utils.h>

#include "graft/adapters/kinds/dora.hpp"
#include "graft/adapters/kinds/ia3.hpp"
#include "graft/adapters/lora.hpp"

#include "support/error_message.hpp"
#include "support/gradcheck.hpp"

namespace graft {
namespace {

template <class Holder>
void randomise(Holder& layer, const LoraOptions& options) {
  layer->to(torch::kFloat64);
  layer->add("default", options);
  const torch::NoGradGuard no_grad;
  layer->template adapter<LowRankAdapter>("default")->lora_A.normal_(0.0, 0.3);
  layer->template adapter<LowRankAdapter>("default")->lora_B.normal_(0.0, 0.3);
}

// What the adapter adds to the weight, put into a plain layer's weight, must give the adapter's output.
template <class Holder>
void expect_branch_equals_update(Holder layer, const torch::Tensor& x, const LoraOptions& options) {
  randomise(layer, options);
  const auto y = layer(x);
  layer->merge();
  const auto merged = layer(x);
  layer->unmerge();
  ASSERT_EQ(y.sizes(), merged.sizes());
  EXPECT_TRUE(torch::allclose(y, merged, 1e-12, 1e-12)) << (y - merged).abs().max();
}

template <class Impl>
std::string factor_gradient_difference(Impl& layer, const torch::Tensor& x) {
  const auto adapter = layer.template adapter<LowRankAdapter>("default");
  return gradient_difference(
      [&](const std::vector<torch::Tensor>& factors) {
        const LowRankTerm term{factors[0], factors[1], 0.7, 0.0};
        return LowRank<typename Impl::Base>::forward(layer, x, std::span(&term, 1));
      },
      {adapter->lora_A, adapter->lora_B});
}

template <class LayerImpl>
struct Exposed : AdaptableImpl<LayerImpl> {
  using Base = LayerImpl;
  using AdaptableImpl<LayerImpl>::AdaptableImpl;
};

const torch::TensorOptions float64 = torch::TensorOptions(torch::kFloat64);

TEST(LowRank, LinearBranchIsTheUpdateOfTheWeight) {
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{{6}, {1, 6}, {0, 6}, {3, 2, 6}}) {
    expect_branch_equals_update(Linear(torch::nn::LinearOptions(6, 5)), torch::randn(shape, float64), {.rank = 3});
  }
  expect_branch_equals_update(Linear(torch::nn::LinearOptions(6, 5).bias(false)), torch::randn({4, 6}, float64),
                              {.rank = 5, .alpha = 1.5});
  expect_branch_equals_update(Linear(torch::nn::LinearOptions(6, 5)), torch::randn({6, 4}, float64).t(), {.rank = 1});
}

TEST(LowRank, LinearGradientsAreThoseOfDifferences) {
  Exposed<torch::nn::LinearImpl> layer(torch::nn::LinearOptions(6, 5));
  layer.to(torch::kFloat64);
  layer.add("default", {.rank = 3});
  const auto adapter = layer.adapter<LowRankAdapter>("default");
  EXPECT_EQ(gradient_difference(
                [&](const std::vector<torch::Tensor>& in) {
                  const LowRankTerm term{in[1], in[2], 0.7, 0.0};
                  return LowRank<torch::nn::LinearImpl>::forward(layer, in[0], std::span(&term, 1));
                },
                {torch::randn({2, 3, 6}, float64), adapter->lora_A, torch::randn({5, 3}, float64)}),
            "");
}

TEST(LowRank, EmbeddingBranchIsTheUpdateOfTheTable) {
  const auto ids = torch::tensor({0, 3, 9, 3}).view({2, 2});
  expect_branch_equals_update(Embedding(torch::nn::EmbeddingOptions(10, 4)), ids, {.rank = 3});
  expect_branch_equals_update(Embedding(torch::nn::EmbeddingOptions(10, 4).padding_idx(0)), ids, {.rank = 3});
}

TEST(LowRank, EmbeddingStartsWithZeroAAndNormalB) {
  torch::manual_seed(0);
  Embedding table(torch::nn::EmbeddingOptions(400, 300));
  table->add("default", {.rank = 8});
  EXPECT_EQ(table->adapter<LowRankAdapter>("default")->lora_A.sizes(), (torch::IntArrayRef{8, 400}));
  EXPECT_EQ(table->adapter<LowRankAdapter>("default")->lora_B.sizes(), (torch::IntArrayRef{300, 8}));
  EXPECT_EQ(table->adapter<LowRankAdapter>("default")->lora_A.abs().max().item<float>(), 0.0F);
  EXPECT_NEAR(table->adapter<LowRankAdapter>("default")->lora_B.std().item<float>(), 1.0, 0.05);
}

TEST(LowRank, EmbeddingGradientsAreThoseOfDifferences) {
  Exposed<torch::nn::EmbeddingImpl> layer(torch::nn::EmbeddingOptions(7, 4));
  layer.to(torch::kFloat64);
  layer.add("default", {.rank = 2});
  EXPECT_EQ(factor_gradient_difference(layer, torch::tensor({0, 3, 6, 3})), "");
}

TEST(LowRank, EmbeddingWithMaxNormIsRefused) {
  Embedding table(torch::nn::EmbeddingOptions(10, 4).max_norm(1.0));
  EXPECT_EQ(
      error_message([&] { table->add("default", {.rank = 2}); }),
      "OptionError: this layer: an embedding with max_norm rewrites its rows as they are read and takes no adapter; "
      "build it without max_norm");
}

TEST(LowRank, ConvolutionBranchIsTheUpdateOfTheKernel) {
  const auto line = torch::randn({2, 3, 11}, float64);
  using One = torch::nn::Conv1dOptions;
  expect_branch_equals_update(Conv1d(One(3, 5, 1)), line, {.rank = 2});
  expect_branch_equals_update(Conv1d(One(3, 5, 3).stride(2).padding(1)), line, {.rank = 4});
  expect_branch_equals_update(Conv1d(One(3, 5, 3).dilation(2).bias(false)), line, {.rank = 2});
  expect_branch_equals_update(Conv1d(One(3, 5, 4).padding(torch::kSame)), line, {.rank = 2});
  expect_branch_equals_update(Conv1d(One(3, 5, 3).padding(torch::kValid)), line[0], {.rank = 2});
  expect_branch_equals_update(Conv1d(One(3, 5, 3).padding(2).padding_mode(torch::kReflect)), line, {.rank = 2});
  expect_branch_equals_update(Conv1d(One(3, 5, 4).padding(torch::kSame).padding_mode(torch::kCircular)), line,
                              {.rank = 2});
  const auto image = torch::randn({2, 3, 9, 7}, float64);
  using Two = torch::nn::Conv2dOptions;
  expect_branch_equals_update(Conv2d(Two(3, 5, {3, 2}).stride({2, 1}).padding({1, 0})), image, {.rank = 3});
  expect_branch_equals_update(Conv2d(Two(3, 5, {3, 4}).padding(torch::kSame)), image, {.rank = 2});
  expect_branch_equals_update(Conv2d(Two(3, 5, 3).dilation({1, 2}).padding({2, 1}).padding_mode(torch::kReplicate)),
                              image, {.rank = 2});
}

TEST(LowRank, ConvolutionGradientsAreThoseOfDifferences) {
  Exposed<torch::nn::Conv2dImpl> layer(torch::nn::Conv2dOptions(2, 3, 2).padding(1));
  layer.to(torch::kFloat64);
  layer.add("default", {.rank = 2});
  EXPECT_EQ(factor_gradient_difference(layer, torch::randn({2, 2, 4, 3}, float64)), "");
}

TEST(LowRank, ConvolutionWithGroupsIsRefused) {
  Conv1d layer(torch::nn::Conv1dOptions(4, 4, 3).groups(2));
  EXPECT_EQ(
      error_message([&] { layer->add("default", {.rank = 2}); }),
      "OptionError: this layer: a convolution with 2 groups takes no adapter: its update has no grouped form; leave "
      "it out of the targets");
}

// A layer of the user's own: y = x * weight, one factor a column.
struct ScaleImpl : torch::nn::Cloneable<ScaleImpl> {
  explicit ScaleImpl(std::int64_t rows, std::int64_t columns) : rows(rows), columns(columns) { reset(); }
  void reset() override { weight = register_parameter("weight", torch::ones({rows, columns})); }
  torch::Tensor forward(const torch::Tensor& x) { return x * weight; }
  std::int64_t rows, columns;
  torch::Tensor weight;
};

}  // namespace

template <>
struct LowRank<ScaleImpl> : LowRankDefault {
  static LowRankShape shape(const ScaleImpl& layer, std::int64_t rank) {
    return {{rank, layer.columns}, {layer.rows, rank}, std::min(layer.rows, layer.columns)};
  }
  static torch::Tensor forward(ScaleImpl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms) {
    torch::Tensor y = layer.ScaleImpl::forward(x);
    for (const LowRankTerm& term : terms) y = y + x * term.B.mm(term.A) * term.scale;
    return y;
  }
  static torch::Tensor update(const ScaleImpl&, const torch::Tensor& A, const torch::Tensor& B) { return B.mm(A); }
};

namespace {

// A linear layer of the user's own, which says where its outputs and inputs lie and has no product with terms.
struct OwnLinearImpl : torch::nn::Cloneable<OwnLinearImpl> {
  OwnLinearImpl(std::int64_t in, std::int64_t out) : in(in), out(out) { reset(); }
  void reset() override {
    weight = register_parameter("weight", torch::randn({out, in}));
    bias = register_parameter("bias", torch::randn({out}));
  }
  torch::Tensor forward(const torch::Tensor& x) { return torch::linear(x, weight, bias); }
  std::int64_t in, out;
  torch::Tensor weight, bias;
};

}  // namespace

template <>
struct LowRank<OwnLinearImpl> : LowRankDefault {
  static constexpr LayerAxis outputs{0, -1}, inputs{1, -1};
  static LowRankShape shape(const OwnLinearImpl& layer, std::int64_t rank) {
    return {{rank, layer.in}, {layer.out, rank}, std::min(layer.in, layer.out)};
  }
  static torch::Tensor update(const OwnLinearImpl&, const torch::Tensor& A, const torch::Tensor& B) { return B.mm(A); }
};

namespace {

TEST(LowRank, ALinearLayerOfOnesOwnNeedsNoProductWithTermsAndTakesABias) {
  using Own = torch::nn::ModuleHolder<AdaptableImpl<OwnLinearImpl>>;
  for (const LowRankStart start : {LowRankStart::kaiming, LowRankStart::pissa}) {
    Own layer(std::make_shared<AdaptableImpl<OwnLinearImpl>>(6, 5));
    layer->to(torch::kFloat64);
    const auto x = torch::randn({3, 6}, float64);
    const auto base = layer->forward(x);
    layer->add("default", {.rank = 2, .alpha = 3, .start = start, .bias = true});
    EXPECT_TRUE(torch::allclose(layer->forward(x), base, 1e-12, 1e-12)) << "a fresh one changes nothing";
    const torch::NoGradGuard no_grad;
    const auto adapter = layer->adapter<LowRankAdapter>("default");
    for (torch::Tensor& parameter : adapter->parameters()) parameter.normal_();
    auto update = adapter->lora_B.mm(adapter->lora_A);
    if (adapter->start_A.defined()) update = update - adapter->start_B.mm(adapter->start_A);
    const auto y = layer->forward(x);
    EXPECT_TRUE(torch::allclose(y, base + 1.5 * (x.mm(update.t()) + adapter->lora_B_bias), 1e-12, 1e-12));
    layer->merge();
    EXPECT_TRUE(torch::allclose(layer->forward(x), y, 1e-12, 1e-12));
    layer->unmerge();
    layer->remove_adapter("default");
    EXPECT_EQ(error_message([&] { layer->add("default", DoraOptions({.rank = 2})); }),
              "OptionError: this layer is of a type that graft has no DoRA for");
    layer->add("default", Ia3Options{.side = Ia3Side::input});
    layer->adapter("default")->parameters()[0].uniform_(0.5, 2.0);
    const auto scaled = layer->forward(x);
    layer->merge();
    EXPECT_TRUE(torch::allclose(layer->forward(x), scaled, 1e-12, 1e-12));
  }
}

TEST(LowRank, TheFormulaOfThePaperIsTheTwinOfTheFusedProduct) {
  torch::manual_seed(4);
  Linear layer(torch::nn::LinearOptions(6, 5));
  Conv1d conv(torch::nn::Conv1dOptions(6, 5, 3));
  randomise(layer, {.rank = 3, .alpha = 7, .start = LowRankStart::olora, .bias = true});
  randomise(conv, {.rank = 3, .alpha = 7, .bias = true});
  const auto x = torch::randn({4, 6}, float64), line = torch::randn({2, 6, 9}, float64);
  EXPECT_TRUE(torch::allclose(layer->adapter("default")->output(*layer, x), layer(x), 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(conv->adapter("default")->output(*conv, line), conv(line), 1e-12, 1e-12));
}

TEST(LowRank, ALayerOfOnesOwnIsAdaptedByItsTrait) {
  torch::nn::ModuleHolder<AdaptableImpl<ScaleImpl>> layer(std::make_shared<AdaptableImpl<ScaleImpl>>(3, 4));
  expect_branch_equals_update(layer, torch::randn({3, 4}, float64), {.rank = 2});
  EXPECT_EQ(std::dynamic_pointer_cast<AdaptableImpl<ScaleImpl>>(layer->clone())->adapters(),
            std::vector<std::string>{"default"});
  static_assert(LowRankAdaptable<ScaleImpl>);
  static_assert(!LowRankAdaptable<torch::nn::LayerNormImpl>);
}

}  // namespace
}  // namespace graft
