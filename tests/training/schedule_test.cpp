#include "graft/training/schedule.hpp"

#include <array>

#include <gtest/gtest.h>

namespace graft {
namespace {

// Expected numbers: tests/reference/metrics.py (transformers 5.23).
constexpr ScheduleSpan span{.warmup = 10, .total = 100};
constexpr std::array<std::int64_t, 9> steps = {0, 1, 5, 9, 10, 11, 55, 99, 100};

void expect_multipliers(const Schedule& schedule, const std::array<double, 9>& expected) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_NEAR(schedule(steps[i], span), expected[i], 1e-15) << "at step " << steps[i];
  }
}

TEST(LinearDecay, EqualsTransformers) {
  expect_multipliers(LinearDecay{}, {0, 0.1, 0.5, 0.9, 1, 0.98888888888888893, 0.5, 0.011111111111111112, 0});
}

TEST(ConstantRate, EqualsTransformers) { expect_multipliers(ConstantRate{}, {0, 0.1, 0.5, 0.9, 1, 1, 1, 1, 1}); }

TEST(CosineDecay, EqualsTransformers) {
  expect_multipliers(CosineDecay{}, {0, 0.1, 0.5, 0.9, 1, 0.99969541350954794, 0.5, 0.00030458649045211894, 0});
}

TEST(Schedule, StaysAtItsFloorAfterTheEnd) {
  for (const std::int64_t step : {100, 101, 1000}) {
    EXPECT_DOUBLE_EQ(LinearDecay{.floor = 0.2}(step, span), 0.2);
    EXPECT_DOUBLE_EQ(CosineDecay{.floor = 0.2}(step, span), 0.2);
  }
}

TEST(Schedule, StartsInFullWithoutWarmup) {
  const ScheduleSpan no_warmup{.warmup = 0, .total = 10};
  EXPECT_EQ(LinearDecay{}(0, no_warmup), 1.0);
  EXPECT_EQ(CosineDecay{}(0, no_warmup), 1.0);
  EXPECT_EQ(ConstantRate{}(0, no_warmup), 1.0);
}

TEST(Schedule, SurvivesARunThatIsAllWarmup) {
  const ScheduleSpan all{.warmup = 10, .total = 10};
  EXPECT_DOUBLE_EQ(LinearDecay{}(9, all), 0.9);
  EXPECT_DOUBLE_EQ(LinearDecay{}(10, all), 1.0);
  EXPECT_DOUBLE_EQ(CosineDecay{}(9, all), 0.9);
}

}  // namespace
}  // namespace graft
