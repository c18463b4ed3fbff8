// Time under control: it stands still while fibers run, and passes when it is chosen to.
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/virtual_clock.h"
#include "testing/programs.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;

class VirtualTimeTest : public ExploreTest {};

TEST_F(VirtualTimeTest, SleepsOfHoursTakeNoTimeAndEndInOrder) {
  const auto start = std::chrono::steady_clock::now();
  const Report report = testing::explore(
      [] {
        std::string order;
        const std::int64_t begin_ns = Deadline::now().ns();
        const auto sleeper = [&order](char name, std::chrono::hours time) {
          return spawn([&order, name, time] {
            (void)this_fiber::sleep_for(time);
            order += name;
          });
        };
        auto a = sleeper('a', 300h);
        auto b = sleeper('b', 100h);
        auto c = sleeper('c', 200h);
        a.join();
        b.join();
        c.join();
        require(order == "bca", "the sleeps ended out of order");
        require(Deadline::now().ns() - begin_ns == std::chrono::nanoseconds(300h).count(),
                "the clock does not show 300 hours");
      },
      exhaustive(0));
  expect_no_failure(report);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 60s);
}

// Between the end of a sleep and its fiber's going on, more time may pass: a wake-up is late.
TEST_F(VirtualTimeTest, AWakeUpMayBeLate) {
  const auto orders = outcomes_of<std::string>(
      [](std::set<std::string>& all) {
        std::string order;
        auto a = spawn([&] {
          (void)this_fiber::sleep_for(1s);
          order += 'a';
        });
        auto b = spawn([&] {
          (void)this_fiber::sleep_for(2s);
          order += 'b';
        });
        a.join();
        b.join();
        all.insert(order);
      },
      2);
  EXPECT_EQ(orders, (std::set<std::string>{"ab", "ba"}));
}

TEST_F(VirtualTimeTest, TimeStandsStillUnlessItPasses) {
  expect_no_failure(testing::explore(
      [] {
        const Deadline before = Deadline::now();
        std::this_thread::sleep_for(1ms);
        this_fiber::yield();
        require(Deadline::now() == before, "time has passed");
      },
      {.runs = 10}));
}

TEST_F(VirtualTimeTest, EveryRunBeginsAtTheSameInstant) {
  std::set<std::int64_t> begins;
  expect_no_failure(testing::explore(
      [&] {
        begins.insert(Deadline::now().ns());
        (void)this_fiber::sleep_for(1h);
      },
      {.runs = 10}));
  EXPECT_EQ(begins.size(), 1U);
}

TEST_F(VirtualTimeTest, ADeadlineAndTheDataMeetInEitherOrder) {
  const auto outcomes = outcomes_of<std::string>(
      [](std::set<std::string>& all) {
        auto pair = UnixStream::pair().value();
        auto writer = spawn([&pair] {
          (void)this_fiber::sleep_for(10ms);
          (void)pair.second.write_all("x");
        });
        char byte = 0;
        const auto n = pair.first.read_some({&byte, 1}, Deadline::after(10ms));
        all.insert(n ? "data" : n.error().message());
        writer.join();
      },
      2);
  EXPECT_EQ(outcomes, (std::set<std::string>{"data", make_error_code(Errc::kTimedOut).message()}));
}

TEST_F(VirtualTimeTest, ATimeoutThatNobodyBeatsComesAtItsInstant) {
  expect_no_failure(testing::explore(
      [] {
        auto pair = UnixStream::pair().value();
        const std::int64_t begin_ns = Deadline::now().ns();
        char byte = 0;
        const auto n = pair.first.read_some({&byte, 1}, Deadline::after(24h));
        require(!n && n.error() == Errc::kTimedOut, "not timed out");
        require(Deadline::now().ns() == begin_ns + std::chrono::nanoseconds(24h).count(), "late");
      },
      exhaustive(1)));
}

TEST_F(VirtualTimeTest, AWaitForAFiberMayTimeOut) {
  const auto outcomes = outcomes_of<bool>(
      [](std::set<bool>& all) {
        auto sleeper = spawn([] { (void)this_fiber::sleep_for(1s); });
        all.insert(sleeper.wait(Deadline::after(1s)));
        sleeper.join();
      },
      2);
  EXPECT_EQ(outcomes, (std::set<bool>{false, true}));
}

TEST_F(VirtualTimeTest, OtherThreadsAndRuntimesKeepTheSteadyClock) {
  expect_no_failure(testing::explore(
      [] {
        bool is_real = false;
        std::thread([&is_real] {
          const auto steady = std::chrono::steady_clock::now();
          is_real = Deadline::now().ns() >= Deadline::at(steady).ns();
          Runtime runtime({.workers = 1});
          runtime.run([&is_real] {
            const auto start = std::chrono::steady_clock::now();
            (void)this_fiber::sleep_for(2ms);
            is_real = is_real && std::chrono::steady_clock::now() - start >= 2ms;
          });
        }).join();
        require(is_real, "another thread saw virtual time");
      },
      {.runs = 3}));
}

TEST_F(VirtualTimeTest, TheClockIsTheSteadyOneAgainAfterwards) {
  (void)testing::explore([] { (void)this_fiber::sleep_for(1h); }, {.runs = 2});
  EXPECT_FALSE(detail::VirtualClock::anywhere());
  const auto before = std::chrono::steady_clock::now();
  EXPECT_GE(Deadline::now().ns(), Deadline::at(before).ns());
}

}  // namespace
}  // namespace rearm::test
