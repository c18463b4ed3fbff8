// StackTrimmer: the memory of a burst goes though workers are busy, and what is needed stays.
#include "sched/stack_trimmer.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "base/virtual_clock.h"
#include "rearm/fiber.h"
#include "rearm/runtime.h"
#include "sched/processor.h"
#include "sched/scheduler.h"
#include "sched/stacks.h"

namespace rearm::detail {
namespace {

// Two processors that both run fibers all the time, on a virtual clock.
class StackTrimmerTest : public ::testing::Test {
 protected:
  StackTrimmerTest() {
    for (int i = 0; i < 2; ++i) {
      processors_.push_back(std::make_unique<Processor>(stacks_.usual(), RunQueue::Thieves::kSome));
    }
  }

  // Has so many stacks out at once, of each processor, and takes them back.
  void use(std::size_t count) {
    for (const auto& processor : processors_) {
      std::vector<Stack*> out;
      for (std::size_t i = 0; i < count; ++i) out.push_back(processor->stacks.take());
      for (Stack* const stack : out) processor->stacks.give_back(*stack);
    }
  }
  // Both workers look outside once a millisecond.
  void pass(std::chrono::milliseconds time, std::size_t used) {
    for (; time.count() > 0; --time) {
      clock_.set(clock_.now_ns() + 1'000'000);
      use(used);
      for (const auto& processor : processors_) {
        Processor::count(processor->switches);
        (void)trimmer_.step(processors_, *processor);
      }
    }
  }
  // How many stacks hold memory.
  [[nodiscard]] std::size_t held() { return stacks_.usual().taken() + stacks_.usual().warm(); }

  VirtualClock clock_{1'000'000'000'000};
  Stacks stacks_{32 * 1024, StackPool::kMinGuardBytes};
  std::vector<std::unique_ptr<Processor>> processors_;
  StackTrimmer trimmer_{stacks_};
};

TEST_F(StackTrimmerTest, AfterABurstATenthIsLeftThoughWorkersAreBusy) {
  constexpr std::size_t kBurst = 200;  // Each; most of it passes through the caches.
  use(kBurst);
  const std::size_t peak = held();
  EXPECT_GT(peak, kBurst);
  pass(std::chrono::seconds(10), 2);
  EXPECT_LE(held(), peak / 10);
}

// The worker of a runtime, which always has a fiber to run, and so never has nothing else to do.
TEST(StackTrimmer, ABusyWorkerGivesTheMemoryOfABurstBack) {
  constexpr int kBurst = 300;
  VirtualClock clock(1'000'000'000'000);
  Runtime runtime({.workers = 1});
  runtime.run([&] {
    StackPool& pool = runtime.scheduler().stacks();
    const auto held = [&] { return pool.taken() + pool.warm(); };
    std::vector<JoinHandle<void>> burst;
    for (int i = 0; i < kBurst; ++i) burst.push_back(rearm::spawn([] { this_fiber::yield(); }));
    for (auto& fiber : burst) fiber.join();
    const std::size_t peak = held();
    EXPECT_GE(peak, std::size_t{kBurst});
    bool stop = false;
    auto busy = rearm::spawn([&] {
      while (!stop) this_fiber::yield();
    });
    for (int i = 0; i < 1'000; ++i) {  // Ten seconds.
      clock.set(clock.now_ns() + 10'000'000);
      rearm::spawn([] {}).join();
      this_fiber::yield();
    }
    EXPECT_LE(held(), peak / 10);
    stop = true;
    busy.join();
  });
}

// What each period needs is kept, in the caches and beyond them.
TEST_F(StackTrimmerTest, ASteadyLoadKeepsItsStacks) {
  constexpr std::size_t kLoad = 100;
  use(kLoad);
  const std::size_t peak = held();
  for (int period = 0; period < 10; ++period) {
    pass(std::chrono::milliseconds(995), 2);
    use(kLoad);
    EXPECT_EQ(held(), peak) << "in period " << period;
  }
}

TEST_F(StackTrimmerTest, AnIdleRuntimeHasNothingToDoInTheEnd) {
  use(100);
  pass(std::chrono::seconds(10), 0);
  EXPECT_EQ(trimmer_.due_ns(), std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace rearm::detail
