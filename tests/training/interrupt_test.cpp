#include "graft/training/interrupt.hpp"

#include <gtest/gtest.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

void ignore(int) {}

TEST(InterruptFlag, RaisesItsFlagAtASignal) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const InterruptFlag interrupt;
    EXPECT_FALSE(interrupt.flag());
    std::raise(signal);
    EXPECT_TRUE(interrupt.flag());
  }
}

TEST(InterruptFlag, GivesSignalsBack) {
  const auto before = std::signal(SIGINT, ignore);
  { const InterruptFlag interrupt; }
  EXPECT_EQ(std::signal(SIGINT, before), ignore);
}

TEST(InterruptFlag, EndsTheProgramAtTheSecondSignal) {
  EXPECT_EXIT(
      {
        const InterruptFlag interrupt;
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(InterruptFlag, ExistsOnce) {
  const InterruptFlag first;
  EXPECT_EQ(error_message([] { InterruptFlag second; }),
            "StateError: there is an InterruptFlag already; a process can have one at a time");
}

}  // namespace
}  // namespace graft
