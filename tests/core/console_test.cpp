#include "graft/core/console.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace graft {
namespace {

TEST(ClockText, ShowsHoursFromAnHourOn) {
  EXPECT_EQ(clock_text(0.4), "0:00");
  EXPECT_EQ(clock_text(75.0), "1:15");
  EXPECT_EQ(clock_text(3599.6), "1:00:00");
  EXPECT_EQ(clock_text(-1.0), "0:00");
}

TEST(GroupedDigits, SetsACommaBeforeEveryThree) {
  EXPECT_EQ(grouped_digits(0), "0");
  EXPECT_EQ(grouped_digits(999), "999");
  EXPECT_EQ(grouped_digits(22713986), "22,713,986");
  EXPECT_EQ(grouped_digits(-123456), "-123,456");
  EXPECT_EQ(grouped_digits(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace graft
