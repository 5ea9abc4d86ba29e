#include "graft/training/grad_cache.hpp"

#include <gtest/gtest.h>
#include <torch/nn/functional/dropout.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/training/ranking_loss.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

/// Two layers on inputs [N, 5], with dropout between them.
struct Net {
  torch::Tensor first, second;
  double dropout;

  explicit Net(double dropout_chance) : dropout(dropout_chance) {
    torch::manual_seed(3);
    first = torch::randn({8, 5}, torch::kDouble).requires_grad_();
    second = torch::randn({4, 8}, torch::kDouble).requires_grad_();
  }
  torch::Tensor operator()(const torch::Tensor& x) const {
    const torch::Tensor hidden = torch::dropout(torch::tanh(x.matmul(first.t())), dropout, /*train=*/true);
    return hidden.matmul(second.t());
  }
};

/// Gradients of a loss on two sides, `part` rows at a time; cached, or with the whole graph.
std::vector<torch::Tensor> gradients(const Net& net, std::int64_t part, bool cached) {
  torch::manual_seed(5);
  const torch::Tensor x = torch::randn({12, 5}, torch::kDouble), y = torch::randn({12, 5}, torch::kDouble);
  const auto vectors = [&](const torch::Tensor& side) {
    const auto of = [&net, side, part](std::int64_t i) { return net(side.narrow(0, i * part, part)); };
    if (cached) return grad_cached(12 / part, of);
    std::vector<torch::Tensor> parts;
    for (std::int64_t i = 0; i < 12 / part; ++i) parts.push_back(of(i));
    return torch::cat(parts);
  };
  for (const torch::Tensor& weight : {net.first, net.second}) weight.mutable_grad() = torch::Tensor();
  in_batch_softmax(vectors(x), vectors(y)).mean().backward();
  const torch::Tensor after = torch::rand({3});  // the generator goes on as if there were no cache
  return {net.first.grad().clone(), net.second.grad().clone(), after};
}

TEST(GradCache, HasTheGradientsOfTheBatchAsAWhole) {
  const Net net(0);
  const auto whole = gradients(net, 12, false);
  for (const std::int64_t part : {1, 4, 12}) {
    const auto cached = gradients(net, part, true);
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_LT((cached[i] - whole[i]).abs().max().item<double>(), 1e-12) << part << " " << i;
  }
}

TEST(GradCache, DrawsTheSameDropoutTwiceAndLeavesTheGeneratorAsItWas) {
  const Net net(0.4);
  for (const std::int64_t part : {3, 4}) {
    const auto whole = gradients(net, part, false), cached = gradients(net, part, true);
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_LT((cached[i] - whole[i]).abs().max().item<double>(), 1e-12) << part << " " << i;
    EXPECT_TRUE(cached[2].equal(whole[2]));
  }
}

TEST(GradCache, KeepsNoGraphOfItsParts) {
  const Net net(0);
  std::vector<bool> with_graph;
  const torch::Tensor x = torch::ones({2, 5}, torch::kDouble);
  const torch::Tensor vectors = grad_cached(2, [&](std::int64_t) {
    torch::Tensor out = net(x);
    with_graph.push_back(out.requires_grad());
    return out;
  });
  EXPECT_EQ(with_graph, std::vector<bool>({false, false}));
  vectors.sum().backward();
  EXPECT_EQ(with_graph, std::vector<bool>({false, false, true, true}));
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(grad_cached(1, [&](std::int64_t) { return net(x); }).requires_grad());
}

TEST(GradCache, RefusesWhatIsNoBatch) {
  EXPECT_EQ(error_message([&] { grad_cached(0, [](std::int64_t) {
                                  return torch::ones({1, 1});
                                }); }),
            "OptionError: a cached batch has 0 parts; it needs at least one");
  EXPECT_EQ(error_message([&] { grad_cached(1, [](std::int64_t) { return torch::ones({3}); }); }),
            "ShapeError: part 0 of a cached batch gave [3]; vectors [n, D] are wanted");
}

}  // namespace
}  // namespace graft
