// Permits are neither lost nor made, and go to whoever waits longest.
#include "rearm/sync/semaphore.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using SemaphoreTest = RuntimeTest;

TEST_F(SemaphoreTest, NoMoreThanItsPermitsAreInside) {
  Semaphore slots(3);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> entered{0};
  const int rounds = kSanitized ? 200 : 2000;
  run_mixed(8, 2, [&](int number) {
    for (int i = 0; i < rounds; ++i) {
      // Some give up, so that a deadline meets a permit.
      const Deadline until =
          number % 4 == 3 ? Deadline::after(std::chrono::microseconds(i % 50)) : patience();
      if (!slots.acquire(until)) continue;
      const int now = inside.fetch_add(1) + 1;
      if (now > most) most = now;
      ++entered;
      if (i % 8 == 0) this_fiber::yield();
      inside.fetch_sub(1);
      slots.release();
    }
  });
  EXPECT_LE(most, 3);
  EXPECT_GE(entered, 8 * rounds);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(slots.try_acquire()) << "a permit was lost";
  EXPECT_FALSE(slots.try_acquire()) << "a permit was made";
}

TEST_F(SemaphoreTest, APermitGoesToWhoWaitsLongestAndNobodyIsFaster) {
  open({.workers = 1});
  run([] {
    Semaphore slots(0);
    std::vector<int> order;
    std::vector<JoinHandle<void>> fibers;
    for (int i = 0; i < 3; ++i) {
      fibers.push_back(spawn([&, i] {
        EXPECT_TRUE(slots.acquire());
        order.push_back(i);
      }));
      this_fiber::yield();  // So that they come in this order.
    }
    slots.release();
    EXPECT_FALSE(slots.try_acquire()) << "it was given to the first in line";
    this_fiber::yield();
    slots.release();
    this_fiber::yield();
    slots.release(2);
    for (auto& fiber : fibers) fiber.join();
    EXPECT_EQ(order, (std::vector{0, 1, 2}));
    EXPECT_TRUE(slots.try_acquire());
  });
}

TEST_F(SemaphoreTest, ADeadlineEndsTheWait) {
  run([] {
    Semaphore slots(0);
    EXPECT_EQ(slots.acquire(Deadline::immediate()).error(), Errc::kTimedOut);
    EXPECT_EQ(slots.acquire(soon()).error(), Errc::kTimedOut);
    slots.release();
    EXPECT_EQ(slots.acquire(Deadline::after(-1s)).error(), Errc::kTimedOut);
    EXPECT_TRUE(slots.try_acquire_for(1s));
    slots.release(2);
    EXPECT_TRUE(slots.try_acquire_for(-1s)) << "as try_acquire() is";
    EXPECT_TRUE(slots.try_acquire_until(std::chrono::steady_clock::now() - 1s));
    EXPECT_FALSE(slots.try_acquire_for(-1s));
  });
}

// A semaphore on a stack that is destroyed by the one who was given its permit.
TEST_F(SemaphoreTest, MayBeDestroyedByWhoWasGivenThePermit) {
  run([] {
    for (int i = 0; i < (kSanitized ? 300 : 3000); ++i) {
      auto done = std::make_unique<Semaphore>(0);
      auto fiber = spawn([&done = *done] { done.release(); });
      EXPECT_TRUE(done->acquire());
      done.reset();
      fiber.join();
    }
  });
}

}  // namespace
}  // namespace rearm::test
