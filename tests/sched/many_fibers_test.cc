// A hundred thousand fibers: at once where nothing but memory limits them, in waves otherwise.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "base/sanitizer.h"
#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;

constexpr int kFibers = 100'000;

class ManyFibersTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, ManyFibersTest, ::testing::Values(1, 2),
                         test::workers_test_name);

// Spawns `count` fibers which are all alive at once, each having parked with something on its
// stack; stops the runtime and returns how many of them came back right.
int one_wave(int count) {
  std::atomic<int> parked{0};
  std::vector<JoinHandle<int>> handles;
  handles.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    handles.push_back(spawn([&, i] {
      volatile int on_stack = i;
      ++parked;
      EXPECT_EQ(this_fiber::sleep_until(Deadline::never()).error(), Errc::kCancelled);
      return static_cast<int>(on_stack);
    }));
  }
  while (parked.load() < count) (void)this_fiber::sleep_for(1ms);
  EXPECT_GT(Runtime::current()->stats().fibers_alive, static_cast<std::uint64_t>(count));
  Runtime::current()->request_stop();
  int right = 0;
  for (int i = 0; i < count; ++i) right += handles[static_cast<std::size_t>(i)].join() == i;
  return right;
}

TEST_P(ManyFibersTest, AHundredThousandAreAliveAtOnce) {
  if (test::kSanitized) GTEST_SKIP() << "a sanitizer has no room for so many";
  EXPECT_EQ(run([] { return one_wave(kFibers); }), kFibers);
}

TEST_P(ManyFibersTest, AHundredThousandComeAndGoInWaves) {
  // ThreadSanitizer takes a millisecond to make a context: with one compiler all, with both half.
  if (test::kSanitized && GetParam() == 1) GTEST_SKIP() << "with several workers is enough";
  constexpr int kWave = 4'000;
  const int waves = (REARM_TSAN ? static_cast<int>(test::scaled(kFibers / 2)) : kFibers) / kWave;
  int right = 0;
  for (int i = 0; i < waves; ++i) right += run([] { return one_wave(kWave); });
  EXPECT_EQ(right, waves * kWave);
}

TEST_P(ManyFibersTest, ThousandsComeAndGoOneByOne) {
  constexpr int kCount = test::kSanitized ? 5'000 : kFibers;
  int right = 0;
  run([&] {
    for (int i = 0; i < kCount; ++i) right += spawn([i] { return i; }).join() == i;
  });
  EXPECT_EQ(right, kCount);
  EXPECT_EQ(runtime().stats().fibers_spawned, 1U + kCount);
}

#if defined(__linux__)

// The memory of this process that is there, in bytes.
std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// Makes `count` fibers that are all alive at once, each with a second page of its stack touched,
// and lets them end. Returns how much memory there was while they lived.
std::size_t burst(int count) {
  std::atomic<int> parked{0};
  std::atomic<bool> go{false};
  std::vector<JoinHandle<void>> handles;
  handles.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    handles.push_back(spawn([&] {
      volatile char deep[6000];
      deep[0] = 1;
      ++parked;
      while (!go.load()) (void)this_fiber::sleep_for(200ms);
      EXPECT_EQ(deep[0], 1);
    }));
  }
  while (parked.load() < count) (void)this_fiber::sleep_for(1ms);
  const std::size_t most = resident_bytes();
  go.store(true);
  for (auto& handle : handles) handle.join();
  return most;
}

class BurstTest : public test::WorkersTest {
 protected:
  static constexpr int kBurst = 5'000;

  void SetUp() override {
    test::WorkersTest::SetUp();  // In any case: TearDown() looks for leaks since.
    if (test::kSanitized) GTEST_SKIP() << "a sanitizer's own memory hides that of stacks";
  }
};

INSTANTIATE_TEST_SUITE_P(Scheduler, BurstTest, ::testing::Values(2), test::workers_test_name);

TEST_P(BurstTest, TenSecondsLaterATenthOfItsMemoryIsLeft) {
  run([] {
    const std::size_t before = resident_bytes();
    const std::size_t peak = burst(kBurst) - before;
    EXPECT_GT(peak, std::size_t{kBurst} * 8000);
    std::size_t left = 0;
    for (int tenths = 0; tenths < 100; ++tenths) {
      left = resident_bytes() - std::min(before, resident_bytes());
      if (left <= peak / 10) break;
      (void)this_fiber::sleep_for(100ms);
    }
    EXPECT_LE(left, peak / 10) << "of " << peak << " bytes";
  });
}

TEST_P(BurstTest, AllOfItsMemoryGoesWhenItIsTrimmed) {
  run([] {
    const std::size_t before = resident_bytes();
    const std::size_t peak = burst(kBurst) - before;
    Runtime::current()->trim();
    EXPECT_LE(resident_bytes() - std::min(before, resident_bytes()), peak / 20);
  });
}

TEST_P(BurstTest, AllOfItsMemoryGoesWhenTheRunEnds) {
  const std::size_t before = resident_bytes();
  const std::size_t peak = run([] { return burst(kBurst); }) - before;
  EXPECT_LE(resident_bytes() - std::min(before, resident_bytes()), peak / 20);
}

// When nothing is left to be given back, nothing wakes an idle runtime.
TEST_P(BurstTest, TheRuntimeSleepsWhenItIsOver) {
  run([] {
    (void)burst(16);
    (void)this_fiber::sleep_for(8s);  // Of 16 five halves, each in a period.
    const std::uint64_t waits = Runtime::current()->stats().poller.waits;
    (void)this_fiber::sleep_for(2500ms);
    EXPECT_LE(Runtime::current()->stats().poller.waits, waits + 2);
  });
}

#endif

}  // namespace
}  // namespace rearm
