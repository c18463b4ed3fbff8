// Sleeps and the end of waiting: order, the edges of time, and request_stop().
#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class SleepTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, SleepTest, ::testing::Values(1, 2), test::workers_test_name);

TEST_P(SleepTest, NeverEndsEarly) {
  run([] {
    for (const auto duration : {1us, 100us, 1000us, 5000us}) {
      const auto start = Clock::now();
      EXPECT_TRUE(this_fiber::sleep_for(duration));
      EXPECT_GE(test::since(start), duration);
    }
  });
}

TEST_P(SleepTest, ZeroAndThePastReturnAtOnce) {
  run([] {
    const auto start = Clock::now();
    EXPECT_TRUE(this_fiber::sleep_for(0s));
    EXPECT_TRUE(this_fiber::sleep_for(-1h));
    EXPECT_TRUE(this_fiber::sleep_for(-std::chrono::years(500)));
    EXPECT_TRUE(this_fiber::sleep_until(Deadline::at_ns(0)));
    EXPECT_LT(test::since(start), test::kPatience);
  });
}

TEST_P(SleepTest, SleepersWakeInTheOrderOfTheirInstants) {
  std::mutex mu;
  std::vector<int> order;
  const auto base = Clock::now() + 300ms;  // All of them sleep long before the first instant comes.
  run([&] {
    for (const int i : {4, 1, 3, 0, 2}) {
      spawn([&, i, base] {  // GCC 12 would refer to a copy that dies with the outer closure.
        EXPECT_TRUE(this_fiber::sleep_until(Deadline::at(base + i * 20ms)));
        const std::lock_guard lock(mu);
        order.push_back(i);
      })
          .detach();
    }
  });
  EXPECT_EQ(order.size(), 5U);
  // With several workers two neighbours may overtake each other only if one was held up for 20 ms.
  if (GetParam() == 1) {
    EXPECT_TRUE(std::ranges::is_sorted(order));
  }
}

TEST_P(SleepTest, AnEarlierSleepIsNotHeldUpByALaterOne) {
  run([&] {
    auto late = spawn([] { return this_fiber::sleep_for(std::chrono::years(500)); });
    // Now a worker waits in the kernel, for ever or nearly so.
    EXPECT_TRUE(this_fiber::sleep_for(2ms));
    const auto start = Clock::now();
    EXPECT_TRUE(this_fiber::sleep_for(1ms));
    EXPECT_LT(test::since(start), test::kPatience);
    runtime().request_stop();
    EXPECT_EQ(late.join().error(), Errc::kCancelled);
  });
}

TEST_P(SleepTest, OnAPlainThreadItIsTheThreadThatSleeps) {
  const auto start = Clock::now();
  EXPECT_TRUE(this_fiber::sleep_for(2ms));
  EXPECT_GE(test::since(start), 2ms);
  this_fiber::yield();
}

TEST_P(SleepTest, RequestStopEndsEverySleep) {
  std::atomic<int> cancelled{0};
  run([&] {
    for (const Deadline deadline : {Deadline(), Deadline::never(), Deadline::after(300h),
                                    Deadline::after(std::chrono::years(500))}) {
      spawn([&, deadline] {
        const auto slept = this_fiber::sleep_until(deadline);
        cancelled += !slept && slept.error() == Errc::kCancelled;
      }).detach();
    }
    EXPECT_TRUE(this_fiber::sleep_for(2ms));
    runtime().request_stop();
    EXPECT_EQ(this_fiber::sleep_for(1h).error(), Errc::kCancelled);  // Those to come, too.
  });
  EXPECT_EQ(cancelled.load(), 4);
}

TEST_P(SleepTest, AStopEndsWithItsRun) {
  run([&] { runtime().request_stop(); });
  run([] { EXPECT_TRUE(this_fiber::sleep_for(1ms)); });
}

TEST_P(SleepTest, AStopBeforeTheRunCounts) {
  runtime().request_stop();
  run([] { EXPECT_EQ(this_fiber::sleep_for(1h).error(), Errc::kCancelled); });
}

TEST_P(SleepTest, AStopDoesNotCancelAJoin) {
  run([&] {
    std::atomic<bool> go{false};
    auto handle = spawn([&] {
      while (!go.load()) this_fiber::yield();
      return 3;
    });
    auto joiner = spawn([&] {
      EXPECT_TRUE(handle.wait(Deadline::after(test::kPatience)));
      return handle.join();
    });
    EXPECT_TRUE(this_fiber::sleep_for(1ms));
    runtime().request_stop();
    go.store(true);
    EXPECT_EQ(joiner.join(), 3);
  });
}

// R20. Stops the runtime with 1000 sleepers parked: all of them return.
TEST_P(SleepTest, RequestStopReturnsAThousandSleepers) {
  constexpr int kSleepers = 1000;
  std::atomic<int> cancelled{0};
  run([&] {
    for (int i = 0; i < kSleepers; ++i) {
      spawn([&, i] {
        cancelled += this_fiber::sleep_for(std::chrono::hours(1 + i)).error() == Errc::kCancelled;
      }).detach();
    }
    EXPECT_TRUE(this_fiber::sleep_for(2ms));
    std::thread([&] { runtime().request_stop(); }).join();
  });
  EXPECT_EQ(cancelled.load(), kSleepers);
}

// Race: request_stop() (sets its flag, then expires the timers) against a sleep that begins (looks
// at the flag, then starts its timer). Forbidden: a sleep that neither of the two looks sees.
TEST_P(SleepTest, NoSleepSlipsPastARequestToStop) {
  // A round is a run of its own, which with several workers starts threads.
  const std::uint64_t rounds = test::scaled(GetParam() == 1 ? 1000 : 200);
  std::atomic<std::uint64_t> round{0};
  std::atomic<bool> over{false};
  std::thread stopper([&] {
    std::uint64_t seen = 0;
    while (!over.load()) {
      const std::uint64_t now = round.load();
      if (now == seen) continue;
      seen = now;
      for (std::uint64_t delay = seen * 7 % 97 * 5; delay > 0; --delay) {
        static_cast<void>(over.load(std::memory_order_relaxed));
      }
      runtime().request_stop();
    }
  });
  std::uint64_t lost = 0;
  for (std::uint64_t i = 1; i <= rounds && lost == 0; ++i) {
    lost += run([&] {
      round.store(i);
      return this_fiber::sleep_for(1s).has_value() ? 1U : 0U;
    });
  }
  over.store(true);
  stopper.join();
  EXPECT_EQ(lost, 0U) << "a sleep was not cancelled";
}

// Race: the deadline of wait() against the end of the fiber. Forbidden: a joiner that never wakes,
// or a wait() that says "not ended" although join() then need not wait.
TEST_P(SleepTest, AJoinsDeadlineRacesWithTheEnd) {
  const std::uint64_t rounds = test::scaled(500);
  run([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      const auto nap = std::chrono::microseconds(i % 50);
      auto handle = spawn([nap] {
        EXPECT_TRUE(this_fiber::sleep_for(nap));
        return 1;
      });
      (void)handle.wait(Deadline::after(nap));
      EXPECT_EQ(handle.join(), 1);
    }
  });
}

}  // namespace
}  // namespace rearm
