#include "graft/training/loss.hpp"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <cmath>

#include "support/error_message.hpp"

namespace graft {
namespace {

/// The definition, written out: smoothed targets against log probabilities.
double cross_entropy_by_hand(const torch::Tensor& logits, const std::vector<int>& targets, int ignored, double smooth) {
  double sum = 0.0;
  const auto classes = logits.size(1);
  for (std::size_t n = 0; n < targets.size(); ++n) {
    if (targets[n] == ignored) continue;
    double normaliser = 0.0;
    const auto logit = [&](std::int64_t c) { return logits[static_cast<std::int64_t>(n)][c].item<double>(); };
    for (std::int64_t c = 0; c < classes; ++c) normaliser += std::exp(logit(c));
    for (std::int64_t c = 0; c < classes; ++c) {
      const double target = (c == targets[n] ? 1.0 - smooth : 0.0) + smooth / static_cast<double>(classes);
      sum -= target * (logit(c) - std::log(normaliser));
    }
  }
  return sum;
}

TEST(CrossEntropy, EqualsItsDefinition) {
  torch::manual_seed(1);
  const auto logits = torch::randn({6, 4}, torch::kDouble);
  const std::vector<int> rows = {0, 3, -100, 2, 2, -100};
  const auto targets = torch::tensor({0, 3, -100, 2, 2, -100}, torch::kLong);
  for (const double smooth : {0.0, 0.1, 1.0}) {
    const auto loss = cross_entropy(logits, targets, {.label_smoothing = smooth});
    EXPECT_NEAR(loss.sum.item<double>(), cross_entropy_by_hand(logits, rows, -100, smooth), 1e-12);
    EXPECT_EQ(loss.count, 4.0);
    EXPECT_NEAR(loss.mean().item<double>() * 4.0, loss.sum.item<double>(), 1e-12);
  }
  const auto other = cross_entropy(logits, torch::tensor({0, 3, 1, 2, 2, 1}, torch::kLong), {.ignore_index = 1});
  EXPECT_EQ(other.count, 4.0);
}

TEST(NegativeLogLikelihood, IsTheCrossEntropyOfTheLogits) {
  torch::manual_seed(2);
  const auto logits = torch::randn({5, 7}, torch::kDouble);
  const auto targets = torch::tensor({0, 6, 3, 3, 1}, torch::kLong);
  const auto known = torch::log_softmax(logits, 1).gather(1, targets.unsqueeze(1)).squeeze(1);
  const Loss loss = negative_log_likelihood(known);
  EXPECT_NEAR(loss.sum.item<double>(), cross_entropy(logits, targets).sum.item<double>(), 1e-13);
  EXPECT_EQ(loss.count, 5.0);
  EXPECT_EQ(error_message([&] { negative_log_likelihood(logits); }),
            "ShapeError: log-probabilities are [5, 7]; give one for each token, [M]");
}

TEST(Count, IsANumberOrATensorThatHoldsOne) {
  const Count number = 3, tensor = torch::tensor(4);
  EXPECT_FALSE(number.is_tensor());
  EXPECT_TRUE(tensor.is_tensor());
  EXPECT_FALSE(tensor.is_on_device());
  EXPECT_EQ(number, 3.0);
  EXPECT_EQ(tensor, 4.0);
  for (const Count& count : {number, tensor}) {
    EXPECT_EQ(count.on(torch::kCPU).scalar_type(), torch::kDouble);
    EXPECT_EQ(count.on(torch::kCPU).item<double>(), double(count));
  }
}

TEST(CrossEntropy, OfNothingJudgedIsZeroOfZero) {
  const auto loss = cross_entropy(torch::randn({2, 3}), torch::tensor({-100, -100}, torch::kLong));
  EXPECT_EQ(loss.sum.item<double>(), 0.0);
  EXPECT_EQ(loss.count, 0.0);
}

TEST(CrossEntropy, SumsOfPartsAreTheSumOfTheWhole) {
  torch::manual_seed(2);
  const auto logits = torch::randn({10, 3}, torch::kDouble);
  const auto targets = torch::randint(0, 3, {10}, torch::kLong);
  const auto whole = cross_entropy(logits, targets);
  const auto first = cross_entropy(logits.slice(0, 0, 7), targets.slice(0, 0, 7));
  const auto second = cross_entropy(logits.slice(0, 7), targets.slice(0, 7));
  EXPECT_NEAR((first.sum + second.sum).item<double>(), whole.sum.item<double>(), 1e-12);
  EXPECT_EQ(first.count + second.count, whole.count);
}

TEST(CrossEntropy, NamesSizesThatDoNotFit) {
  EXPECT_EQ(error_message([] {
              cross_entropy(torch::zeros({2, 3}), torch::zeros({4}, torch::kLong));
            }),
            "ShapeError: cross-entropy needs logits [N, C] and targets [N], got [2, 3] and [4]; flatten all but the "
            "class dimension");
  EXPECT_EQ(error_message([] {
              cross_entropy(torch::zeros({1, 3}), torch::zeros({1}, torch::kLong), {.label_smoothing = 2.0});
            }),
            "OptionError: label_smoothing is 2; it must lie in [0, 1]");
}

TEST(MeanSquaredError, SumsOverElements) {
  const auto loss = mean_squared_error(torch::tensor({1.0, 2.0, 4.0}), torch::tensor({1.0, 0.0, 1.0}));
  EXPECT_EQ(loss.sum.item<double>(), 13.0);
  EXPECT_EQ(loss.count, 3.0);
}

TEST(MeanSquaredError, DoesNotBroadcast) {
  EXPECT_EQ(error_message([] {
              mean_squared_error(torch::zeros({3, 1}), torch::zeros({3}));
            }),
            "ShapeError: squared error needs equal shapes, got predictions [3, 1] and targets [3]");
}

}  // namespace
}  // namespace graft
