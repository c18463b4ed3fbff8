// Event, Latch, WaitGroup, Barrier and Once: all who wait go on when it is time, and not before.
#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/sync/barrier.h"
#include "rearm/sync/event.h"
#include "rearm/sync/latch.h"
#include "rearm/sync/once.h"
#include "rearm/sync/wait_group.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using GatesTest = RuntimeTest;

TEST_F(GatesTest, AnEventLetsGoAllWhoWaitAndAllWhoCome) {
  Event event;
  std::atomic<int> went{0};
  int value = 0;
  run_mixed(5, 2, [&](int number) {
    if (number == 0) {
      this_fiber::yield();
      value = 42;
      event.set();
    }
    EXPECT_TRUE(event.wait(patience()));
    EXPECT_EQ(value, 42);
    ++went;
  });
  EXPECT_EQ(went, 7);
  EXPECT_TRUE(event.is_set());
  event.set();
  event.reset();
  EXPECT_FALSE(event.is_set());
  EXPECT_EQ(event.wait(Deadline::immediate()).error(), Errc::kTimedOut);
  EXPECT_EQ(event.wait(soon()).error(), Errc::kTimedOut);
  event.set();
  EXPECT_EQ(event.wait(Deadline::after(-1s)).error(), Errc::kTimedOut);
  EXPECT_TRUE(event.wait());
}

// An event on a stack, destroyed by the one who waited.
TEST_F(GatesTest, AnEventMayBeDestroyedByWhoHasSeenItSet) {
  run([] {
    for (int i = 0; i < (kSanitized ? 300 : 3000); ++i) {
      auto event = std::make_unique<Event>();
      auto other = spawn([&event = *event] { event.set(); });
      if (i % 2 == 0) {
        EXPECT_TRUE(event->wait());
      } else {
        while (!event->wait(Deadline::immediate())) this_fiber::yield();
      }
      event.reset();
      other.join();
    }
  });
}

TEST_F(GatesTest, ALatchOpensWhenAllHaveCountedDown) {
  Latch latch(6);
  std::atomic<int> counted{0};
  run_mixed(4, 2, [&](int number) {
    ++counted;
    if (number % 2 == 0) {
      EXPECT_TRUE(latch.arrive_and_wait());
    } else {
      latch.count_down();
      EXPECT_TRUE(latch.wait(patience()));
    }
    EXPECT_EQ(counted, 6);
  });
  EXPECT_TRUE(latch.try_wait());
  Latch another(2);
  another.count_down();
  EXPECT_FALSE(another.try_wait());
  EXPECT_EQ(another.wait(soon()).error(), Errc::kTimedOut);
  another.count_down();
}

TEST_F(GatesTest, AWaitGroupWaitsForAllThatWasAdded) {
  run([] {
    WaitGroup group;
    EXPECT_TRUE(group.wait());
    std::atomic<int> done{0};
    for (int round = 1; round <= 3; ++round) {
      group.add(10);
      for (int i = 0; i < 10; ++i) {
        spawn([&] {
          this_fiber::yield();
          ++done;
          group.done();
        }).detach();
      }
      EXPECT_TRUE(group.wait(patience()));
      EXPECT_EQ(done, 10 * round);
    }
    group.add();
    EXPECT_EQ(group.wait(soon()).error(), Errc::kTimedOut);
    group.done();
  });
}

TEST_F(GatesTest, ABarrierLetsAllGoTogetherAgainAndAgain) {
  Barrier barrier(5);
  std::atomic<int> came{0};
  run_mixed(3, 2, [&](int) {
    for (int turn = 1; turn <= 20; ++turn) {
      ++came;
      EXPECT_TRUE(barrier.arrive_and_wait(patience()));
      EXPECT_GE(came, 5 * turn);
      EXPECT_TRUE(barrier.arrive_and_wait(patience()));
    }
  });
}

TEST_F(GatesTest, OneThatLeavesABarrierHasNotCome) {
  run([] {
    Barrier barrier(2);
    EXPECT_EQ(barrier.arrive_and_wait(soon()).error(), Errc::kTimedOut);
    EXPECT_EQ(barrier.arrive_and_wait(Deadline::immediate()).error(), Errc::kTimedOut);
    auto other = spawn([&] { EXPECT_TRUE(barrier.arrive_and_wait(patience())); });
    EXPECT_TRUE(barrier.arrive_and_wait(patience()));
    other.join();
    barrier.arrive_and_drop();
    EXPECT_TRUE(barrier.arrive_and_wait(Deadline::immediate())) << "one is expected still";
  });
}

TEST_F(GatesTest, OnceIsOnceAndTheOthersWaitForIt) {
  Once once;
  std::atomic<int> calls{0};
  std::atomic<bool> is_done{false};
  run_mixed(5, 2, [&](int) {
    once.call([&] {
      ++calls;
      this_fiber::yield();
      (void)this_fiber::sleep_for(1ms);
      is_done = true;
    });
    EXPECT_TRUE(is_done);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(once.is_done());
}

TEST_F(GatesTest, OnceIsTriedAgainAfterAnException) {
  run([] {
    Once once;
    int calls = 0;
    auto failing = spawn([&] {
      EXPECT_THROW(once.call([&] {
        ++calls;
        this_fiber::yield();
        throw std::runtime_error("not yet");
      }),
                   std::runtime_error);
    });
    this_fiber::yield();
    auto next = spawn([&] { once.call([&](int by) { calls += by; }, 10); });
    failing.join();
    next.join();
    EXPECT_EQ(calls, 11);
  });
}

}  // namespace
}  // namespace rearm::test
