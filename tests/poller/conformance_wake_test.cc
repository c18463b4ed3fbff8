// Conformance: wake() ends the wait in progress or else the next one; many are as good as one.
#include <csignal>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "poller/conformance.h"
#include "support/scale.h"
#include "support/threads.h"

namespace rearm::test {
namespace {

// R34 (zio#503): before the first wait of all.
TEST_P(Conformance, AWakeBeforeTheWaitIsRemembered) {
  poller().wake();
  EXPECT_TRUE(is_woken(poller()));
  EXPECT_LT(poller().stats().waits, 3U);
}

TEST_P(Conformance, AWakeDuringTheWaitEndsIt) {
  std::thread waiting([this] { EXPECT_EQ(collect(Deadline::never()), 0U); });
  let_it_sleep();
  poller().wake();
  waiting.join();
}

// R28 (polling#265): one wake ends one wait; the next one sleeps.
TEST_P(Conformance, AWakeEndsOneWaitOnly) {
  for (int i = 0; i < 20; ++i) {
    poller().wake();
    EXPECT_TRUE(is_woken(poller()));
    const Deadline short_deadline = Deadline::after(1ms);
    EXPECT_EQ(collect(short_deadline), 0U);
    EXPECT_GE(detail::now_ns(), short_deadline.ns()) << "ended by the wake before";
  }
}

// R75 (polling#74, sonic#30): nobody waits, and the means to wake has a limited size.
TEST_P(Conformance, AMillionWakesWithoutAWaitNeitherBlockNorFail) {
  const std::uint64_t wakes = scaled(1'000'000);
  for (std::uint64_t i = 0; i < wakes; ++i) poller().wake();
  EXPECT_EQ(poller().stats().wakes, 1U) << "merged before they reach the kernel";
  EXPECT_TRUE(is_woken(poller()));
  const Deadline short_deadline = Deadline::after(1ms);
  EXPECT_EQ(collect(short_deadline), 0U);
  EXPECT_GE(detail::now_ns(), short_deadline.ns()) << "many wakes, one return";
}

// R27 (golang/go#53434): however many wakes at once, there is a return after the last one.
TEST_P(Conformance, ThereIsAReturnAfterTheLastOfManyWakes) {
  constexpr int kThreads = 4;
  const std::uint64_t wakes = scaled(10'000);
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t n = 0; n < wakes; ++n) poller().wake();
      --running;
      poller().wake();
    });
  }
  // If the last wake is lost, this never ends, and ctest says so.
  while (running.load() > 0) EXPECT_EQ(collect(Deadline::never()), 0U);
  for (std::thread& thread : threads) thread.join();
  (void)collect_now();
}

// R25 (golang/go#42237): somebody who only looks in must not take the wake of the one who sleeps.
// Here the second one is turned away without asking the kernel.
TEST_P(Conformance, ASecondCollectorTakesNothingFromTheFirst) {
  for (int i = 0; i < 10; ++i) {
    std::atomic<bool> first_is_back{false};
    Sleeper sleeper;
    std::thread first([&] {
      sleeper.here();
      EXPECT_EQ(collect(Deadline::never()), 0U);
      first_is_back = true;
    });
    ASSERT_TRUE(sleeper.await_asleep());
    const std::uint64_t waits = poller().stats().waits;
    for (int n = 0; n < 100; ++n) EXPECT_EQ(collect(Deadline::never()), 0U);
    EXPECT_EQ(poller().stats().waits, waits) << "the second one asked the kernel";
    poller().wake();
    for (int n = 0; n < 100 && !first_is_back; ++n) (void)collect_now();
    first.join();
  }
}

TEST_P(Conformance, AWakeComesTogetherWithReports) {
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(pair.b.get(), "x");
  poller().wake();
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

Poller* woken_by_signal = nullptr;

// The header promises that wake() may be called from a signal handler, which leaves errno alone.
TEST_P(Conformance, AWakeFromASignalHandlerEndsTheWaitAndKeepsErrno) {
  woken_by_signal = &poller();
  const ScopedSignal handler(SIGUSR1, [](int) { woken_by_signal->wake(); });
  errno = 1234;
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(errno, 1234);
  EXPECT_TRUE(is_woken(poller()));
  std::thread waiting([this] { EXPECT_EQ(collect(Deadline::never()), 0U); });
  let_it_sleep();
  ASSERT_EQ(::pthread_kill(waiting.native_handle(), SIGUSR1), 0);
  waiting.join();
}

TEST_P(Conformance, AMovedPollerIsTheSamePoller) {
  const Token token = add_quiet();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  Poller moved = std::move(poller());
  moved.wake();
  EXPECT_TRUE(is_woken(moved));
  poller() = std::move(moved);
  EXPECT_EQ(close(token), 1U);
}

}  // namespace
}  // namespace rearm::test
