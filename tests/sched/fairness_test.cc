// Who runs when: yields, the next-slot, overflowing queues, and fibers that keep each other busy.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "rearm/fiber.h"
#include "sched/run_queue.h"
#include "sched/runtime_fixture.h"
#include "sched/scheduler.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class FairnessTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, FairnessTest, ::testing::Values(1, 2), test::workers_test_name);

class OneWorkerTest : public test::RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    open({.workers = 1});
  }
};

TEST_F(OneWorkerTest, YieldTakesTurns) {
  std::vector<int> order;
  run([&] {
    std::vector<JoinHandle<void>> handles;
    for (int fiber = 0; fiber < 3; ++fiber) {
      handles.push_back(spawn([&, fiber] {
        for (int turn = 0; turn < 4; ++turn) {
          order.push_back(fiber);
          this_fiber::yield();
        }
      }));
    }
    for (auto& handle : handles) handle.join();
  });
  ASSERT_EQ(order.size(), 12U);
  // In every three turns in a row each fiber had one.
  for (std::size_t i = 0; i + 3 <= order.size(); i += 3) {
    EXPECT_EQ(order[i] + order[i + 1] + order[i + 2], 3) << "around turn " << i;
    EXPECT_NE(order[i], order[i + 1]);
  }
}

TEST_F(OneWorkerTest, AYieldWithNobodyElseReturns) {
  run([] {
    for (int i = 0; i < 1000; ++i) this_fiber::yield();
  });
}

// Two fibers that wake each other always find themselves in the next-slot. They must leave room
// for a third in the queue (kNextSlotStreak).
TEST_F(OneWorkerTest, AChainOfNextSlotsDoesNotStarveTheQueue) {
  constexpr int kLongest = 1000;
  int links = 0;
  bool third_ran = false;
  const auto chain = [&](auto& self) -> void {
    if (third_ran || ++links == kLongest) return;
    spawn([&self] { self(self); }).join();  // Runs next, before everybody in the queue.
  };
  run([&] {
    auto third = spawn([&] { third_ran = true; });
    auto first = spawn([&] { chain(chain); });  // Displaces the third into the queue.
    first.join();
    third.join();
  });
  EXPECT_LT(links, 50) << "the third fiber waited until the chain broke";
}

// Fibers that do nothing but yield must not keep the worker from looking outside: at timers, at
// injected fibers, at the poller.
TEST_P(FairnessTest, BusyFibersStarveNeitherTimersNorInjectedFibers) {
  run([&] {
    std::atomic<bool> stop{false};
    std::vector<JoinHandle<void>> busy;
    for (int i = 0; i < 4; ++i) {
      busy.push_back(spawn([&] {
        while (!stop.load()) this_fiber::yield();
      }));
    }
    EXPECT_TRUE(this_fiber::sleep_for(1ms));
    std::atomic<bool> injected{false};
    std::thread outsider([&] { runtime().spawn([&] { injected.store(true); }).join(); });
    const auto start = Clock::now();
    while (!injected.load() && test::since(start) < test::kPatience) this_fiber::yield();
    EXPECT_TRUE(injected.load());
    stop.store(true);
    for (auto& handle : busy) handle.join();
    outsider.join();
  });
}

// A fiber alone that yields, too.
TEST_P(FairnessTest, ALoneYielderDoesNotStarveTheOutside) {
  std::atomic<bool> injected{false};
  std::thread outsider;
  run([&] {
    outsider = std::thread([&] { runtime().spawn([&] { injected.store(true); }).join(); });
    const auto start = Clock::now();
    while (!injected.load() && test::since(start) < test::kPatience) this_fiber::yield();
    EXPECT_TRUE(injected.load()) << "it runs when this fiber has ended, at the earliest";
  });
  outsider.join();
}

// More fibers than a queue has room for go to where everybody finds them, and none is lost.
TEST_P(FairnessTest, AnOverflowingQueueLosesNobody) {
  constexpr int kFibers = 5 * static_cast<int>(detail::RunQueue::kCapacity);
  std::atomic<int> ran{0};
  run([&] {
    for (int i = 0; i < kFibers; ++i) {
      spawn([&] {
        this_fiber::yield();
        ++ran;
      }).detach();
    }
  });
  EXPECT_EQ(ran.load(), kFibers);
}

class StealingTest : public test::RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    open({.workers = 2});
  }
};

// The spawner computes and never parks; its fibers are taken by the other worker.
TEST_F(StealingTest, AnIdleWorkerTakesWhatABusyOneSpawned) {
  std::atomic<int> ran{0};
  run([&] {
    for (int i = 0; i < 20; ++i) spawn([&] { ++ran; }).detach();
    const auto start = Clock::now();
    // The last one sits in the next-slot, which is offered to others late.
    while (ran.load() < 19 && test::since(start) < test::kPatience) std::this_thread::yield();
    EXPECT_GE(ran.load(), 19);
  });
  EXPECT_GT(runtime().stats().steals, 0U);
}

