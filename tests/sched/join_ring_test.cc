// Joins that cannot end: a fiber that joins itself, and rings of fibers that join each other.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using ::testing::ContainsRegex;

class JoinRingTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, JoinRingTest, ::testing::Values(1, 3), test::workers_test_name);

// Joins; returns whether it was told that the join could not end.
bool is_told(JoinHandle<void>& handle) {
  try {
    handle.join();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::kDeadlock);
    EXPECT_TRUE(handle.joinable());
    return true;
  }
  return false;
}

TEST_P(JoinRingTest, AFiberThatJoinsItselfIsToldSo) {
  run([] {
    JoinHandle<void> self;
    std::atomic<bool> is_set{false};
    std::string what;
    std::atomic<bool> ended{false};
    self = spawn(
        [&] {
          while (!is_set.load()) this_fiber::yield();
          try {
            self.join();
          } catch (const std::system_error& error) {
            EXPECT_EQ(error.code(), Errc::kDeadlock);
            EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
            what = error.what();
          }
          EXPECT_THROW((void)self.wait(Deadline::never()), std::system_error);
          EXPECT_FALSE(self.wait(Deadline::after(1ms)));  // This one ends by itself.
          ended.store(true);
        },
        {.name = "narcissus"});
    is_set.store(true);
    while (!ended.load()) this_fiber::yield();
    self.join();
    EXPECT_THAT(what, ContainsRegex("fiber [0-9]+ \"narcissus\", spawned at .*"
                                    "join_ring_test.cc:[0-9]+, joined itself"));
  });
}

// Each joins the next, the last one the first; all of them end.
void ring_of(std::size_t size) {
  std::vector<JoinHandle<void>> handles(size);
  std::atomic<bool> are_set{false};
  std::atomic<std::size_t> told{0};
  std::atomic<std::size_t> ended{0};
  for (std::size_t i = 0; i < size; ++i) {
    handles[i] = spawn([&, i] {
      while (!are_set.load()) this_fiber::yield();
      JoinHandle<void> next = std::move(handles[(i + 1) % size]);
      if (is_told(next)) told.fetch_add(1);
      ended.fetch_add(1);
    });
  }
  are_set.store(true);
  while (ended.load() < size) this_fiber::yield();
  EXPECT_GE(told.load(), 1U);
}

TEST_P(JoinRingTest, OfARingOfAnySizeOneIsTold) {
  run([] {
    for (const std::size_t size : {2U, 3U, 10U, 100U}) ring_of(size);
  });
}

// Race: two fibers join each other at the same instant. Forbidden: that neither sees the other. The
// guard is the sequentially consistent order of prepare() and is_awaited().
TEST_P(JoinRingTest, NoRingSlipsThroughAtRandomMoments) {
  run([] {
    const auto rounds = test::scaled(test::kSanitized ? 200 : 2'000);
    for (std::uint64_t i = 0; i < rounds; ++i) ring_of(2 + i % 2);
  });
}

TEST_P(JoinRingTest, ARingThroughTheSpawnerIsFound) {
  run([] {
    JoinHandle<void> parent;
    std::atomic<bool> is_set{false};
    std::atomic<int> told{0};
    std::atomic<int> done{0};
    parent = spawn([&] {
      while (!is_set.load()) this_fiber::yield();
      auto child = spawn([&] {
        JoinHandle<void> mine = std::move(parent);
        if (is_told(mine)) ++told;
        ++done;
      });
      if (is_told(child)) ++told;
      ++done;
    });
    is_set.store(true);
    while (done.load() < 2) this_fiber::yield();
    EXPECT_GE(told.load(), 1);
  });
}

TEST_P(JoinRingTest, ARingAcrossTwoRuntimesIsFound) {
  std::atomic<int> told{0};
  std::atomic<int> ended{0};
  JoinHandle<void> here;
  JoinHandle<void> there;
  std::atomic<bool> there_is_set{false};
  std::atomic<bool> are_set{false};
  const auto join = [&](JoinHandle<void>& other) {
    return [&, other = &other] {
      while (!are_set.load()) this_fiber::yield();
      JoinHandle<void> mine = std::move(*other);
      if (is_told(mine)) ++told;
      ++ended;
    };
  };
  Runtime other({.workers = 1});
  std::thread thread([&] {
    other.run([&] {
      there = spawn(join(here));
      there_is_set.store(true);
      while (ended.load() < 2) this_fiber::yield();
    });
  });
  run([&] {
    here = spawn(join(there));
    while (!there_is_set.load()) this_fiber::yield();
    are_set.store(true);
    while (ended.load() < 2) this_fiber::yield();
  });
  thread.join();
  EXPECT_GE(told.load(), 1);
  test::expect_nothing_left(other);
}

TEST_P(JoinRingTest, AJoinWithADeadlineClosesNoRing) {
  run([] {
    JoinHandle<void> patient;
    JoinHandle<bool> hasty;
    std::atomic<bool> are_set{false};
    std::atomic<bool> is_joined{false};
    hasty = spawn([&] {
      while (!are_set.load()) this_fiber::yield();
      return patient.wait(Deadline::after(2ms));
    });
    patient = spawn([&] {
      while (!are_set.load()) this_fiber::yield();
      EXPECT_FALSE(hasty.join());
      is_joined.store(true);
    });
    are_set.store(true);
    while (!is_joined.load()) this_fiber::yield();
    patient.join();
  });
}

// Siblings that join each other in a row, and their parent and a plain thread that join some, too.
TEST_P(JoinRingTest, AChainIsNoRing) {
  run([] {
    constexpr std::size_t kLength = 100;
    std::vector<JoinHandle<int>> chain(kLength);
    chain[0] = spawn([] {
      (void)this_fiber::sleep_for(1ms);
      return 1;
    });
    for (std::size_t i = 1; i < kLength; ++i) {
      chain[i] = spawn([before = std::move(chain[i - 1])]() mutable { return before.join() + 1; });
      if (i % 10 == 0) {
        chain[i] = spawn([before = std::move(chain[i])]() mutable {
          return spawn([&] { return before.join(); }).join();
        });
      }
    }
    EXPECT_EQ(chain.back().join(), static_cast<int>(kLength));
  });
}

TEST_P(JoinRingTest, WhoWasToldMayJoinAnotherAndBeJoined) {
  run([] {
    JoinHandle<void> self;
    std::atomic<bool> is_set{false};
    self = spawn([&] {
      while (!is_set.load()) this_fiber::yield();
      EXPECT_TRUE(is_told(self));
      EXPECT_EQ(spawn([] { return 5; }).join(), 5);
      is_set.store(false);
      (void)this_fiber::sleep_for(1ms);
    });
    is_set.store(true);
    while (is_set.load()) this_fiber::yield();
    self.join();
  });
}

}  // namespace
}  // namespace rearm
