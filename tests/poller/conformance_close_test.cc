// Conformance: close() at any time, any number of times, wakes everybody once (G2) and closes the
// number once, after the last operation has left (G4).
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "poller/conformance.h"
#include "support/scale.h"
#include "support/threads.h"

namespace rearm::test {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

TEST_P(Conformance, CloseClosesTheNumber) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  EXPECT_EQ(close(token), 0U);
  EXPECT_FALSE(is_open(number));
  EXPECT_EQ(drain(pair.b.get()), "");
  EXPECT_TRUE(is_readable(pair.b.get())) << "the peer sees the end";
}

TEST_P(Conformance, CloseReturnsBothWaitersWithTheReason) {
  FdPair pair = socket_pair();
  fill(pair.a.get());
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  EXPECT_EQ(close(token), 2U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(reader.reason(), WakeReason::kClosed);
  EXPECT_EQ(writer.returns, 1);
  EXPECT_EQ(writer.reason(), WakeReason::kClosed);
  EXPECT_EQ(collect_now(), 0U);
}

TEST_P(Conformance, ASecondCloseIsRefusedAndDoesNothing) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  EXPECT_EQ(close(token), 0U);
  const UniqueFd stranger = event_fd();
  ASSERT_EQ(stranger.get(), number);
  for (int i = 0; i < 3; ++i) {
    const auto again = poller().close(token);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), Errc::kClosed);
  }
  EXPECT_TRUE(is_open(stranger.get())) << "a second close closed a stranger's number";
}

TEST_P(Conformance, ClosingWithAReportPendingDropsTheReport) {
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(close(token), 1U);
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(reader.reason(), WakeReason::kClosed);
}

TEST_P(Conformance, CloseBetweenPrepareArmAndCommitMakesTheNextStepFail) {
  for (const bool armed : {false, true}) {
    FdPair pair = socket_pair();
    const Token token = add(std::move(pair.a));
    CountingWaiter reader;
    ASSERT_TRUE(poller().prepare(token, Direction::kRead));
    if (armed) {
      EXPECT_FALSE(poller().arm(token, Direction::kRead));
    }
    EXPECT_EQ(close(token), 0U) << "nobody had been parked";
    if (!armed) {
      EXPECT_EQ(poller().arm(token, Direction::kRead), Errc::kClosed);
    }
    EXPECT_FALSE(poller().commit(token, Direction::kRead, reader));
  }
}

// G4: the number is not closed, hence not reused, under an operation in flight.
TEST_P(Conformance, AnOperationKeepsTheNumberOpenUntilItLeaves) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  send_text(pair.b.get(), "still here");
  auto reading = poller().begin(token, Direction::kRead);
  auto writing = poller().begin(token, Direction::kWrite);
  ASSERT_TRUE(reading && writing);
  EXPECT_EQ(reading->fd(), number);
  EXPECT_EQ(close(token), 0U);
  EXPECT_EQ(poller().begin(token, Direction::kRead).error(), Errc::kClosed);
  const UniqueFd stranger = event_fd();
  EXPECT_NE(stranger.get(), number);
  EXPECT_EQ(drain(reading->fd()), "still here");
  EXPECT_EQ(poller().stats().descriptors, 1U);
  reading->leave();
  EXPECT_TRUE(is_open(number)) << "the writer is still inside";
  writing->leave();
  EXPECT_FALSE(is_open(number));
  EXPECT_EQ(poller().stats().descriptors, 0U);
}

TEST_P(Conformance, AnOperationMayMoveAndLeavesOnce) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  {
    auto begun = poller().begin(token, Direction::kRead);
    ASSERT_TRUE(begun);
    Poller::Operation operation = std::move(*begun);
    Poller::Operation other;
    other = std::move(operation);
    EXPECT_EQ(other.fd(), number);
    EXPECT_EQ(poller().begin(token, Direction::kRead).error(), Errc::kBusy);
    other.leave();
    other.leave();
    EXPECT_TRUE(poller().begin(token, Direction::kRead)) << "free again";
  }
  EXPECT_EQ(close(token), 0U);
  EXPECT_FALSE(is_open(number));
}

TEST_P(Conformance, OneReaderAndOneWriterAreInsideASecondOneIsBusy) {
  const Token token = add_quiet();
  const auto reading = poller().begin(token, Direction::kRead);
  const auto writing = poller().begin(token, Direction::kWrite);
  EXPECT_TRUE(reading && writing);
  EXPECT_EQ(poller().begin(token, Direction::kRead).error(), Errc::kBusy);
  EXPECT_EQ(poller().begin(token, Direction::kWrite).error(), Errc::kBusy);
  EXPECT_EQ(close(token), 0U);
}

// Waiting needs no operation: whoever closes meanwhile wakes the waiter at once, even while an
// operation of the other direction keeps the number open.
TEST_P(Conformance, CloseWakesAWaiterThoughAnOperationIsInProgress) {
  const Token token = add_quiet();
  const auto writing = poller().begin(token, Direction::kWrite);
  ASSERT_TRUE(writing);
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(close(token), 1U);
  EXPECT_EQ(reader.reason(), WakeReason::kClosed);
}

// R17 (dragonfly#5950), R18 (co#9): shut down, then closed, before the report of the first is
// taken. The close itself returns the waiter, so there is nothing to wait for.
TEST_P(Conformance, ShutdownAndCloseBackToBackReturnTheWaiterOnce) {
  const std::uint64_t rounds = scaled(5'000);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    FdPair pair = socket_pair();
    const int number = pair.a.get();
    const Token token = add(std::move(pair.a));
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    (void)::shutdown(number, SHUT_RDWR);
    ASSERT_EQ(close(token), 1U);
    EXPECT_EQ(collect_now(), 0U);
    ASSERT_EQ(reader.returns, 1);
  }
  EXPECT_EQ(poller().stats().stale_events, 0U);
}

