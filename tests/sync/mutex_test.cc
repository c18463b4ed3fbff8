// A Mutex keeps all but one out, in line, for fibers and plain threads alike.
#include "rearm/sync/mutex.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using MutexTest = RuntimeTest;

TEST_F(MutexTest, OnlyOneIsInsideAtATime) {
  Mutex mutex;
  std::atomic<int> inside{0};
  long long count = 0;
  const int rounds = kSanitized ? 300 : 3000;
  run_mixed(6, 2, [&](int number) {
    for (int i = 0; i < rounds; ++i) {
      const std::scoped_lock lock(mutex);
      EXPECT_EQ(inside.fetch_add(1, std::memory_order_relaxed), 0);
      ++count;
      if ((i + number) % 16 == 0) this_fiber::yield();
      inside.fetch_sub(1, std::memory_order_relaxed);
    }
  });
  EXPECT_EQ(count, 8LL * rounds);
}

TEST_F(MutexTest, ThoseWhoWaitAreServedInOrder) {
  open({.workers = 1});
  run([] {
    Mutex mutex;
    std::vector<int> order;
    mutex.lock();
    std::vector<JoinHandle<void>> fibers;
    for (int i = 0; i < 5; ++i) {
      fibers.push_back(spawn([&, i] {
        const std::scoped_lock lock(mutex);
        order.push_back(i);
        this_fiber::yield();
      }));
      this_fiber::yield();  // So that they come in this order.
    }
    mutex.unlock();
    for (auto& fiber : fibers) fiber.join();
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4}));
  });
}

// The barging rule: one who was called in vain is handed the lock at the next unlock().
TEST_F(MutexTest, NobodyIsOvertakenTwice) {
  open({.workers = 1});
  run([] {
    Mutex mutex;
    bool was_served = false;
    mutex.lock();
    auto waiter = spawn([&] {
      const std::scoped_lock lock(mutex);
      was_served = true;
    });
    this_fiber::yield();
    int overtaken = 0;
    for (; overtaken < 10 && !was_served; ++overtaken) {
      mutex.unlock();
      mutex.lock();  // Barges: the waiter has been called and has not come yet.
      this_fiber::yield();
    }
    EXPECT_TRUE(was_served);
    EXPECT_LE(overtaken, 2);
    mutex.unlock();
    waiter.join();
  });
}

TEST_F(MutexTest, TheTimedFormsSayWhatEndedThem) {
  run([] {
    Mutex mutex;
    EXPECT_TRUE(mutex.lock(Deadline::immediate()));
    spawn([&] {
      EXPECT_FALSE(mutex.try_lock());
      EXPECT_EQ(mutex.lock(Deadline::immediate()).error(), Errc::kTimedOut);
      EXPECT_EQ(mutex.lock(soon()).error(), Errc::kTimedOut);
      EXPECT_FALSE(mutex.try_lock_for(1ms));
      EXPECT_FALSE(mutex.try_lock_until(std::chrono::system_clock::now() + 1ms));
    }).join();
    mutex.unlock();
    EXPECT_EQ(mutex.lock(Deadline::after(-1s)).error(), Errc::kTimedOut);
    // The standard's: with no time left they are as try_lock() is.
    for (const auto timeout : {0s, -1s}) {
      EXPECT_TRUE(mutex.try_lock_for(timeout));
      EXPECT_FALSE(spawn([&] { return mutex.try_lock_for(timeout); }).join());
      mutex.unlock();
    }
    EXPECT_TRUE(mutex.try_lock_until(std::chrono::steady_clock::now() - 1s));
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock_until(std::chrono::system_clock::now() - 1s));
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock_until(std::chrono::steady_clock::now() + kPatience));
    mutex.unlock();
    std::unique_lock lock(mutex, std::try_to_lock);
    EXPECT_TRUE(lock.owns_lock());
  });
}

// A waiter that gives up leaves nothing behind: neither a place in line nor a call.
TEST_F(MutexTest, OneThatGivesUpKeepsNobodyWaiting) {
  run([] {
    Mutex mutex;
    mutex.lock();
    auto gives_up = spawn([&] { EXPECT_FALSE(mutex.lock(soon())); });
    auto stays = spawn([&] {
      EXPECT_TRUE(mutex.lock(patience()));
      mutex.unlock();
    });
    gives_up.join();
    mutex.unlock();
    stays.join();
  });
}

TEST_F(MutexTest, APlainThreadAndAFiberHandItToEachOther) {
  Mutex mutex;
  mutex.lock();
  std::thread thread([&] {
    Runtime runtime({.workers = 1});
    runtime.run([&] {
      mutex.lock();
      mutex.unlock();
    });
  });
  std::this_thread::sleep_for(1ms);
  mutex.unlock();
  thread.join();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST_F(MutexTest, TwoMutexesAreLockedTogetherWithoutDeadlock) {
  Mutex first;
  Mutex second;
  int count = 0;
  run_mixed(4, 1, [&](int number) {
    for (int i = 0; i < 100; ++i) {
      if (number % 2 == 0) {
        const std::scoped_lock lock(first, second);
        ++count;
      } else {
        const std::scoped_lock lock(second, first);
        ++count;
      }
    }
  });
  EXPECT_EQ(count, 500);
}

}  // namespace
}  // namespace rearm::test
