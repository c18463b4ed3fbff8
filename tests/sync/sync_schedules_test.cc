// Programs over the objects of this room run under chosen schedules and virtual time.
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "rearm/sync/condition_variable.h"
#include "rearm/sync/event.h"
#include "rearm/sync/mutex.h"
#include "rearm/sync/semaphore.h"
#include "rearm/testing.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

testing::Options exhaustive() {
  return {.strategy = testing::Strategy::kExhaustive, .delays = 2, .quiet = true};
}

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

TEST(SyncSchedules, AnUpdateUnderALockIsNotLostUnderAnySchedule) {
  const auto program = [](bool with_lock) {
    return [with_lock] {
      Mutex mutex;
      int balance = 0;
      const auto add = [&] {
        if (with_lock) mutex.lock();
        const int seen = balance;
        this_fiber::yield();
        balance = seen + 1;
        if (with_lock) mutex.unlock();
      };
      auto other = spawn(add);
      add();
      other.join();
      require(balance == 2, "an update was lost");
    };
  };
  const testing::Report good = testing::explore(program(true), exhaustive());
  EXPECT_TRUE(good) << good.failure->what;
  EXPECT_TRUE(good.complete);
  EXPECT_FALSE(testing::explore(program(false), exhaustive())) << "the test cannot fail";
}

TEST(SyncSchedules, ABufferOfOnePassesEveryValueUnderEverySchedule) {
  const testing::Report report = testing::explore(
      [] {
        Mutex mutex;
        ConditionVariable changed;
        std::deque<int> buffer;
        auto producer = spawn([&] {
          for (int i = 0; i < 2; ++i) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return buffer.empty(); });
            buffer.push_back(i);
            changed.notify_one();
          }
        });
        for (int i = 0; i < 2; ++i) {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return !buffer.empty(); });
          require(buffer.front() == i, "out of order");
          buffer.pop_front();
          changed.notify_one();
        }
        producer.join();
      },
      exhaustive());
  EXPECT_TRUE(report) << report.failure->what << report.failure->table;
  EXPECT_TRUE(report.complete);
}

TEST(SyncSchedules, ADeadlineMeetsAPermitInBothOrders) {
  int given = 0;
  int late = 0;
  const testing::Report report = testing::explore(
      [&] {
        Semaphore permits(0);
        auto giver = spawn([&] {
          (void)this_fiber::sleep_for(1s);
          permits.release();
        });
        const bool is_given = permits.acquire(Deadline::after(1s)).has_value();
        ++(is_given ? given : late);
        giver.join();
        require(permits.try_acquire() != is_given, "the permit was lost or doubled");
      },
      exhaustive());
  EXPECT_TRUE(report) << report.failure->what << report.failure->table;
  EXPECT_GT(given, 0);
  EXPECT_GT(late, 0);
}

TEST(SyncSchedules, ARequestMeetsAnEventInBothOrders) {
  int set = 0;
  int cancelled = 0;
  const testing::Report report = testing::explore(
      [&] {
        Event event;
        auto waiter = spawn([&] { return event.wait().has_value(); });
        auto setter = spawn([&] { event.set(); });
        waiter.request_stop();
        setter.join();
        ++(waiter.join() ? set : cancelled);
      },
      exhaustive());
  EXPECT_TRUE(report) << report.failure->what << report.failure->table;
  EXPECT_GT(set, 0);
  EXPECT_GT(cancelled, 0);
}

TEST(SyncSchedules, AWaitThatCannotEndIsADeadlockThatSaysWhatItWaitsFor) {
  const testing::Report report = testing::explore(
      [] {
        Semaphore never(0);
        (void)never.acquire();
      },
      exhaustive());
  ASSERT_FALSE(report);
  EXPECT_EQ(report.failure->kind, testing::Failure::Kind::kDeadlock);
  EXPECT_NE(report.failure->what.find("acquire"), std::string::npos) << report.failure->what;
}

}  // namespace
}  // namespace rearm::test
