// A request to stop ends the wait that a fiber is in, whatever it waits for, and those to come.
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/run_state.h"
#include "base/wait_word.h"
#include "rearm/net/pipe.h"
#include "rearm/net/udp.h"
#include "rearm/stop_token.h"
#include "rearm/sync/barrier.h"
#include "rearm/sync/condition_variable.h"
#include "rearm/sync/event.h"
#include "rearm/sync/latch.h"
#include "rearm/sync/mutex.h"
#include "rearm/sync/semaphore.h"
#include "rearm/sync/shared_mutex.h"
#include "rearm/sync/task_group.h"
#include "rearm/sync/wait_group.h"
#include "sched/scheduler.h"
#include "sched/stop_state.h"
#include "sched/timers.h"
#include "sched/worker.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using StopTest = RuntimeTest;

// Everything that a fiber can wait for and be called off from. None of it ever comes.
struct World {
  World() {
    group.add();
    locked.lock();
    shared.lock();
  }
  ~World() {
    group.done();
    locked.unlock();
    shared.unlock();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Semaphore semaphore{0};
  Event event;
  Latch latch{1};
  WaitGroup group;
  Barrier barrier{2};
  Mutex locked;
  SharedMutex shared;
  Mutex mutex;
  ConditionVariable condition;
  Pipe pipe = Pipe::create().value();
  UdpSocket socket = UdpSocket::bind(SocketAddress::ipv4_loopback(0)).value();
};

struct Wait {
  std::string name;
  std::function<Result<void>(World&, Deadline)> wait;
};

Result<void> without_value(const auto& result) {
  if (!result) return std::unexpected(result.error());
  return {};
}

std::vector<Wait> all_waits() {
  return {
      {"sleep", [](World&, Deadline until) { return this_fiber::sleep_until(until); }},
      {"read",
       [](World& world, Deadline until) {
         char byte = 0;
         return without_value(world.pipe.read_end.read_some({&byte, 1}, until));
       }},
      {"recv_from",
       [](World& world, Deadline until) {
         char byte = 0;
         return without_value(world.socket.recv_from({&byte, 1}, until));
       }},
      {"semaphore", [](World& world, Deadline until) { return world.semaphore.acquire(until); }},
      {"event", [](World& world, Deadline until) { return world.event.wait(until); }},
      {"latch", [](World& world, Deadline until) { return world.latch.wait(until); }},
      {"group", [](World& world, Deadline until) { return world.group.wait(until); }},
      {"barrier",
       [](World& world, Deadline until) { return world.barrier.arrive_and_wait(until); }},
      {"mutex", [](World& world, Deadline until) { return world.locked.lock(until); }},
      {"shared", [](World& world, Deadline until) { return world.shared.lock_shared(until); }},
      {"writer", [](World& world, Deadline until) { return world.shared.lock(until); }},
      {"condition",
       [](World& world, Deadline until) {
         std::unique_lock lock(world.mutex);
         return world.condition.wait(lock, until);
       }},
  };
}

std::vector<Deadline> both_kinds() { return {Deadline::never(), Deadline::after(kPatience)}; }

TEST_F(StopTest, ARequestEndsTheWaitThatIsUnderWay) {
  run([] {
    World world;
    for (const Wait& each : all_waits()) {
      for (const Deadline until : both_kinds()) {
        Event begins;
        auto fiber = spawn([&] {
          begins.set();
          return each.wait(world, until);
        });
        EXPECT_TRUE(begins.wait());
        this_fiber::yield();
        fiber.request_stop();
        const auto waited = fiber.join();
        EXPECT_FALSE(waited) << each.name;
        EXPECT_TRUE(!waited && waited.error() == Errc::kCancelled) << each.name;
      }
    }
  });
}

TEST_F(StopTest, ARequestRefusesTheWaitsToCome) {
  run([] {
    World world;
    Event asked;
    EXPECT_FALSE(this_fiber::stop_requested());
    auto fiber = spawn([&] {
      while (!asked.is_set()) this_fiber::yield();
      EXPECT_TRUE(this_fiber::stop_requested());
      for (const Wait& each : all_waits()) {
        for (const Deadline until : both_kinds()) {
          const auto waited = each.wait(world, until);
          EXPECT_EQ(waited.error(), Errc::kCancelled) << each.name;
        }
      }
      // What need not wait goes on.
      Semaphore there(1);
      EXPECT_TRUE(there.acquire());
    });
    fiber.request_stop();
    asked.set();
    fiber.join();
    EXPECT_FALSE(this_fiber::stop_requested()) << "it was asked of another";
  });
}

TEST_F(StopTest, AStopOfTheRunReachesEveryWait) {
  for (const Wait& each : all_waits()) {
    std::unique_ptr<World> world;
    Runtime runtime({.workers = 2});
    runtime.run([&] {
      world = std::make_unique<World>();
      auto fiber = spawn([&] {
        EXPECT_EQ(each.wait(*world, Deadline::never()).error(), Errc::kCancelled) << each.name;
        EXPECT_TRUE(this_fiber::stop_requested());
        EXPECT_EQ(each.wait(*world, Deadline::never()).error(), Errc::kCancelled) << each.name;
      });
      this_fiber::yield();
      runtime.request_stop();
      fiber.join();
      world.reset();
    });
  }
}

TEST_F(StopTest, AShieldHoldsOffWhatIsAskedOfOneAlone) {
  run([] {
    Event asked;
    Event proceed;
    auto fiber = spawn([&] {
      {
        const this_fiber::StopShield shield;
        asked.set();
        EXPECT_TRUE(proceed.wait(patience())) << "the shield let a request through";
        EXPECT_TRUE(this_fiber::stop_requested());
        const this_fiber::StopShield another;
        EXPECT_TRUE(this_fiber::sleep_for(1ms));
      }
      EXPECT_EQ(this_fiber::sleep_for(1h).error(), Errc::kCancelled);
    });
    EXPECT_TRUE(asked.wait());
    this_fiber::yield();
    fiber.request_stop();
    proceed.set();
    fiber.join();
  });
}

TEST_F(StopTest, AShieldDoesNotHoldOffTheStopOfARun) {
  Runtime runtime({.workers = 1});
  runtime.run([&] {
    Event never;
    auto fiber = spawn([&] {
      const this_fiber::StopShield shield;
      EXPECT_EQ(never.wait().error(), Errc::kCancelled);
      EXPECT_EQ(this_fiber::sleep_for(1h).error(), Errc::kCancelled);
    });
    this_fiber::yield();
    runtime.request_stop();
    fiber.join();
  });
}

// What is left of Scheduler::request_stop() for one who was held up until the next run.
void disturb_all_waits() {
  detail::Scheduler& scheduler = detail::Worker::current()->scheduler();
  WaiterList woken = scheduler.poller().withdraw_all(WakeReason::kReady);
  for (const auto& processor : scheduler.processors()) {
    processor->timers.expire(detail::Timers::kNever, WakeReason::kCancelled, woken);
    processor->stops.disturb(woken);
  }
  detail::Worker::wake(woken);
}

TEST_F(StopTest, AStopOfTheRunBeforeEndsNoWait) {
  open({.workers = 1});
  run([] {
    World world;
    for (const Wait& each : all_waits()) {
      for (const Deadline until : both_kinds()) {
        auto fiber = spawn([&] { return each.wait(world, until); });
        this_fiber::yield();
        for (int i = 0; i < 2; ++i) {
          disturb_all_waits();
          this_fiber::yield();
        }
        EXPECT_FALSE(fiber.wait(Deadline::immediate())) << each.name;
        fiber.request_stop();
        EXPECT_EQ(fiber.join().error(), Errc::kCancelled) << each.name;
      }
    }
  });
}

TEST_F(StopTest, AskingTwiceOrAfterTheEndDoesNothing) {
  run([] {
    auto fiber = spawn([] { return this_fiber::sleep_for(1h); });
    this_fiber::yield();
    fiber.request_stop();
    fiber.request_stop();
    EXPECT_TRUE(fiber.wait(patience()));
    fiber.request_stop();
    EXPECT_EQ(fiber.join().error(), Errc::kCancelled);
  });
}

#if defined(__cpp_lib_jthread)
TEST_F(StopTest, TheTokenHearsWhatTheFiberIsAsked) {
  EXPECT_FALSE(this_fiber::stop_token().stop_possible());
  run([] {
    std::atomic<int> heard{0};
    Event listens;
    auto fiber = spawn([&] {
      const std::stop_token token = this_fiber::stop_token();
      EXPECT_EQ(token, this_fiber::stop_token());
      EXPECT_FALSE(token.stop_requested());
      const std::stop_callback callback(token, [&] { ++heard; });
      listens.set();
      EXPECT_FALSE(this_fiber::sleep_for(1h));
      return token.stop_requested();
    });
    EXPECT_TRUE(listens.wait());
    fiber.request_stop();
    EXPECT_EQ(heard, 1);
    EXPECT_TRUE(fiber.join());
    auto late = spawn([] {
      EXPECT_FALSE(this_fiber::sleep_for(1h));
      return this_fiber::stop_token().stop_requested();
    });
    this_fiber::yield();
    late.request_stop();
    EXPECT_TRUE(late.join()) << "one that is made after the request";
  });
}

TEST_F(StopTest, TheTokensOfAllFibersHearAStopOfTheRun) {
  std::atomic<int> heard{0};
  Runtime runtime({.workers = 2});
  runtime.run([&] {
    std::vector<JoinHandle<void>> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(spawn([&, i] {
        if (i % 2 == 0) {
          const std::stop_callback callback(this_fiber::stop_token(), [&] { ++heard; });
          (void)this_fiber::sleep_for(1h);
          EXPECT_TRUE(this_fiber::stop_token().stop_requested());
          while (heard < 10) this_fiber::yield();
        } else {
          (void)Event().wait();
        }
      }));
    }
    for (int i = 0; i < 3; ++i) this_fiber::yield();
    (void)this_fiber::sleep_for(2ms);
    runtime.request_stop();
    for (auto& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(heard, 10);
}

TEST_F(StopTest, TheTokensOfAGroupHearThatItIsStopped) {
  run([] {
    std::atomic<int> heard{0};
    std::atomic<int> listen{0};
    TaskGroup group;
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(group.spawn([&, i] {
        if (i % 4 == 0) return;
        const std::stop_callback callback(this_fiber::stop_token(), [&] { ++heard; });
        ++listen;
        if (i % 4 == 1) (void)this_fiber::sleep_for(1h);
        while (!this_fiber::stop_token().stop_requested()) this_fiber::yield();
        if (i % 4 == 3) (void)Event().wait();
      }));
    }
    while (listen < 15) this_fiber::yield();
    group.request_stop();
    EXPECT_EQ(heard, 15);
    EXPECT_EQ(group.join().error(), Errc::kCancelled);
  });
}
#endif

// The one who asks is held up until its run is over, and the next one in progress.
TEST_F(StopTest, AStopThatComesAfterItsRunLeavesNothingInTheNextOne) {
  class Ear final : public detail::StopEar {
   public:
    void hear() noexcept override {}
  };
  std::array<char, 1> stack{};
  detail::RunState run;
  detail::StopList list;
  detail::StopState fiber(stack.data());
  list.add(fiber);
  fiber.set_ear(std::make_shared<Ear>());
  detail::WaitWord& word = fiber.own_word();
  fiber.word().announce(word);
  ASSERT_EQ(word.prepare(), detail::WaitWord::Prepared::kPark);

  WaiterList woken;
  list.disturb(woken);
  EXPECT_FALSE(word.is_awaited()) << "it looks again";
  EXPECT_FALSE(fiber.word().is_requested());
  EXPECT_FALSE(fiber.was_requested());
  EXPECT_EQ(list.next_ear(run), nullptr);

  run.request_stop();
  EXPECT_EQ(list.next_ear(run), nullptr) << "the request that has told nobody goes on with that";
  list.disturb(woken);
  EXPECT_NE(list.next_ear(run), nullptr);
  EXPECT_EQ(list.next_ear(run), nullptr) << "each hears once";
  EXPECT_TRUE(woken.empty());
  list.remove(fiber);
}

// What comes at the same time: each wait is answered once, and what was given is not lost.
TEST_F(StopTest, RequestsAmongEverythingInFlightLoseNothing) {
  const int fibers = kSanitized ? 200 : 10'000;
  open({.workers = 2, .stack_bytes = 32 * 1024});
  run([&] {
    Semaphore permits(0);
    Event event;
    std::atomic<int> taken{0};
    std::atomic<int> ended{0};
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < fibers; ++i) {
      handles.push_back(spawn([&, i] {
        Result<void> waited;
        switch (i % 4) {
          case 0: waited = permits.acquire(); break;
          case 1:
            waited = permits.acquire(Deadline::after(std::chrono::milliseconds(i % 40)));
            break;
          case 2: waited = this_fiber::sleep_for(std::chrono::milliseconds(i % 40)); break;
          default: waited = event.wait(); break;
        }
        if (i % 4 < 2 && waited) ++taken;
        EXPECT_TRUE(waited || waited.error() != Errc::kCancelled || this_fiber::stop_requested());
        ++ended;
      }));
    }
    unsigned random = 1;
    for (int i = 0; i < fibers; ++i) {
      random = random * 1664525 + 1013904223;
      permits.release(random % 8 == 0 ? 1 : 0);
      handles[random % handles.size()].request_stop();
      if (random % 64 == 0) this_fiber::yield();
    }
    for (auto& handle : handles) handle.request_stop();
    for (auto& handle : handles) handle.join();
    EXPECT_EQ(ended, fibers);
    int released = 0;
    random = 1;
    for (int i = 0; i < fibers; ++i) {
      random = random * 1664525 + 1013904223;
      released += random % 8 == 0 ? 1 : 0;
    }
    int left = 0;
    while (permits.try_acquire()) ++left;
    EXPECT_EQ(taken + left, released);
  });
}

}  // namespace
}  // namespace rearm::test
