// Deadlines saturate instead of overflowing: whatever a caller computes is a valid instant.
#include "rearm/deadline.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <sstream>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/virtual_clock.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;

using Years = std::chrono::duration<std::int64_t, std::ratio<31'556'952>>;
using Seconds = std::chrono::duration<double>;

constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();

bool has_passed(Deadline deadline) {
  return !deadline.is_standing() && !deadline.is_never() && deadline.ns() <= detail::now_ns();
}

TEST(Deadline, TheDefaultIsStandingAndNothingElseIs) {
  EXPECT_TRUE(Deadline().is_standing());
  EXPECT_FALSE(Deadline().is_never());
  EXPECT_FALSE(Deadline::never().is_standing());
  EXPECT_FALSE(Deadline::after(0s).is_standing());
  EXPECT_FALSE(Deadline::after(std::chrono::nanoseconds(kLowest)).is_standing());
  EXPECT_FALSE(Deadline::at(Deadline::Clock::time_point::min()).is_standing());
}

TEST(Deadline, ImmediateIsAValueOfItsOwn) {
  EXPECT_TRUE(Deadline::immediate().is_immediate());
  EXPECT_FALSE(Deadline::immediate().is_standing());
  EXPECT_FALSE(Deadline::immediate().is_never());
  EXPECT_EQ(Deadline::at_ns(Deadline::immediate().ns()), Deadline::immediate());
  for (const Deadline past :
       {Deadline::now(), Deadline::after(0s), Deadline::after(std::chrono::nanoseconds(kLowest)),
        Deadline::after(std::chrono::years(-500)), Deadline::at_ns(kLowest),
        Deadline::at(Deadline::Clock::time_point::min())}) {
    EXPECT_FALSE(past.is_immediate());
    EXPECT_LT(Deadline::immediate().ns(), past.ns());
  }
}

TEST(Deadline, NeverIsNever) {
  EXPECT_TRUE(Deadline::never().is_never());
  EXPECT_EQ(Deadline::never(), Deadline::never());
  EXPECT_NE(Deadline::never(), Deadline());
}

TEST(Deadline, ADurationCountsFromNow) {
  const std::int64_t before = detail::now_ns();
  const Deadline deadline = Deadline::after(250ms);
  const std::int64_t after = detail::now_ns();
  EXPECT_GE(deadline.ns(), before + 250'000'000);
  EXPECT_LE(deadline.ns(), after + 250'000'000);
}

