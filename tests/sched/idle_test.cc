// Idle workers sleep, and every piece of work wakes one of them.
#include "sched/idle.h"

#include <sys/resource.h>

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "support/scale.h"

namespace rearm::detail {
namespace {

using namespace std::chrono_literals;

std::chrono::microseconds cpu_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

class IdleTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, IdleTest, ::testing::Values(1, 2, 4), test::workers_test_name);

// boostorg/fiber#203: idle schedulers must block, not spin.
TEST_P(IdleTest, AnIdleRuntimeUsesNoProcessorTime) {
  run([] {
    EXPECT_TRUE(this_fiber::sleep_for(20ms));  // The start is over.
    const auto before = cpu_time();
    EXPECT_TRUE(this_fiber::sleep_for(300ms));
    const auto used = cpu_time() - before;
    EXPECT_LT(used, test::kSanitized ? 60ms : 10ms) << used.count() << " us";
  });
  // A handful: the sleeps, and the wake-ups of the start.
  EXPECT_LT(runtime().stats().poller.waits, 50U);
}

// A worker that computes beside idle ones must not make them spin, either.
TEST_P(IdleTest, IdleWorkersBesideABusyOneUseNoProcessorTime) {
  run([] {
    EXPECT_TRUE(this_fiber::sleep_for(20ms));
    const auto before = cpu_time();
    std::this_thread::sleep_for(200ms);  // Holds its worker, but uses nothing itself.
    const auto used = cpu_time() - before;
    EXPECT_LT(used, test::kSanitized ? 60ms : 15ms) << used.count() << " us";
  });
}

// Race: a plain thread injects a fiber (puts it into the queue, looks who sleeps) against workers
// that go to sleep (announce it, look for work). Forbidden: a fiber that waits while all sleep.
// smol, silk#88: a lost wake-up shows as a scheduler wedged in the wait call.
TEST_P(IdleTest, NoInjectedFiberIsLostToWorkersThatGoToSleep) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 1'000 : 10'000);
  std::uint64_t done = 0;
  std::atomic<bool> over{false};
  auto keep_alive = runtime().spawn([&] {
    while (!over.load() && this_fiber::sleep_for(1h)) {
    }
  });
  std::thread outsider([&] {
    for (; done < rounds; ++done) {
      auto handle = runtime().spawn([] {});
      if (!handle.wait(Deadline::after(test::kPatience))) break;
      handle.join();
      // Mostly at once, sometimes after the workers had time to settle.
      for (std::uint64_t delay = done % 64 == 0 ? 3000 : done % 7 * 20; delay > 0; --delay) {
        static_cast<void>(over.load(std::memory_order_relaxed));
      }
    }
    over.store(true);
    runtime().request_stop();
  });
  run([] {});
  outsider.join();
  keep_alive.join();
  EXPECT_EQ(done, rounds) << "a wake-up was lost";
}

// The same with several threads at once, and fibers that spawn in turn.
TEST_P(IdleTest, NoFiberIsLostWhenManyThreadsInject) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 200 : 2'000);
  constexpr int kThreads = 3;
  std::atomic<std::uint64_t> lost{0};
  std::atomic<int> running{kThreads};
  std::vector<std::thread> outsiders;
  auto keep_alive = runtime().spawn([] { (void)this_fiber::sleep_for(1h); });
  for (int i = 0; i < kThreads; ++i) {
    outsiders.emplace_back([&] {
      for (std::uint64_t round = 0; round < rounds && lost.load() == 0; ++round) {
        auto handle = runtime().spawn([] {
          rearm::spawn([] { this_fiber::yield(); }).join();
          return 1;
        });
        if (!handle.wait(Deadline::after(test::kPatience))) ++lost;
        EXPECT_EQ(handle.join(), 1);
      }
      if (--running == 0) runtime().request_stop();
    });
  }
  run([] {});
  for (std::thread& outsider : outsiders) outsider.join();
  keep_alive.join();
  EXPECT_EQ(lost.load(), 0U);
}

TEST(IdleWorkers, ThePickedOneIsTheLastThatCame) {
  IdleWorkers idle;
  IdleWorkers::Sleeper first;
  IdleWorkers::Sleeper second;
  EXPECT_FALSE(idle.anybody());
  EXPECT_EQ(idle.pick(), nullptr);
  idle.enter(first);
  idle.enter(second);
  EXPECT_TRUE(idle.anybody());
  EXPECT_EQ(idle.pick(), &second);
  EXPECT_EQ(idle.pick(), nullptr) << "while one is searching nobody else is woken";
  idle.done_searching();
  EXPECT_EQ(idle.pick(), &first);
  EXPECT_FALSE(idle.anybody());
}

TEST(IdleWorkers, WhoHasBeenPickedCannotLeave) {
  IdleWorkers idle;
  IdleWorkers::Sleeper first;
  IdleWorkers::Sleeper second;
  idle.enter(first);
  idle.enter(second);
  EXPECT_TRUE(idle.leave(first));  // From below the top.
  EXPECT_EQ(idle.pick(), &second);
  EXPECT_FALSE(idle.leave(second));
  EXPECT_FALSE(idle.leave(first));
  EXPECT_FALSE(idle.anybody());
}

TEST(IdleWorkers, WakingAllWakesEachOnce) {
  IdleWorkers idle;
  IdleWorkers::Sleeper sleepers[3];
  for (auto& sleeper : sleepers) idle.enter(sleeper);
  idle.wake_all();
  EXPECT_FALSE(idle.anybody());
  for (auto& sleeper : sleepers) {
    EXPECT_TRUE(sleeper.parker.park(Deadline::after(0s)));
    EXPECT_FALSE(sleeper.parker.park(Deadline::after(0s)));
  }
}

}  // namespace
}  // namespace rearm::detail
