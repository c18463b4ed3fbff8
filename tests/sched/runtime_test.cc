// Runtimes: options, several at once, run() again and again, what happens before and after it.
#include "rearm/runtime.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;

class RuntimesTest : public test::LeakCheck {};

TEST_F(RuntimesTest, AnUnusedRuntimeComesAndGoes) {
  const Runtime runtime({.workers = 3});
  EXPECT_EQ(runtime.workers(), 3U);
  EXPECT_FALSE(runtime.backend_name().empty());
  test::expect_nothing_left(runtime);
}

TEST_F(RuntimesTest, ByDefaultThereIsAWorkerForEachProcessor) {
  const Runtime runtime;
  EXPECT_GE(runtime.workers(), 1U);
  EXPECT_LE(runtime.workers(), std::max(1U, std::thread::hardware_concurrency()));
}

TEST_F(RuntimesTest, AnUnknownBackendIsNamedInTheException) {
  try {
    const Runtime runtime({.backend = "no-such-backend"});
    FAIL() << "it was opened";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::kUnknownBackend);
    const std::string what = error.what();
    for (const std::string_view name : Poller::backends()) {
      EXPECT_NE(what.find(name), std::string::npos) << what;
    }
  }
}

TEST_F(RuntimesTest, ThereIsNoCurrentOneOnAPlainThread) {
  EXPECT_EQ(Runtime::current(), nullptr);
  Runtime runtime({.workers = 1});
  runtime.run([&] { EXPECT_EQ(Runtime::current(), &runtime); });
  EXPECT_EQ(Runtime::current(), nullptr);
}

TEST_F(RuntimesTest, RunMayBeRepeated) {
  Runtime runtime({.workers = 2});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(runtime.run([i] {
      auto child = spawn([i] {
        this_fiber::yield();
        return i;
      });
      return child.join();
    }),
              i);
    test::expect_nothing_left(runtime);
  }
}

TEST_F(RuntimesTest, RunMayBeRepeatedAfterAnException) {
  Runtime runtime({.workers = 2});
  EXPECT_THROW(runtime.run([] { throw std::runtime_error("once"); }), std::runtime_error);
  EXPECT_EQ(runtime.run([] { return 1; }), 1);
}

TEST_F(RuntimesTest, RunMayBeRepeatedOnAnotherThread) {
  Runtime runtime({.workers = 2});
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      EXPECT_EQ(runtime.run([] { return std::this_thread::get_id() != std::thread::id(); }), true);
    }).join();
  }
}

TEST_F(RuntimesTest, WhatIsSpawnedBeforeTheRunWaitsForIt) {
  Runtime runtime({.workers = 2});
  std::atomic<int> ran{0};
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 100; ++i) handles.push_back(runtime.spawn([&] { ++ran; }));
  EXPECT_FALSE(handles.front().wait(Deadline::after(1ms)));
  EXPECT_EQ(ran.load(), 0);
  runtime.run([] {});
  EXPECT_EQ(ran.load(), 100);
  for (auto& handle : handles) handle.join();
  test::expect_nothing_left(runtime);
}

TEST_F(RuntimesTest, RunWaitsForDetachedFibers) {
  Runtime runtime({.workers = 2});
  std::atomic<int> ended{0};
  runtime.run([&] {
    spawn([&] {
      spawn([&] {
        EXPECT_TRUE(this_fiber::sleep_for(5ms));
        ++ended;
      }).detach();
      EXPECT_TRUE(this_fiber::sleep_for(2ms));
      ++ended;
    }).detach();
  });
  EXPECT_EQ(ended.load(), 2);
}

