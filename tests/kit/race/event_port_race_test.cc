// The re-arm against close, hit on purpose, as an event port sees it (golang/go#7410).
//
// The races in report_race_test.cc find these windows by luck. Here each round stops one thread in
// the middle: the emulated port calls the test from inside port_associate(), that is, while the
// descriptor's lock is held, so that the thread that comes next stands before the lock when it is
// released. The witness in the port says whether the contract was kept; the rest is what a kernel
// knows: that a port knows a number which it was told to forget, and that a report is lost.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "emulation/event_port.h"
#include "support/race_test.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;

class EventPortRace : public RaceTest {
 protected:
  void SetUp() override {
    RaceTest::SetUp();
    reader_.returns = writer_.returns = 0;
  }

  void TearDown() override {
    event_port_hooks() = {};
    RaceTest::TearDown();
  }

  static std::uint64_t rounds() { return scaled(400); }

  // Long enough for a thread that runs to reach the descriptor's lock and fall asleep before it.
  static void let_it_reach_the_lock() { std::this_thread::sleep_for(100us); }

  static void await(const std::atomic<bool>& flag) {
    const Deadline patience = Deadline::after(kPatience);
    while (!flag.load(std::memory_order_relaxed)) {
      ::sched_yield();
      if (detail::now_ns() < patience.ns()) continue;
      ADD_FAILURE() << "the other thread never came to the place where it was to be stopped";
      return;
    }
  }

  // A fresh eventfd, which is writable, so that a report for writing is queued.
  void begin_with_a_report() {
    UniqueFd fd = event_fd();
    number_ = fd.get();
    token_ = add(std::move(fd));
    park(token_, Direction::kWrite, writer_);
  }

  // Arms `direction` on this thread and runs `other` on another one meanwhile. `other` is started
  // inside the arm, under the lock; the arm goes on when `is_near` is true and the other thread has
  // had time to reach the lock. Then does `afterwards` at once, which gets the lock before the
  // thread that sleeps there more often than not.
  void run_before_the_lock(Direction direction, CountingWaiter& waiter,
                           const std::atomic<bool>& is_near, const std::function<void()>& other,
                           const std::function<void()>& afterwards) {
    std::thread thread;
    const auto self = std::this_thread::get_id();
    event_port_hooks().on_associate = [&] {
      if (std::this_thread::get_id() != self || thread.joinable()) return;
      thread = std::thread(other);
      await(is_near);
      let_it_reach_the_lock();
    };
    park(token_, direction, waiter);
    afterwards();
    thread.join();
    event_port_hooks() = {};
  }

  // A collector takes the report and comes to the lock to re-arm, while this thread arms.
  void collect_and_meanwhile(Direction direction, CountingWaiter& waiter,
                             const std::function<void()>& afterwards) {
    std::atomic<bool> report_is_taken{false};
    event_port_hooks().on_retrieve = [&] {
      report_is_taken.store(true, std::memory_order_relaxed);
    };
    run_before_the_lock(direction, waiter, report_is_taken, [this] { settle(); }, afterwards);
  }

  Token token_;
  int number_ = -1;
  CountingWaiter reader_;
  CountingWaiter writer_;
};

// Race (R01: golang/go#7410): the re-arm comes to the lock after the close. Forbidden (G1): that it
// associates the closed number. The guard is the closing check in PollerCore::rearm().
TEST_P(EventPortRace, AReArmThatComesAfterTheCloseAssociatesNothing) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    begin_with_a_report();
    UniqueFd stranger;
    collect_and_meanwhile(Direction::kRead, reader_, [&] {
      (void)close(token_);
      if (i % 2 == 0) stranger = event_fd();
    });
    ASSERT_EQ(take_breaches(), "") << "round " << i;
    ASSERT_FALSE(event_port_knows(poller().native_handle(), number_))
        << "a stranger's number was associated in round " << i;
  }
  EXPECT_EQ(reader_.returns + writer_.returns, static_cast<int>(2 * rounds()));
}

