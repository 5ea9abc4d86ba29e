#include "graft/training/calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "support/error_message.hpp"

namespace graft {
namespace {

/// Logits of which the true chances are logistic(slope x + intercept).
struct Drawn {
  std::vector<double> logits;
  std::vector<std::uint8_t> right;

  Drawn(double slope, double intercept, std::size_t count) {
    std::mt19937_64 random(7);
    for (std::size_t i = 0; i < count; ++i) {
      logits.push_back(static_cast<double>(random() % 8001) / 1000 - 4);
      const double chance = 1 / (1 + std::exp(-(slope * logits.back() + intercept)));
      right.push_back(static_cast<double>(random() % 1'000'000) / 1e6 < chance);
    }
  }
};

TEST(LogisticScale, FindsTheLineThatTheDataWereDrawnBy) {
  const Drawn drawn(2, -1, 40'000);
  const LogisticScale scale = fit_logistic_scale(drawn.logits, drawn.right);
  // 40,000 draws leave standard errors of 0.03 and 0.02.
  EXPECT_NEAR(scale.slope, 2, 0.1);
  EXPECT_NEAR(scale.intercept, -1, 0.1);
  EXPECT_LT(scale.loss, scale.loss_before);
  const auto loss = [&](double slope, double intercept) {
    double sum = 0;
    for (std::size_t i = 0; i < drawn.logits.size(); ++i) {
      const double x = slope * drawn.logits[i] + intercept;
      sum += std::log1p(std::exp(drawn.right[i] ? -x : x));
    }
    return sum / static_cast<double>(drawn.logits.size());
  };
  EXPECT_NEAR(loss(scale.slope, scale.intercept), scale.loss, 1e-9);
  EXPECT_NEAR(loss(1, 0), scale.loss_before, 1e-9);
  for (const double by : {-0.05, 0.05}) {  // no other line is better
    EXPECT_GT(loss(scale.slope + by, scale.intercept), scale.loss);
    EXPECT_GT(loss(scale.slope, scale.intercept + by), scale.loss);
  }
}

TEST(LogisticScale, StaysFiniteWhereAThresholdTellsAllApart) {
  const LogisticScale scale =
      fit_logistic_scale(std::vector<double>{-3, -2, 2, 300}, std::vector<std::uint8_t>{0, 0, 1, 1});
  EXPECT_GT(scale.slope, 0);
  EXPECT_LT(scale.slope, 10);
  EXPECT_TRUE(std::isfinite(scale.intercept));
}

TEST(LogisticScale, OfScoresThatSayNothingIsTheShareOfTheRight) {
  const LogisticScale scale = fit_logistic_scale(std::vector<double>(100, 3.0), [] {
    std::vector<std::uint8_t> right(100, 0);
    right[0] = right[1] = 1;
    return right;
  }());
  // (2 + 1) / (2 + 2) for the two, 1 / (98 + 2) for the others, on average.
  EXPECT_NEAR(1 / (1 + std::exp(-(3 * scale.slope + scale.intercept))), (2 * 0.75 + 98 * 0.01) / 100, 1e-6);
}

TEST(LogisticScale, IsNegativeWhereLessIsBetter) {
  const Drawn drawn(-1, 0, 1000);
  EXPECT_LT(fit_logistic_scale(drawn.logits, drawn.right).slope, -0.5);
}

TEST(LogisticScale, NamesWhatItCannotBeMadeFrom) {
  const auto says = [](std::vector<double> logits, std::vector<std::uint8_t> right) {
    return error_message([&] { fit_logistic_scale(logits, right); });
  };
  EXPECT_EQ(says({1, 2}, {1}), "OptionError: there are 2 logits, but of 1 it is known what is right");
  EXPECT_EQ(says({1, 2}, {1, 1}), "OptionError: of 2 logits 2 are of what is right; a scale needs both kinds");
  EXPECT_EQ(says({}, {}), "OptionError: of 0 logits 0 are of what is right; a scale needs both kinds");
  EXPECT_EQ(says({1, INFINITY}, {1, 0}), "OptionError: a logit is inf; no chance can be made of it");
}

}  // namespace
}  // namespace graft
