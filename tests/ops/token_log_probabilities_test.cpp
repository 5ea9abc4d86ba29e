#include "graft/ops/token_log_probabilities.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/ops/dropout.hpp"
#include "graft/ops/linear.hpp"
#include "support/error_message.hpp"

namespace graft::token_log_probabilities_test {
namespace {

struct Head {
  torch::Tensor weight, A, B;
  double dropout = 0.0;
  mutable std::vector<std::int64_t> rows;

  explicit Head(torch::ScalarType type, bool trained = false, bool adapted = false) {
    torch::manual_seed(2);
    weight = torch::randn({23, 6}, type).requires_grad_(trained);
    if (!adapted) return;
    A = torch::randn({2, 6}, type).requires_grad_();
    B = torch::randn({23, 2}, type).requires_grad_();
  }
  std::vector<torch::Tensor> parameters() const {
    std::vector<torch::Tensor> all;
    for (const torch::Tensor& one : {weight, A, B}) {
      if (one.defined() && one.requires_grad()) all.push_back(one);
    }
    return all;
  }
  LanguageHead function() const {
    return [this](const at::Tensor& hidden) {
      rows.push_back(hidden.size(0));
      if (!A.defined()) return graft::linear(hidden, weight);
      const LowRankTerm term{.A = A, .B = B, .scale = 0.7, .dropout = dropout};
      return graft::linear(hidden, weight, {}, {&term, 1});
    };
  }
};

/// Results, and the gradients of hidden states and head, where rows weigh unequally.
std::vector<torch::Tensor> results(const Head& head, torch::ScalarType type, std::int64_t rows) {
  torch::manual_seed(7);
  const torch::Tensor hidden = torch::randn({11, 6}, type).requires_grad_(), weights = torch::randn({11}, type);
  const torch::Tensor targets = torch::randint(23, {11}, torch::kInt64);
  const torch::Tensor values = rows > 0 ? token_log_probabilities(hidden, targets, head.function(), rows)
                                        : detail::plain_token_log_probabilities(hidden, targets, head.function());
  std::vector<torch::Tensor> wanted{hidden}, all{values.detach()};
  for (const torch::Tensor& one : head.parameters()) wanted.push_back(one);
  for (const torch::Tensor& gradient : torch::autograd::grad({(values * weights).sum()}, wanted))
    all.push_back(gradient);
  return all;
}

TEST(TokenLogProbabilities, EqualThoseOfAllLogitsWithGradientsInFloat64) {
  for (const auto& [trained, adapted] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
    const Head head(torch::kDouble, trained, adapted);
    const auto plain = results(head, torch::kDouble, 0);
    for (const std::int64_t rows : {1, 4, 11, 50}) {
      const auto chunked = results(head, torch::kDouble, rows);
      ASSERT_EQ(chunked.size(), plain.size());
      for (std::size_t i = 0; i < plain.size(); ++i)
        EXPECT_LT((chunked[i] - plain[i]).abs().max().item<double>(), 1e-13) << trained << adapted << rows << " " << i;
    }
  }
}

TEST(TokenLogProbabilities, AFrozenHeadRunsOnceAndATrainedOneOncePerChunkMore) {
  const Head frozen(torch::kFloat), trained(torch::kFloat, true);
  results(frozen, torch::kFloat, 4);
  EXPECT_EQ(frozen.rows, std::vector<std::int64_t>({4, 4, 3}));
  results(trained, torch::kFloat, 4);
  std::vector<std::int64_t> runs = trained.rows;
  std::sort(runs.begin(), runs.end());
  EXPECT_EQ(runs, std::vector<std::int64_t>({3, 3, 4, 4, 4, 4, 4}));  // the first of them found it trained
}

TEST(TokenLogProbabilities, AreDrawnWithTheDropoutOfAHeadThatRunsOncePerChunk) {
  Head head(torch::kDouble, false, true);
  head.dropout = 0.4;
  torch::manual_seed(9);
  const torch::Tensor hidden = torch::randn({11, 6}, torch::kDouble).requires_grad_();
  const torch::Tensor targets = torch::randint(23, {11}, torch::kInt64);
  std::vector<torch::Tensor> wanted{hidden, head.A, head.B}, parts;
  torch::manual_seed(1);
  const torch::Tensor chunked = token_log_probabilities(hidden, targets, head.function(), 5);
  const torch::Tensor after = torch::rand({2});
  torch::manual_seed(1);
  for (const std::int64_t first : {0, 5, 10}) {
    const std::int64_t count = std::min<std::int64_t>(5, 11 - first);
    parts.push_back(detail::plain_token_log_probabilities(hidden.narrow(0, first, count),
                                                          targets.narrow(0, first, count), head.function()));
  }
  EXPECT_TRUE(torch::rand({2}).equal(after));
  const auto ours = torch::autograd::grad({chunked.sum()}, wanted);
  const auto plain = torch::autograd::grad({torch::cat(parts).sum()}, wanted);
  for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_LT((ours[i] - plain[i]).abs().max().item<double>(), 1e-13) << i;
}

TEST(TokenLogProbabilities, OfSixteenBitsAreFloat32) {
  for (const bool trained : {false, true}) {
    const Head head(torch::kBFloat16, trained);
    const auto plain = results(head, torch::kBFloat16, 0), chunked = results(head, torch::kBFloat16, 4);
    EXPECT_EQ(chunked[0].scalar_type(), torch::kFloat);
    EXPECT_EQ(chunked[1].scalar_type(), torch::kBFloat16);
    EXPECT_LT((chunked[0] - plain[0]).abs().max().item<double>(), 1e-2);
    // A gradient is rounded to 8 bits of fraction once more: before it is scaled, or before it is summed.
    EXPECT_LT((chunked[1] - plain[1]).abs().max().item<double>(), 0.02 * plain[1].abs().max().item<double>());
  }
}

TEST(TokenLogProbabilities, NeedNoGradientAndNoRows) {
  const Head head(torch::kFloat, true);
  const torch::Tensor hidden = torch::randn({5, 6}), targets = torch::randint(23, {5}, torch::kInt64);
  {
    const torch::NoGradGuard no_grad;
    head.rows.clear();
    const torch::Tensor values = token_log_probabilities(hidden, targets, head.function(), 2);
    EXPECT_FALSE(values.requires_grad());
    EXPECT_EQ(head.rows, std::vector<std::int64_t>({2, 2, 1}));
    EXPECT_LT(
        (values - detail::plain_token_log_probabilities(hidden, targets, head.function())).abs().max().item<float>(),
        1e-5);
  }
  EXPECT_EQ(token_log_probabilities(hidden.narrow(0, 0, 0), targets.narrow(0, 0, 0), head.function(), 2).sizes(),
            at::IntArrayRef({0}));
  EXPECT_EQ(rows_of_logits(49152), 170);
  EXPECT_EQ(rows_of_logits(std::int64_t{1} << 30), 64);
}

TEST(TokenLogProbabilities, SayWhatDoesNotFit) {
  const Head head(torch::kFloat);
  EXPECT_EQ(
      error_message([&] {
        token_log_probabilities(torch::ones({3, 6}), torch::ones({2}, torch::kInt64), head.function(), 4);
      }),
      "ShapeError: a language head needs hidden states [M, D] and targets [M] of int64, got [3, 6] and [2] of Long");
  EXPECT_EQ(error_message([&] {
              token_log_probabilities(torch::ones({3, 6}), torch::ones({3}, torch::kInt64), head.function(), 0);
            }),
            "OptionError: logits of 0 rows at a time; take 1 or more");
}

}  // namespace
}  // namespace graft::token_log_probabilities_test