TEST_F(RuntimesTest, SeveralRunAtOnceAndDoNotMix) {
  constexpr int kRuntimes = 4;
  std::vector<std::thread> threads;
  for (int i = 0; i < kRuntimes; ++i) {
    threads.emplace_back([i] {
      Runtime runtime({.workers = 1 + static_cast<std::size_t>(i % 2)});
      const int sum = runtime.run([&] {
        std::atomic<int> total{0};
        for (int k = 0; k < 50; ++k) {
          spawn([&] {
            EXPECT_EQ(Runtime::current(), &runtime);
            EXPECT_TRUE(this_fiber::sleep_for(std::chrono::microseconds(10)));
            EXPECT_EQ(Runtime::current(), &runtime);
            ++total;
          }).detach();
        }
        while (total.load() < 50) EXPECT_TRUE(this_fiber::sleep_for(100us));
        return total.load();
      });
      EXPECT_EQ(sum, 50);
      test::expect_nothing_left(runtime);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RuntimesTest, OneMayBeRunInsideAnothersThreadOfItsOwn) {
  Runtime outer({.workers = 1});
  outer.run([] {
    int inner_result = 0;
    std::thread([&] {
      Runtime inner({.workers = 1});
      inner_result = inner.run([] { return 8; });
    }).join();
    EXPECT_EQ(inner_result, 8);
  });
}

// Each worker counts the fibers that it spawned and those that ended on it; the end of a run is
// found from the sums. Forbidden: that two last fibers, ending on two workers at once, are both
// taken for the last but one, and the run never ends.
TEST_F(RuntimesTest, TheRunEndsHoweverTheLastFibersEnd) {
  Runtime runtime({.workers = 2});
  const auto rounds = test::scaled(100);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    runtime.run([] {
      spawn([] { spawn([] {}).detach(); }).detach();
      spawn([] { this_fiber::yield(); }).detach();
    });
    ASSERT_EQ(runtime.stats().fibers_alive, 0U) << "round " << i;
  }
  EXPECT_EQ(runtime.stats().fibers_spawned, 4 * rounds);
}

// Race: a worker of one runtime ends the wait of another runtime's last fiber (injects it, then
// looks whom to wake) against the end of that runtime. Forbidden: a look at what is destroyed;
// ThreadSanitizer and AddressSanitizer see it.
TEST_F(RuntimesTest, OneMayBeDestroyedWhileAnotherHasJustWokenItsLastFiber) {
  Runtime outer({.workers = 1});
  std::atomic<bool> over{false};
  std::thread thread([&] {
    outer.run([&] {
      while (!over.load()) (void)this_fiber::sleep_for(20us);
    });
  });
  const auto rounds = test::scaled(test::kSanitized ? 200 : 1'000);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    Runtime inner({.workers = 1});
    inner.run([&] { outer.spawn([] {}).join(); });
  }
  over.store(true);
  thread.join();
  test::expect_nothing_left(outer);
}

TEST_F(RuntimesTest, TheCountersCount) {
  Runtime runtime({.workers = 1});
  runtime.run([&] {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 10; ++i) handles.push_back(spawn([] { this_fiber::yield(); }));
    EXPECT_EQ(runtime.stats().fibers_alive, 11U);
    EXPECT_GE(runtime.stats().stacks_taken, 11U);
    for (auto& handle : handles) handle.join();
    EXPECT_EQ(runtime.stats().fibers_alive, 1U);
  });
  EXPECT_EQ(runtime.stats().fibers_spawned, 11U);
  EXPECT_GE(runtime.stats().switches, 21U);
  test::expect_nothing_left(runtime);
}

TEST_F(RuntimesTest, AHandleOutlivesTheRun) {
  Runtime runtime({.workers = 2});
  JoinHandle<int> later;
  runtime.run([&] { later = spawn([] { return 4; }); });
  EXPECT_EQ(runtime.stats().stacks_taken, 1U);  // It holds the result.
  EXPECT_EQ(later.join(), 4);
  test::expect_nothing_left(runtime);
}

TEST_F(RuntimesTest, ATimeSliceOutOfItsRangeIsRefusedByName) {
  for (const std::chrono::nanoseconds slice :
       {std::chrono::nanoseconds::min(), -1ns, 0ns, 999ns, std::chrono::nanoseconds(1s) + 1ns,
        std::chrono::nanoseconds::max()}) {
    try {
      const Runtime runtime({.workers = 1, .time_slice = slice});
      ADD_FAILURE() << slice.count();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), Errc::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("time_slice"), std::string::npos) << error.what();
    }
  }
  for (const std::chrono::nanoseconds slice : {std::chrono::nanoseconds(1us), 1'000'000'000ns}) {
    Runtime runtime({.workers = 1, .time_slice = slice});
    EXPECT_EQ(runtime.run([] { return 1; }), 1);
  }
}

TEST_F(RuntimesTest, ABudgetOutOfItsRangeIsRefusedByName) {
  for (const std::size_t budget : {std::size_t{0}, std::size_t{1'000'001}, ~std::size_t{0}}) {
    try {
      const Runtime runtime({.workers = 1, .budget = budget});
      ADD_FAILURE() << budget;
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), Errc::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("budget"), std::string::npos) << error.what();
    }
  }
  Runtime runtime({.workers = 1, .budget = 1});
  EXPECT_EQ(runtime.run([] { return spawn([] { return 1; }).join(); }), 1);
}

TEST_F(RuntimesTest, AStopFromAnyThreadReachesEverySleeper) {
  Runtime runtime({.workers = 2});
  std::atomic<bool> parked{false};
  std::thread stopper([&] {
    while (!parked.load()) std::this_thread::yield();
    runtime.request_stop();
  });
  runtime.run([&] {
    auto child = spawn([] { return this_fiber::sleep_for(1h); });
    parked.store(true);
    EXPECT_EQ(child.join().error(), Errc::kCancelled);
  });
  stopper.join();
}

}  // namespace
}  // namespace rearm