// R17 while another thread sleeps in collect(), which takes the report of the shutdown or comes too
// late for it. Forbidden: that the waiter comes back from both, or from neither for a while. (Ten
// milliseconds in the catalogue of such bugs; here what a busy machine may take.)
TEST_P(Conformance, ShutdownAndCloseBackToBackDuringACollectReturnTheWaiterSoon) {
  struct Reader final : Waiter {
    std::atomic<int> returns{0};
  };
  const auto count = [](WaiterList waiters) {
    while (Waiter* const waiter = waiters.pop_front()) ++static_cast<Reader*>(waiter)->returns;
  };
  std::atomic<bool> over{false};
  std::thread collector([&] {
    while (!over.load()) count(poller().collect(Deadline::never()));
  });
  const std::uint64_t rounds = scaled(2'000);
  std::int64_t slowest_ns = 0;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    FdPair pair = socket_pair();
    const int number = pair.a.get();
    const Token token = add(std::move(pair.a));
    Reader reader;
    park(token, Direction::kRead, reader);
    const std::int64_t start_ns = detail::now_ns();
    (void)::shutdown(number, SHUT_RDWR);
    auto waiters = poller().close(token);
    EXPECT_TRUE(waiters);
    if (waiters) count(std::move(*waiters));
    while (reader.returns.load() == 0 &&
           detail::now_ns() - start_ns < kPatience.count() * kSecondNs) {
      ::sched_yield();
    }
    slowest_ns = std::max(slowest_ns, detail::now_ns() - start_ns);
    EXPECT_EQ(reader.returns.load(), 1) << "in round " << i;
    if (HasFailure()) break;
  }
  over.store(true);
  poller().wake();
  collector.join();
  EXPECT_LT(slowest_ns, kSecondNs);
}

// R61 (asio#1657, #268): nobody ever waits for it. All that is done with it are system calls, by
// one thread, and another closes it.
TEST_P(Conformance, ADescriptorThatNobodyEverWaitedForIsClosedLikeAnyOther) {
  const std::uint64_t rounds = scaled(100);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    FdPair pair = socket_pair();
    const int number = pair.a.get();
    const Token token = add(std::move(pair.a));
    if (i % 2 == 0) {  // Otherwise not even that.
      send_text(pair.b.get(), "ping");
      const auto reading = poller().begin(token, Direction::kRead);
      ASSERT_TRUE(reading);
      EXPECT_EQ(drain(reading->fd()), "ping");
      const auto writing = poller().begin(token, Direction::kWrite);
      ASSERT_TRUE(writing);
      send_text(writing->fd(), "pong");
    }
    std::thread([&] { EXPECT_EQ(close(token), 0U); }).join();
    EXPECT_FALSE(is_open(number));
    EXPECT_EQ(drain(pair.b.get()), i % 2 == 0 ? "pong" : "");
    EXPECT_EQ(poller().close(token).error(), Errc::kClosed);
  }
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(poller().stats().arms, 0U);
  EXPECT_EQ(poller().stats().descriptors, 0U);
}

// A closed number was closed behind the library's back: an error inside, no more (R18, R19).
TEST_P(Conformance, ANumberClosedBehindTheLibraryIsNotFatal) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  ASSERT_EQ(::close(number), 0);
  EXPECT_EQ(close(token), 0U);
  (void)take_breaches();  // The witness has seen it, too.
}

// What the kernel itself does not do (close() of a watched number wakes nobody in any kernel), the
// poller does: the waiter comes back from close() while another thread sleeps in collect().
TEST_P(Conformance, CloseDuringACollectLeavesItAsleepAndReturnsTheWaiter) {
  const Token token = add_quiet();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  std::thread waiting([this] { EXPECT_EQ(collect(Deadline::never()), 0U); });
  let_it_sleep();
  EXPECT_EQ(close(token), 1U);
  EXPECT_EQ(reader.returns, 1);
  poller().wake();
  waiting.join();
}

// R24 in spirit (liburing#932), R71 (libfabric#5432): a kernel that sleeps on a file may hold it
// (poll(2) does), and answers for what it was asked before. The peer learns of the close when it
// returns, and whoever gets the number next is not answered in its former owner's place.
TEST_P(Conformance, ThePeerLearnsOfACloseThoughSomebodySleepsOnTheNumber) {
  std::thread waiting([this] { EXPECT_EQ(collect(Deadline::never()), 1U); });
  int number = -1;
  for (int i = 0; i < 20; ++i) {
    FdPair pair = socket_pair();
    if (i > 0) {
      EXPECT_EQ(pair.a.get(), number) << "in the same place";
    }
    number = pair.a.get();
    const Token token = add(std::move(pair.a));
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    let_it_sleep();
    EXPECT_EQ(close(token), 1U);
    EXPECT_TRUE(is_readable(pair.b.get())) << "closed, and still open, in round " << i;
  }
  UniqueFd last_fd = event_fd();
  number = last_fd.get();
  const Token last = add(std::move(last_fd));
  CountingWaiter reader;
  park(last, Direction::kRead, reader);
  make_readable(number);
  waiting.join();
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(close(last), 0U);
}

}  // namespace
}  // namespace rearm::test