// Race (R01, R02, R12): the re-arm comes to the lock after a stranger has got the number and the
// slot. Forbidden (G1, G3): that it associates the stranger's number under the old token, so that
// the stranger's report is dropped as stale. The guard is the comparison of the generation in
// PollerCore::rearm().
TEST_P(EventPortRace, AReArmThatComesAfterReuseLeavesTheStrangerAlone) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    begin_with_a_report();
    Token stranger;
    CountingWaiter waiter;
    int stranger_number = -1;
    collect_and_meanwhile(Direction::kRead, reader_, [&] {
      (void)close(token_);
      UniqueFd fd = event_fd();
      stranger_number = fd.get();
      stranger = add(std::move(fd));
      park(stranger, Direction::kRead, waiter);
    });
    if (waiter.returns != 0) park(stranger, Direction::kRead, waiter);  // Spurious, and legal.
    make_readable(stranger_number);
    const bool has_returned = returns(waiter);
    (void)close(stranger);
    ASSERT_EQ(take_breaches(), "") << "round " << i;
    ASSERT_TRUE(has_returned) << "the stranger's report was lost in round " << i;
  }
}

// Race: the close comes while the re-arm is in port_associate(). Forbidden (G1): that the port is
// told to forget before the re-arm is through, which would then associate a closed number. The
// guards are the lock in PollerCore::rearm() and the lock in PollerCore::disconnect().
TEST_P(EventPortRace, ACloseWaitsForTheReArmThatIsUnderWay) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    UniqueFd fd = event_fd();
    number_ = fd.get();
    token_ = add(std::move(fd));
    park(token_, Direction::kRead, reader_);
    park(token_, Direction::kWrite, writer_);
    std::atomic<bool> rearm_is_under_way{false};
    std::atomic<bool> close_has_begun{false};
    event_port_hooks().on_associate = [&] {
      rearm_is_under_way.store(true, std::memory_order_relaxed);
      await(close_has_begun);
      let_it_reach_the_lock();
    };
    std::thread collector([this] { settle(); });
    await(rearm_is_under_way);
    close_has_begun.store(true, std::memory_order_relaxed);
    (void)close(token_);
    collector.join();
    event_port_hooks() = {};
    ASSERT_EQ(take_breaches(), "") << "round " << i;
    ASSERT_FALSE(event_port_knows(poller().native_handle(), number_)) << "round " << i;
  }
}

// Race: an arm and a re-arm of one descriptor. Forbidden: two port_associate() of one number at
// once, which port_associate(3C) rules out. The guards are the locks in PollerCore::rearm() and
// PollerCore::arm_forgetting().
TEST_P(EventPortRace, AnArmWaitsForTheReArmThatIsUnderWay) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    UniqueFd fd = event_fd();
    const int number = fd.get();
    token_ = add(std::move(fd));
    park(token_, Direction::kRead, reader_);
    park(token_, Direction::kWrite, writer_);
    std::atomic<bool> rearm_is_under_way{false};
    event_port_hooks().on_associate = [&] {
      if (rearm_is_under_way.exchange(true, std::memory_order_relaxed)) return;
      let_it_reach_the_lock();
    };
    std::thread collector([this] { settle(); });
    await(rearm_is_under_way);
    (void)poller().arm(token_, Direction::kWrite);
    collector.join();
    event_port_hooks() = {};
    make_readable(number);
    const bool has_returned = returns(reader_);
    (void)close(token_);
    ASSERT_EQ(take_breaches(), "") << "round " << i;
    ASSERT_TRUE(has_returned) << "lost in round " << i;
  }
}