TEST(Deadline, ANanosecondIsNotLost) {
  const Deadline::Clock::time_point instant(std::chrono::nanoseconds(123'456'789'012'345'678));
  EXPECT_EQ(Deadline::at(instant).ns(), 123'456'789'012'345'678);
}

TEST(Deadline, ZeroAndNegativeDurationsHavePassed) {
  EXPECT_TRUE(has_passed(Deadline::after(0s)));
  EXPECT_TRUE(has_passed(Deadline::after(-1ns)));
  EXPECT_TRUE(has_passed(Deadline::after(-1h)));
  EXPECT_TRUE(has_passed(Deadline::after(Seconds(-0.5))));
}

TEST(Deadline, FiveHundredYearsFromNowIsNever) {
  EXPECT_TRUE(Deadline::after(Years(500)).is_never());
  EXPECT_TRUE(Deadline::after(std::chrono::hours::max()).is_never());
  EXPECT_TRUE(Deadline::after(std::chrono::nanoseconds::max()).is_never());
}

TEST(Deadline, TwoHundredYearsFromNowIsAnInstantOrNeverButNotThePast) {
  EXPECT_FALSE(has_passed(Deadline::after(Years(200))));
  EXPECT_FALSE(has_passed(Deadline::after(Years(291))));
  EXPECT_FALSE(has_passed(Deadline::after(Years(292))));
  EXPECT_FALSE(has_passed(Deadline::after(Years(293))));
}

TEST(Deadline, FiveHundredYearsAgoHasPassed) {
  EXPECT_TRUE(has_passed(Deadline::after(Years(-500))));
  EXPECT_TRUE(has_passed(Deadline::after(std::chrono::hours::min())));
  EXPECT_TRUE(has_passed(Deadline::after(std::chrono::nanoseconds::min())));
  EXPECT_TRUE(has_passed(Deadline::after(std::chrono::nanoseconds::min() + 1ns)));
}

TEST(Deadline, FloatingPointDurationsSaturateToo) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(Deadline::after(Seconds(kInfinity)).is_never());
  EXPECT_TRUE(Deadline::after(Seconds(1e300)).is_never());
  EXPECT_TRUE(has_passed(Deadline::after(Seconds(-kInfinity))));
  EXPECT_TRUE(has_passed(Deadline::after(Seconds(-1e300))));
}

TEST(Deadline, NotANumberHasPassed) {
  const Seconds nan(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(has_passed(Deadline::after(nan)));
}

TEST(Deadline, TheSumOfNowAndTheLongestDurationDoesNotWrap) {
  // Just below the limit where a duration alone counts as never: now must not push it over.
  const Deadline deadline = Deadline::after(std::chrono::nanoseconds(9'199'999'999'000'000'000));
  EXPECT_FALSE(has_passed(deadline));
  EXPECT_FALSE(deadline.is_standing());
}

TEST(Deadline, AnInstantSaturatesLikeADuration) {
  EXPECT_TRUE(Deadline::at(Deadline::Clock::time_point::max()).is_never());
  EXPECT_TRUE(has_passed(Deadline::at(Deadline::Clock::time_point::min())));
  EXPECT_TRUE(has_passed(Deadline::at(Deadline::Clock::time_point())));
  const std::chrono::time_point<Deadline::Clock, Years> far(Years(600));
  EXPECT_TRUE(Deadline::at(far).is_never());
}

TEST(Deadline, NanosecondsGoOutAndComeBack) {
  for (const Deadline deadline : {Deadline::never(), Deadline::after(0s), Deadline::after(5s)}) {
    EXPECT_EQ(Deadline::at_ns(deadline.ns()), deadline);
  }
  EXPECT_TRUE(Deadline::at_ns(kHighest).is_never());
}

TEST(Deadline, TheValueThatMeansStandingCannotBeMadeFromNanoseconds) {
  EXPECT_FALSE(Deadline::at_ns(kLowest).is_standing());
  EXPECT_TRUE(has_passed(Deadline::at_ns(kLowest)));
}

TEST(Deadline, ComesInTheOrderOfTime) {
  const Deadline past = Deadline::at_ns(-5);
  const Deadline soon = Deadline::at_ns(1'000);
  const Deadline later = Deadline::at_ns(1'001);
  EXPECT_LT(Deadline::immediate(), past);
  EXPECT_LT(past, soon);
  EXPECT_LT(soon, later);
  EXPECT_LT(later, Deadline::never());
  EXPECT_GE(later, soon);
  EXPECT_LT(Deadline(), Deadline::immediate());
  static_assert(Deadline::at_ns(1) < Deadline::at_ns(2) && noexcept(Deadline() < Deadline()));
}

TEST(Deadline, TheEarlierOfTwoIsTheOneThatPassesFirst) {
  const Deadline soon = Deadline::at_ns(1'000);
  const Deadline later = Deadline::at_ns(1'001);
  for (const auto& [a, b, earlier] : {std::array{soon, later, soon},
                                      {later, Deadline::never(), later},
                                      {soon, Deadline::immediate(), Deadline::immediate()},
                                      {Deadline(), later, later},
                                      {Deadline(), Deadline::never(), Deadline::never()},
                                      {Deadline(), Deadline(), Deadline()},
                                      {soon, soon, soon}}) {
    EXPECT_EQ(Deadline::earlier_of(a, b), earlier);
    EXPECT_EQ(Deadline::earlier_of(b, a), earlier);
  }
  static_assert(Deadline::earlier_of(Deadline(), Deadline::at_ns(7)).ns() == 7);
}

TEST(Deadline, SaysHowFarItIs) {
  const detail::VirtualClock clock(5'000'000'000);
  EXPECT_EQ(Deadline().to_string(), "standing");
  EXPECT_EQ(Deadline::never().to_string(), "never");
  EXPECT_EQ(Deadline::immediate().to_string(), "immediate");
  EXPECT_EQ(Deadline::after(1'250ms).to_string(), "in 1.250 s");
  EXPECT_EQ(Deadline::after(1h + 7ms).to_string(), "in 3600.007 s");
  EXPECT_EQ(Deadline::after(-3ms).to_string(), "0.003 s ago");
  EXPECT_EQ(Deadline::now().to_string(), "0.000 s ago");
  EXPECT_EQ(Deadline::at_ns(kLowest).to_string(), "9223372041.854 s ago");
  std::ostringstream out;
  out << Deadline::after(2s) << ' ' << format_as(Deadline::never());
  EXPECT_EQ(out.str(), "in 2.000 s never");
}

}  // namespace
}  // namespace rearm
