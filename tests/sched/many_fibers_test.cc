// A hundred thousand fibers: at once where nothing but memory limits them, in waves otherwise.
#include <atomic>
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

}  // namespace
}  // namespace rearm
