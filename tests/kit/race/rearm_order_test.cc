// The windows between re-arm and close, hit on purpose.
//
// The races in report_race_test.cc find these windows by luck. Here each round stops one thread in
// the middle: the forgetting backend calls the test from inside arm(), that is, while the
// descriptor's lock is held, so that whoever comes next stands before the lock when it is released.
// The backend's witness says whether the contract was kept (golang/go#7410).
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

#include <gtest/gtest.h>

#include "support/race_test.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;

class RearmOrder : public RaceTest {
 protected:
  void SetUp() override {
    RaceTest::SetUp();
    reader_.returns = writer_.returns = 0;
  }

  void TearDown() override {
    forget_hooks();
    RaceTest::TearDown();
  }

  static std::uint64_t rounds() { return scaled(400); }

  static void forget_hooks() {
    ForgettingBackend::on_arm = nullptr;
    ForgettingBackend::on_report = nullptr;
  }

  // Long enough for a thread that runs to reach the lock and fall asleep before it.
  static void let_it_reach_the_lock() { std::this_thread::sleep_for(100us); }

  // Waits for another thread, which a broken library may never let get there.
  static void await(const std::atomic<bool>& flag) {
    const Deadline patience = Deadline::after(kPatience);
    while (!flag.load(std::memory_order_relaxed)) {
      ::sched_yield();
      if (detail::now_ns() < patience.ns()) continue;
      ADD_FAILURE() << "the other thread never came to the place where it was to be stopped";
      return;
    }
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
    ForgettingBackend::on_arm = [&] {
      if (std::this_thread::get_id() != self || thread.joinable()) return;
      thread = std::thread(other);
      await(is_near);
      let_it_reach_the_lock();
    };
    park(token_, direction, waiter);
    afterwards();
    thread.join();
    forget_hooks();
  }

  // A fresh eventfd, which is writable, so that a report for writing is pending.
  void begin_with_a_report() {
    token_ = add(event_fd());
    park(token_, Direction::kWrite, writer_);
  }

  // The collector has the report in its hands, and stands before the lock to re-arm.
  void collect_and_meanwhile(const std::function<void()>& afterwards) {
    std::atomic<bool> report_is_taken{false};
    ForgettingBackend::on_report = [&] { report_is_taken.store(true, std::memory_order_relaxed); };
    run_before_the_lock(
        Direction::kRead, reader_, report_is_taken, [this] { settle(); }, afterwards);
  }

  Token token_;
  CountingWaiter reader_;
  CountingWaiter writer_;
};

// Race (R01: golang/go#7410): the re-arm comes to the lock after the close. Forbidden (G1): that it
// associates the closed number. The guard is the closing check in PollerCore::rearm().
TEST_P(RearmOrder, AReArmThatComesAfterTheCloseArmsNothing) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    begin_with_a_report();
    collect_and_meanwhile([this] { (void)close(token_); });
    ASSERT_EQ(ForgettingBackend::take_breaches(), "") << "round " << i;
  }
  EXPECT_EQ(reader_.returns + writer_.returns, static_cast<int>(2 * rounds()));
}

// Race (R01, R02, R12): the re-arm comes to the lock after the close, and after a stranger has got
// the number and the slot. Forbidden (G1, G3): that it associates the stranger's number under the
// old name, so that the stranger's reports are dropped as stale. The guard is the comparison of the
// generation in PollerCore::rearm().
TEST_P(RearmOrder, AReArmThatComesAfterReuseLeavesTheStrangerAlone) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    begin_with_a_report();
    Token stranger;
    int stranger_fd = -1;
    CountingWaiter waiter;
    collect_and_meanwhile([&] {
      (void)close(token_);
      UniqueFd fd = event_fd();
      stranger_fd = fd.get();
      stranger = add(std::move(fd));
      park(stranger, Direction::kRead, waiter);
    });
    ASSERT_EQ(ForgettingBackend::take_breaches(), "") << "round " << i;
    if (waiter.returns != 0) park(stranger, Direction::kRead, waiter);  // Spurious, and legal.
    make_readable(stranger_fd);
    ASSERT_TRUE(returns(waiter)) << "the stranger's report was lost in round " << i;
    (void)close(stranger);
  }
}

// Race: an arm for another direction comes to the lock after the close. Forbidden (G1): that it
// associates the closed number. The guard is the closing check in PollerCore::arm_forgetting().
TEST_P(RearmOrder, AnArmThatComesAfterTheCloseArmsNothing) {
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
    ASSERT_EQ(ForgettingBackend::take_breaches(), "") << "round " << i;
    const bool parked = read && *read == Poller::Prepared::kParked;
    ASSERT_EQ(reader_.returns - before, parked ? 1 : 0);
  }
}

// Race: the close comes while the re-arm is in the kernel. Forbidden (G1): that the kernel is told
// to forget before the re-arm is through, which would then associate a closed number. The guards
// are the lock in PollerCore::rearm() and the lock in PollerCore::disconnect().
TEST_P(RearmOrder, ACloseWaitsForTheReArmThatIsUnderWay) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    token_ = add(event_fd());
    park(token_, Direction::kRead, reader_);
    park(token_, Direction::kWrite, writer_);
    std::atomic<bool> rearm_is_under_way{false};
    std::atomic<bool> close_has_begun{false};
    ForgettingBackend::on_arm = [&] {
      rearm_is_under_way.store(true, std::memory_order_relaxed);
      await(close_has_begun);
      let_it_reach_the_lock();
    };
    std::thread collector([this] { settle(); });
    await(rearm_is_under_way);
    close_has_begun.store(true, std::memory_order_relaxed);
    (void)close(token_);
    collector.join();
    forget_hooks();
    ASSERT_EQ(ForgettingBackend::take_breaches(), "") << "round " << i;
  }
}

// Race: a second arm comes while the first is in the kernel. Forbidden: two at once, the later of
// which would set an interest that does not know of the other's.
TEST_P(RearmOrder, ASecondArmWaitsForTheFirst) {
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
    ASSERT_EQ(ForgettingBackend::take_breaches(), "") << "round " << i;
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
TEST_P(RearmOrder, AWaitThatOvertakesTheReArmComesBack) {
  for (std::uint64_t i = 0; i < rounds(); ++i) {
    UniqueFd fd = event_fd();
    const int number = fd.get();
    token_ = add(std::move(fd));
    park(token_, Direction::kRead, reader_);
    ASSERT_EQ(poller().cancel(token_, Direction::kRead, WakeReason::kCancelled), &reader_);
    make_readable(number);
    std::atomic<bool> report_is_taken{false};
    ForgettingBackend::on_report = [&] { report_is_taken.store(true, std::memory_order_relaxed); };
    const int before = reader_.returns;
    run_before_the_lock(
        Direction::kWrite, writer_, report_is_taken, [this] { settle(); },
        [this] { park(token_, Direction::kRead, reader_); });
    ASSERT_TRUE(reader_.returns > before || returns(reader_)) << "lost in round " << i;
    (void)close(token_);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RearmOrder, ::testing::Values(ForgettingBackend::kName),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
