// A thread with a clock of its own sees that one, and nobody else does.
#include "base/virtual_clock.h"

#include <chrono>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "rearm/deadline.h"

namespace rearm::detail {
namespace {

using namespace std::chrono_literals;

bool shows_the_steady_clock() {
  const auto steady_ns = [] {
    return std::chrono::nanoseconds(Deadline::Clock::now().time_since_epoch()).count();
  };
  const auto before_ns = steady_ns();
  const auto shown_ns = now_ns();
  const auto deadline_ns = Deadline::now().ns();
  const auto after_ns = steady_ns();
  return before_ns <= shown_ns && shown_ns <= deadline_ns && deadline_ns <= after_ns;
}

TEST(VirtualClock, WithoutOneItIsTheSteadyClock) {
  EXPECT_FALSE(VirtualClock::anywhere());
  EXPECT_TRUE(shows_the_steady_clock());
}

TEST(VirtualClock, EverythingThatAsksForTheTimeSeesIt) {
  VirtualClock clock(1000);
  EXPECT_TRUE(VirtualClock::anywhere());
  EXPECT_EQ(now_ns(), 1000);
  EXPECT_EQ(Deadline::now().ns(), 1000);
  EXPECT_EQ(Deadline::after(1ns).ns(), 1001);
  clock.set(500);
  EXPECT_EQ(Deadline::after(-1ns).ns(), 499);
}

TEST(VirtualClock, AnotherThreadDoesNotSeeIt) {
  const VirtualClock clock(1000);
  bool is_steady = false;
  std::thread([&is_steady] { is_steady = shows_the_steady_clock(); }).join();
  EXPECT_TRUE(is_steady);
}

TEST(VirtualClock, SuspendedTheSteadyClockShowsAndThenItAgain) {
  const VirtualClock clock(1000);
  {
    const VirtualClock::Suspended suspended;
    EXPECT_TRUE(shows_the_steady_clock());
  }
  EXPECT_EQ(now_ns(), 1000);
}

TEST(VirtualClock, TheSteadyClockIsBackAfterwards) {
  {
    const VirtualClock clock(1000);
  }
  EXPECT_FALSE(VirtualClock::anywhere());
  EXPECT_TRUE(shows_the_steady_clock());
}

TEST(VirtualClockDeathTest, AThreadHasOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const VirtualClock clock(1000);
  EXPECT_DEATH(const VirtualClock second(2000), "given a second virtual clock");
}

TEST(VirtualClockDeathTest, OnlyItsThreadDestroysIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<VirtualClock> clock(std::in_place, 1000);
        std::thread([&clock] { clock.reset(); }).join();
      },
      "destroyed on another thread");
}

}  // namespace
}  // namespace rearm::detail
