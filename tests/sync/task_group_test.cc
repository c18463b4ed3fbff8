// No task outlives its group, and none fails unheard.
#include "rearm/sync/task_group.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "rearm/sync/event.h"
#include "rearm/testing.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using TaskGroupTest = RuntimeTest;

TEST_F(TaskGroupTest, AllTasksHaveEndedWhenItIsJoined) {
  run([] {
    std::atomic<int> ended{0};
    TaskGroup group;
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(group.spawn([&group, &ended, i] {
        this_fiber::yield();
        if (i % 5 == 0) {
          EXPECT_TRUE(group.spawn([&ended] {
            this_fiber::yield();
            ++ended;
          }));
        }
        ++ended;
      }));
    }
    EXPECT_TRUE(group.join());
    EXPECT_EQ(ended, 60);
    EXPECT_EQ(group.spawn([] {}).error(), Errc::kClosed);
  });
}

// What is spawned as the last task ends is either refused or waited for.
TEST_F(TaskGroupTest, ASpawnThatMeetsTheJoinIsRefusedOrWaitedFor) {
  int refused = 0;
  int waited_for = 0;
  const testing::Report report = testing::explore(
      [&] {
        TaskGroup group;
        bool has_ended = false;
        if (!group.spawn([] {})) throw std::runtime_error("not spawned");
        auto spawner = spawn([&] {
          return group.spawn([&] {
            this_fiber::yield();
            has_ended = true;
          });
        });
        const bool has_joined = group.join().has_value();
        const bool had_ended = has_ended;
        const bool is_spawned = spawner.join().has_value();
        ++(is_spawned ? waited_for : refused);
        while (is_spawned && !has_ended) this_fiber::yield();
        if (!has_joined || is_spawned != had_ended) {
          throw std::runtime_error("join() returned while a task ran");
        }
      },
      {.strategy = testing::Strategy::kExhaustive, .delays = 2, .quiet = true});
  EXPECT_TRUE(report) << report.failure->what << report.failure->table;
  EXPECT_GT(refused, 0);
  EXPECT_GT(waited_for, 0);
}

TEST_F(TaskGroupTest, TheFirstFailureStopsTheOthersAndComesOut) {
  run([] {
    std::atomic<int> cancelled{0};
    TaskGroup group;
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(group.spawn([&] {
        const auto slept = this_fiber::sleep_for(1h);
        if (!slept && slept.error() == Errc::kCancelled) ++cancelled;
        return slept;
      }));
    }
    this_fiber::yield();
    EXPECT_TRUE(group.spawn([] { throw std::runtime_error("the first"); }));
    try {
      (void)group.join();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "the first");
    }
    EXPECT_EQ(cancelled, 10);
    EXPECT_TRUE(group.other_failures().empty()) << "what was told to stop has not failed";
  });
}

TEST_F(TaskGroupTest, AnErrorIsAFailureAndLaterOnesAreKept) {
  open({.workers = 1});
  run([] {
    TaskGroup group;
    Event go;
    EXPECT_TRUE(group.spawn([&]() -> Result<int> {
      (void)go.wait();
      return std::unexpected(Errc::kEndOfStream);
    }));
    EXPECT_TRUE(group.spawn([&] {
      (void)go.wait();
      throw std::runtime_error("the second");
    }));
    this_fiber::yield();
    go.set();
    Result<void> joined;
    bool has_thrown = false;
    try {
      joined = group.join();
    } catch (const std::runtime_error&) {
      has_thrown = true;
    }
    EXPECT_TRUE(has_thrown || joined.error() == Errc::kEndOfStream);
    EXPECT_EQ(group.other_failures().size(), 1U);
  });
}

TEST_F(TaskGroupTest, NoMoreThanTheLimitRunAtATime) {
  run([] {
    TaskGroup group({.limit = 3});
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    for (int i = 0; i < 30; ++i) {
      EXPECT_TRUE(group.spawn([&] {
        const int now = ++running;
        if (now > most) most = now;
        this_fiber::yield();
        --running;
      }));
    }
    EXPECT_TRUE(group.join());
    EXPECT_LE(most, 3);
  });
}

TEST_F(TaskGroupTest, ADeadlineStopsAllAndARequestIsPassedOn) {
  run([] {
    TaskGroup late;
    EXPECT_TRUE(late.spawn([] { return this_fiber::sleep_for(1h); }));
    EXPECT_EQ(late.join(soon()).error(), Errc::kTimedOut);

    auto owner = spawn([] {
      TaskGroup outer;
      EXPECT_TRUE(outer.spawn([] {
        TaskGroup inner;
        EXPECT_TRUE(inner.spawn([] { return this_fiber::sleep_for(1h); }));
        return inner.join();
      }));
      return outer.join();
    });
    this_fiber::yield();
    this_fiber::yield();
    owner.request_stop();
    EXPECT_EQ(owner.join().error(), Errc::kCancelled);
  });
}

TEST_F(TaskGroupTest, OneThatIsStoppedRefusesAndStopsWhatBeginsLate) {
  open({.workers = 1});
  run([] {
    TaskGroup group;
    bool was_told = false;
    EXPECT_TRUE(group.spawn([&] { was_told = !this_fiber::sleep_for(1h); }));
    group.request_stop();  // It has not begun yet.
    EXPECT_EQ(group.spawn([] {}).error(), Errc::kCancelled);
    EXPECT_EQ(group.join().error(), Errc::kCancelled);
    EXPECT_TRUE(was_told);
  });
}

TEST_F(TaskGroupTest, LeavingTheScopeStopsAndJoins) {
  run([] {
    auto captured = std::make_shared<int>(1);
    std::atomic<bool> has_ended{false};
    ::testing::internal::CaptureStderr();
    try {
      TaskGroup group;
      EXPECT_TRUE(group.spawn([&has_ended, captured] {
        (void)this_fiber::sleep_for(1h);
        has_ended = true;
        throw std::runtime_error("unheard");
      }));
      this_fiber::yield();
      throw 1;
    } catch (int) {
      EXPECT_TRUE(has_ended);
      EXPECT_EQ(captured.use_count(), 1) << "the function outlives the scope";
    }
    EXPECT_NE(::testing::internal::GetCapturedStderr().find("unheard"), std::string::npos);
  });
}

TEST_F(TaskGroupTest, APlainThreadMayOwnOne) {
  Runtime runtime({.workers = 1});
  TaskGroup group({.runtime = &runtime});
  std::atomic<int> ended{0};
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(group.spawn([&] { ++ended; }));
  std::thread thread([&] { EXPECT_TRUE(group.join()); });
  runtime.run([] {});
  thread.join();
  EXPECT_EQ(ended, 5);
}

}  // namespace
}  // namespace rearm::test
