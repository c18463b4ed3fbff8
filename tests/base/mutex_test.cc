// The lock's own check (G7): no two library locks at once, none across a context switch.
#include "base/mutex.h"

#include <thread>

#include <gtest/gtest.h>

namespace rearm::detail {
namespace {

struct Counter {
  Mutex mu;
  int value REARM_GUARDED_BY(mu) = 0;
};

TEST(Mutex, ExcludesOtherThreads) {
  constexpr int kRounds = 20'000;
  Counter counter;
  const auto count = [&counter] {
    for (int i = 0; i < kRounds; ++i) {
      MutexLock lock(counter.mu);
      ++counter.value;
    }
  };
  std::thread other(count);
  count();
  other.join();
  MutexLock lock(counter.mu);
  EXPECT_EQ(counter.value, 2 * kRounds);
}

TEST(Mutex, OneLockAfterAnotherIsFine) {
  Mutex first;
  Mutex second;
  {
    MutexLock lock(first);
  }
  {
    MutexLock lock(second);
  }
  check_no_lock_held();
}

#if REARM_DEBUG_CHECKS

class MutexDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(MutexDeathTest, ASecondLockIsRefused) {
  Mutex first;
  Mutex second;
  EXPECT_DEATH(
      {
        MutexLock outer(first);
        MutexLock inner(second);
      },
      "rearm: a library lock was taken while holding another");
}

TEST_F(MutexDeathTest, OnlyALockThatIsMadeForItNests) {
  Mutex outer;
  Mutex inner(Nesting::kBelowAnother);
  Mutex third;
  {
    MutexLock outer_lock(outer);
    MutexLock inner_lock(inner);
  }
  EXPECT_DEATH(
      {
        MutexLock inner_lock(inner);
        MutexLock third_lock(third);  // Not `outer`: ThreadSanitizer would speak first.
      },
      "rearm: a library lock was taken while holding another");
}

TEST_F(MutexDeathTest, ALockHeldAcrossASwitchIsRefused) {
  Mutex mutex;
  EXPECT_DEATH(
      {
        MutexLock lock(mutex);
        check_no_lock_held();
      },
      "rearm: a library lock was held across a switch, a wait or a wake-up");
}

TEST_F(MutexDeathTest, ALockOfAnotherThreadDoesNotCount) {
  Mutex mutex;
  MutexLock lock(mutex);
  std::thread([] { check_no_lock_held(); }).join();
}

#endif

}  // namespace
}  // namespace rearm::detail