// Race: an arm for another direction comes to the lock after the close. Forbidden (G1): that it
// associates the closed number. The guard is the closing check in PollerCore::arm_forgetting().
TEST_P(EventPortRace, AnArmThatComesAfterTheCloseAssociatesNothing) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    token_ = add(event_fd());
    std::atomic<bool> is_near{false};
    Result<Poller::Prepared> read{};
    const int before = reader_.returns;
    run_before_the_lock(
        Direction::kWrite, writer_, is_near,
        [&] {
          is_near.store(true, std::memory_order_relaxed);
          read = poller().wait(token_, Direction::kRead, reader_);
        },
        [this] { (void)close(token_); });
    ASSERT_EQ(take_breaches(), "") << "round " << i;
    const bool parked = read && *read == Poller::Prepared::kParked;
    ASSERT_EQ(reader_.returns - before, parked ? 1 : 0);
  }
}

// Race: a second arm comes while the first is in the kernel. Forbidden: two at once, the later of
// which would set an interest that does not know of the other's.
TEST_P(EventPortRace, ASecondArmWaitsForTheFirst) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    UniqueFd fd = event_fd();
    const int number = fd.get();
    token_ = add(std::move(fd));
    std::atomic<bool> is_near{false};
    run_before_the_lock(
        Direction::kWrite, writer_, is_near,
        [&] {
          is_near.store(true, std::memory_order_relaxed);
          park(token_, Direction::kRead, reader_);
        },
        [] {});
    ASSERT_EQ(take_breaches(), "") << "round " << i;
    ASSERT_TRUE(returns(writer_));
    make_readable(number);
    ASSERT_TRUE(returns(reader_)) << "the first arm's interest overwrote the second's";
    (void)close(token_);
  }
}

// Race: the report has been taken, so that the kernel has forgotten, but the re-arm has not come to
// the lock: to the poller the direction is still armed, and a wait that comes now tells the kernel
// nothing. Forbidden (G6): that this wait is lost. The guard is that deliver() publishes after the
// re-arm, not before it.
TEST_P(EventPortRace, AWaitThatOvertakesTheReArmComesBack) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    UniqueFd fd = event_fd();
    const int number = fd.get();
    token_ = add(std::move(fd));
    park(token_, Direction::kRead, reader_);
    ASSERT_EQ(poller().cancel(token_, Direction::kRead, WakeReason::kCancelled), &reader_);
    make_readable(number);
    const int before = reader_.returns;
    collect_and_meanwhile(Direction::kWrite, writer_,
                          [this] { park(token_, Direction::kRead, reader_); });
    ASSERT_TRUE(reader_.returns > before || returns(reader_)) << "lost in round " << i;
    (void)close(token_);
  }
}

// The window of a report that was copied before the close, wide open. Forbidden (G1, G3): that it
// acts on whoever has the number or the slot by then.
TEST_P(EventPortRace, AReportCopiedBeforeTheCloseNeverActs) {
  EventPortFaults faults;
  faults.late_copy = 500;
  faults.late_copy_us = 20;
  const ScopedEventPortFaults late(faults);
  for (std::uint64_t i = 0; i < 4 * rounds(); ++i) {
    begin_with_a_report();
    std::atomic<bool> report_is_taken{false};
    event_port_hooks().on_retrieve = [&] {
      report_is_taken.store(true, std::memory_order_relaxed);
    };
    std::thread collector([this] { settle(); });
    await(report_is_taken);
    (void)close(token_);
    Token stranger = add(event_fd());
    CountingWaiter waiter;
    park(stranger, Direction::kRead, waiter);
    collector.join();
    event_port_hooks() = {};
    ASSERT_EQ(writer_.returns, static_cast<int>(i + 1)) << "not once, in round " << i;
    ASSERT_EQ(close(stranger), 1U) << "woken by a report of an earlier life in round " << i;
    ASSERT_EQ(take_breaches(), "") << "round " << i;
  }
  EXPECT_GT(poller().stats().stale_events, 0U) << "no report was late";
}

INSTANTIATE_TEST_SUITE_P(Backends, EventPortRace, ::testing::Values("event_port"),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