// What is in the next-slot belongs to the one that runs, for as long as that goes on to others.
TEST_F(StealingTest, TheNextSlotOfAWorkerThatMakesProgressIsNotTaken) {
  constexpr int kTicks = 100;
  run([&] {
    std::atomic<bool> stop{false};
    // After each tick its worker looks for something to take.
    auto ticker = spawn([&] {
      for (int i = 0; i < kTicks; ++i) EXPECT_TRUE(this_fiber::sleep_for(1ms));
      stop.store(true);
    });
    auto pair = spawn([&] {
      while (!stop.load()) {
        auto other = spawn([] {});
        const auto start = Clock::now();
        while (test::since(start) < 50us) {
        }
        other.join();
      }
    });
    pair.join();
    ticker.join();
  });
  // Some, for a thread that the system does not run stands still, too.
  EXPECT_LT(runtime().stats().steals, kTicks / 4);
}

TEST_F(StealingTest, TheNextSlotOfAWorkerThatStandsStillIsTaken) {
  run([&] {
    std::atomic<bool> ran{false};
    auto other = spawn([&] { ran.store(true); });
    const auto start = Clock::now();
    while (!ran.load() && test::since(start) < test::kPatience) {
    }
    EXPECT_TRUE(ran.load());
    other.join();
  });
}

// Whoever leaves the kernel for a fiber that ran long the last time hands the poll turn on. Without
// the monitor, which would see to it, late.
TEST_F(StealingTest, TheTurnToPollIsHandedOnBeforeAFiberThatRunsLong) {
  constexpr int kRounds = 20;
  run([&] {
    runtime().scheduler().monitor().stop();
    std::atomic<bool> stop{false};
    std::atomic<int> naps{0};
    auto sleeper = spawn([&] {
      while (!stop.load()) {
        EXPECT_TRUE(this_fiber::sleep_for(3ms));
        ++naps;
      }
    });
    auto hog = spawn([&] {
      // One for each worker to notice that runs are long, and one to see whose.
      constexpr int kLongRuns = 3;
      int long_runs = 0;
      for (int round = 0; round < kRounds; ++round) {
        EXPECT_TRUE(this_fiber::sleep_for(2ms));
        const bool is_known = long_runs >= kLongRuns;
        const auto patience = is_known ? test::kPatience : Clock::duration(20ms);
        const int before = naps.load();
        const auto start = Clock::now();
        while (naps.load() == before && test::since(start) < patience) {
        }
        EXPECT_TRUE(naps.load() != before || !is_known) << "round " << round;
        if (is_known && naps.load() == before) break;
        long_runs = test::since(start) >= 1ms ? long_runs + 1 : 0;  // Several slices.
      }
      stop.store(true);
    });
    hog.join();
    sleeper.join();
  });
}

// Of two fibers that become runnable at once, and each compute until both have run: whether they
// did.
bool run_at_once(Deadline instant) {
  std::atomic<int> running{0};
  const auto meet = [&] {
    EXPECT_TRUE(this_fiber::sleep_until(instant));
    ++running;
    const auto start = Clock::now();
    while (running.load() < 2 && test::since(start) < test::kPatience) {
    }
    return running.load() == 2;
  };
  auto one = spawn(meet);
  auto other = spawn(meet);
  const bool one_met = one.join();
  return other.join() && one_met;
}

// What comes as one batch is for several workers. Without the monitor, which would see to it, late.
TEST_F(StealingTest, ABatchIsSharedByWorkersThatSleep) {
  run([&] {
    runtime().scheduler().monitor().stop();
    EXPECT_TRUE(run_at_once(Deadline::after(20ms)));
  });
}

// The same of a batch that a busy worker finds at the end of its time slice.
TEST_F(StealingTest, ABatchIsSharedThatABusyWorkerFinds) {
  run([&] {
    runtime().scheduler().monitor().stop();
    const Deadline start = Deadline::after(20ms);
    const auto compute_until = [](std::int64_t ns) {
      while (detail::now_ns() < ns) {
      }
    };
    const auto after = [&](std::chrono::nanoseconds time) { return start.ns() + time.count(); };
    // Once a long run was seen, the clock is read at each switch.
    auto warner = spawn([&] {
      EXPECT_TRUE(this_fiber::sleep_until(start));
      compute_until(after(2ms));
    });
    // The two are due while this one computes; then it leaves for good.
    auto busy = spawn([&] {
      EXPECT_TRUE(this_fiber::sleep_until(Deadline::at_ns(after(6ms))));
      compute_until(after(12ms));
    });
    EXPECT_TRUE(run_at_once(Deadline::at_ns(after(10ms))));
    busy.join();
    warner.join();
  });
}

// A fiber that computes must not stop the timers (and the poller) of the others while another
// worker has nothing to do.
TEST_F(StealingTest, AFiberThatComputesDoesNotStopTheTimersOfOthers) {
  run([&] {
    std::atomic<bool> stop{false};
    std::atomic<int> naps{0};
    auto sleeper = spawn([&] {
      while (!stop.load()) {
        EXPECT_TRUE(this_fiber::sleep_for(20ms));
        ++naps;
      }
    });
    auto hog = spawn([&] {
      // Alone: whoever wakes together with others is noticed because the others are offered round.
      EXPECT_TRUE(this_fiber::sleep_for(30ms));
      const int before = naps.load();
      const auto start = Clock::now();
      while (naps.load() < before + 2 && test::since(start) < 3s) {
      }
      const int during = naps.load() - before;
      stop.store(true);
      return during;
    });
    EXPECT_GE(hog.join(), 2);
    sleeper.join();
  });
}

}  // namespace
}  // namespace rearm
