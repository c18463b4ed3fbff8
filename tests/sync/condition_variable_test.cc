// A wait for a notice ends by a notice alone, with the lock held again.
#include "rearm/sync/condition_variable.h"

#include <deque>
#include <mutex>
#include <vector>

#include <gtest/gtest.h>

#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using ConditionVariableTest = RuntimeTest;

TEST_F(ConditionVariableTest, WhatIsQueuedComesOutOnceEach) {
  Mutex mutex;
  ConditionVariable filled;
  std::deque<int> queue;
  std::vector<int> taken(400);
  const int each = 100;
  run_mixed(6, 2, [&](int number) {
    for (int i = 0; i < each; ++i) {
      std::unique_lock lock(mutex);
      if (number % 2 == 0) {
        queue.push_back(number / 2 * each + i);
        filled.notify_one();
      } else {
        filled.wait(lock, [&] { return !queue.empty(); });
        ++taken[static_cast<std::size_t>(queue.front())];
        queue.pop_front();
      }
    }
  });
  EXPECT_EQ(taken, std::vector(400, 1));
}

TEST_F(ConditionVariableTest, AllAreNotifiedAndGoOneAfterAnother) {
  open({.workers = 1});
  run([] {
    Mutex mutex;
    ConditionVariable condition;
    std::vector<int> order;
    std::vector<JoinHandle<void>> fibers;
    for (int i = 0; i < 4; ++i) {
      fibers.push_back(spawn([&, i] {
        std::unique_lock lock(mutex);
        condition.wait(lock);
        EXPECT_FALSE(mutex.try_lock()) << "goes on without the lock";
        order.push_back(i);
        this_fiber::yield();
      }));
      this_fiber::yield();  // So that they come in this order.
    }
    condition.notify_one();
    this_fiber::yield();
    EXPECT_EQ(order.size(), 1U) << "one notice, one who goes on";
    condition.notify_all();
    for (auto& fiber : fibers) fiber.join();
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3}));
  });
}

TEST_F(ConditionVariableTest, ADeadlineEndsTheWaitWithTheLockHeld) {
  run([] {
    Mutex mutex;
    ConditionVariable condition;
    std::unique_lock lock(mutex);
    EXPECT_EQ(condition.wait(lock, soon()).error(), Errc::kTimedOut);
    spawn([&] { EXPECT_FALSE(mutex.try_lock()); }).join();
    EXPECT_EQ(condition.wait(lock, soon(), [] { return false; }).error(), Errc::kTimedOut);
    EXPECT_TRUE(condition.wait(lock, soon(), [] { return true; }));
    condition.notify_one();  // Kept for nobody.
    EXPECT_EQ(condition.wait(lock, soon()).error(), Errc::kTimedOut);
  });
}

TEST_F(ConditionVariableTest, ARequestToStopEndsTheWaitWithTheLockHeld) {
  run([] {
    Mutex mutex;
    ConditionVariable condition;
    auto fiber = spawn([&] {
      std::unique_lock lock(mutex);
      const auto waited = condition.wait(lock, Deadline::never());
      EXPECT_EQ(waited.error(), Errc::kCancelled);
      EXPECT_TRUE(lock.owns_lock());
    });
    this_fiber::yield();
    fiber.request_stop();
    fiber.join();
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  });
}

}  // namespace
}  // namespace rearm::test
