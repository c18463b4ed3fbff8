// How a run ends: with its last fibers, and before its time, by an exception that leaves the first
// fiber or by exit().
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "rearm/runtime.h"
#include "sched/runtime_fixture.h"
#include "sched/scheduler.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

// --- The last fibers. ---

// A worker that was woken to search, and comes home because the run has ended, found nothing and
// said nothing. While a search is under way nobody else is woken.
TEST(RunEnd, ASearchThatIsCutShortDoesNotOutliveTheRun) {
  Runtime runtime({.workers = 3});  // One is in the kernel, one sleeps.
  detail::Scheduler& scheduler = runtime.scheduler();
  const auto pick = [&] {
    detail::IdleWorkers::Sleeper* sleeper = nullptr;
    const auto start = std::chrono::steady_clock::now();
    while (sleeper == nullptr && test::since(start) < test::kPatience) {
      std::this_thread::yield();
      sleeper = scheduler.idle().pick();
    }
    return sleeper;
  };
  std::thread waker;
  runtime.run([&] {
    detail::IdleWorkers::Sleeper* const sleeper = pick();
    ASSERT_NE(sleeper, nullptr);
    waker = std::thread([&scheduler, sleeper] {
      while (!scheduler.finished()) std::this_thread::yield();
      sleeper->parker.unpark();
    });
  });
  waker.join();
  runtime.run([&] {
    detail::IdleWorkers::Sleeper* const sleeper = pick();
    ASSERT_NE(sleeper, nullptr) << "nobody is searching, and nobody can be woken";
    sleeper->parker.unpark();
  });
}

// --- Exceptions of the first fiber. ---

class RunEndTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, RunEndTest, ::testing::Values(1, 3), test::workers_test_name);

TEST_P(RunEndTest, AnExceptionOfTheFirstFiberStopsTheOthersAndComesOutOfRun) {
  Result<void> slept;
  EXPECT_THROW(run([&] {
                 auto sleeper = spawn([&] { slept = this_fiber::sleep_for(1h); });
                 this_fiber::yield();
                 sleeper.detach();
                 throw std::runtime_error("the reason");
               }),
               std::runtime_error);
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error(), Errc::kCancelled);
}

TEST_P(RunEndTest, SoDoesAnExceptionOfAnotherFiberThatTheFirstOneJoins) {
  EXPECT_THROW(run([&] {
                 spawn([] { (void)this_fiber::sleep_for(1h); }).detach();
                 spawn([] { throw std::runtime_error("carried"); }).join();
               }),
               std::runtime_error);
}

TEST_P(RunEndTest, TheNextRunIsNotStopped) {
  EXPECT_THROW(run([] { throw 42; }), int);
  EXPECT_TRUE(run([] { return this_fiber::sleep_for(1us).has_value(); }));
  EXPECT_THROW(run([] { throw 42; }), int);
}

TEST_P(RunEndTest, AnExceptionOfAnotherFiberIsItsJoinersAndStopsNothing) {
  run([] {
    auto thrower = spawn([] { throw 42; });
    EXPECT_TRUE(thrower.wait(Deadline::never()));
    EXPECT_TRUE(this_fiber::sleep_for(1us));
    EXPECT_THROW(thrower.join(), int);
  });
}

TEST_P(RunEndTest, WhereExceptionsDoNotStopTheRunTheyAreSaid) {
  Runtime runtime({.workers = GetParam(), .stop_on_exception = false});
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(runtime.run([&] {
    spawn([] { EXPECT_TRUE(this_fiber::sleep_for(2ms)); }).detach();
    throw std::runtime_error("the reason");
  }),
               std::runtime_error);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::ContainsRegex("rearm: fiber [0-9]+ \"main\", spawned at .*run_end_test.cc:"
                                       "[0-9]+, threw: the reason; run\\(\\) throws it when the "
                                       "other fibers have ended"));
}

TEST_P(RunEndTest, NothingIsSaidWhereRunThrowsAtOnce) {
  Runtime runtime({.workers = GetParam(), .stop_on_exception = false});
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(runtime.run([] { throw 42; }), int);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

class RunEndDeathTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

INSTANTIATE_TEST_SUITE_P(Scheduler, RunEndDeathTest, ::testing::Values(1, 3),
                         test::workers_test_name);

// The detached fiber's exception is a consequence of the stop, which the sentence says.
TEST_P(RunEndDeathTest, AnExceptionThatTheStopBringsAboutDoesNotHideTheFirstOne) {
  EXPECT_DEATH(
      {
        Runtime runtime({.workers = GetParam()});
        runtime.run([] {
          spawn([] { this_fiber::sleep_for(1h).value(); }, {.name = "victim"}).detach();
          this_fiber::yield();
          throw std::runtime_error("the reason");
        });
      },
      "\"main\", spawned at .*, threw: the reason; that stopped the run(.|\n)*"
      "\"victim\", spawned at .*, was detached and threw");
}

// --- exit(). ---

TEST_P(RunEndDeathTest, AFiberMayExitTheProcess) {
  EXPECT_EXIT(
      {
        Runtime runtime({.workers = GetParam()});
        runtime.run([] { std::exit(3); });
      },
      ExitedWithCode(3), "");
}

TEST_P(RunEndDeathTest, AFiberOfAStaticRuntimeMayExitTheProcess) {
  EXPECT_EXIT(
      {
        static Runtime runtime({.workers = GetParam()});
        runtime.run([] {
          spawn([] { (void)this_fiber::sleep_for(1h); }).detach();
          spawn([] { std::exit(3); }).join();
        });
      },
      ExitedWithCode(3), "");
}

TEST_P(RunEndDeathTest, MainMayExitBesideAStaticRuntime) {
  EXPECT_EXIT(
      {
        static Runtime runtime({.workers = GetParam()});
        std::atomic<bool> runs{false};
        std::thread([&] {
          runtime.run([&] {
            for (int i = 0; i < 10; ++i) {
              spawn([] {
                for (;;) (void)this_fiber::sleep_for(10us);
              }).detach();
            }
            runs.store(true);
            (void)this_fiber::sleep_for(1h);
          });
        }).detach();
        while (!runs.load()) std::this_thread::yield();
        std::exit(3);
      },
      ExitedWithCode(3), "");
}

TEST_P(RunEndDeathTest, ExitLeavesFibersThatNeverRanAlone) {
  EXPECT_EXIT(
      {
        static Runtime runtime({.workers = GetParam()});
        runtime.spawn([] {}).detach();
        std::exit(3);
      },
      ExitedWithCode(3), "");
}

TEST_P(RunEndDeathTest, AStaticHandleMayOutliveAStaticRuntime) {
  EXPECT_EXIT(
      {
        static JoinHandle<int> handle;
        static Runtime runtime({.workers = GetParam()});
        runtime.run([] { handle = spawn([] { return 1; }); });
        std::exit(3);
      },
      ExitedWithCode(3), "");
}

// What is misuse in the middle of a process stays misuse.
TEST_P(RunEndDeathTest, ARuntimeThatIsDestroyedInItsOwnRunIsRefused) {
  EXPECT_DEATH(
      {
        auto runtime = std::make_unique<Runtime>(Runtime::Options{.workers = GetParam()});
        runtime->run([&] { runtime.reset(); });
      },
      "a runtime was destroyed inside its own run");
}

}  // namespace
}  // namespace rearm
