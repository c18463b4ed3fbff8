// What ends the process, and the sentence it leaves: exceptions that nobody can receive, stacks
// that overflow, and misuse.
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "rearm/fiber.h"
#include "sched/frames.h"
#include "sched/runtime_fixture.h"

namespace rearm {
namespace {

class FiberDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

const Runtime::Options kOneWorker{.workers = 1};

TEST_F(FiberDeathTest, AnExceptionOfADetachedFiberNamesTheFiberAndItsSpawnSite) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          spawn([] { throw std::runtime_error("the reason"); }, {.name = "lost child"}).detach();
        });
      },
      "rearm: fiber [0-9]+ \"lost child\", spawned at .*fiber_death_test.cc:[0-9]+, was detached "
      "and threw: the reason");
}

TEST_F(FiberDeathTest, AnExceptionOfAFiberWhoseHandleIsDroppedAfterItsEndIsReported) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          auto handle = spawn([] { throw 42; }, {.name = "late"});
          (void)handle.wait(Deadline::never());
        });
      },
      "\"late\".* was detached and threw: something that is not a std::exception");
}

TEST_F(FiberDeathTest, SpawningOnAPlainThreadIsRefused) {
  EXPECT_DEATH((void)spawn([] {}), "rearm::spawn\\(\\) was called on a plain thread");
}

TEST_F(FiberDeathTest, RunningOnAFiberIsRefused) {
  EXPECT_DEATH(
      {
        Runtime outer(kOneWorker);
        Runtime inner(kOneWorker);
        outer.run([&] { inner.run([] {}); });
      },
      "Runtime::run\\(\\) was called on a fiber");
}

#if REARM_DEBUG_CHECKS

// The guard is the look at the locks in StackContext::switch_to() (G7).
TEST_F(FiberDeathTest, ALibraryLockHeldAcrossASwitchIsRefused) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          spawn([] {}).detach();
          detail::Mutex mutex;
          const detail::MutexLock lock(mutex);
          this_fiber::yield();
        });
      },
      "a library lock was held across a switch, a wait or a wake-up");
}

#endif

TEST_F(FiberDeathTest, RunningTwiceAtOnceIsRefused) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([&] { std::thread([&] { runtime.run([] {}); }).join(); });
      },
      "Runtime::run\\(\\) was called while it is in progress");
}

TEST_F(FiberDeathTest, DestroyingARuntimeWithFibersThatNeverRanIsRefused) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.spawn([] {}).detach();
      },
      "a runtime was destroyed with fibers that run\\(\\) never got to run");
}

TEST_F(FiberDeathTest, AHandleThatOutlivesItsRuntimeIsRefused) {
  EXPECT_DEATH(
      {
        JoinHandle<int> handle;
        Runtime runtime(kOneWorker);
        runtime.run([&] { handle = spawn([] { return 1; }); });
      },
      "a runtime was destroyed while fibers still have their stacks");
}

TEST_F(FiberDeathTest, JoiningTwiceAtOnceIsRefused) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          auto handle = spawn([] { (void)this_fiber::sleep_until(Deadline::never()); });
          auto joiner = spawn([&] { (void)handle.wait(Deadline::never()); });
          this_fiber::yield();
          this_fiber::yield();
          (void)handle.wait(Deadline::never());
        });
      },
      "two threads joined the same fiber");
}

// The same sentence for a handle that was joined, detached, moved from or never had a fiber.
constexpr const char* kNotJoinable = "was called on a handle that has no fiber";

TEST_F(FiberDeathTest, JoiningASecondTimeIsRefused) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          auto handle = spawn([] { return 1; });
          (void)handle.join();
          (void)handle.join();
        });
      },
      kNotJoinable);
}

TEST_F(FiberDeathTest, JoiningOrWaitingWithoutAFiberIsRefused) {
  EXPECT_DEATH(JoinHandle<void>().join(), kNotJoinable);
  EXPECT_DEATH(JoinHandle<void>().request_stop(), kNotJoinable);
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          auto handle = spawn([] {});
          const auto other = std::move(handle);
          (void)handle.wait(Deadline::never());  // NOLINT(bugprone-use-after-move)
        });
      },
      kNotJoinable);
}

TEST_F(FiberDeathTest, AFunctionThatLeavesNoStackIsRefused) {
  EXPECT_DEATH(
      {
        Runtime runtime({.workers = 1, .stack_bytes = 32 * 1024});
        runtime.run([] {
          struct Huge {
            char bytes[17 * 1024];
          };
          auto handle = spawn([huge = Huge{}] { return huge.bytes[0]; });
        });
      },
      "the function to spawn captures more than half a stack");
}

// Recurses until the stack ends. Each frame is far smaller than the guard.
[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  frame[511] = frame[0];
  // Not a tail call, and not endless for the compiler's eyes.
  return depth < 0 ? 0 : recurse(depth + 1) + frame[511];
}

void overflow(const Runtime::Options& options) {
  Runtime runtime(options);
  runtime.run([] { spawn([] { (void)recurse(1); }, {.name = "deep diver"}).join(); });
}

TEST_F(FiberDeathTest, AStackOverflowNamesTheFiberAndItsSpawnSite) {
  EXPECT_DEATH(overflow(kOneWorker),
               "rearm: stack overflow in fiber [0-9]+ \"deep diver\", spawned at "
               ".*fiber_death_test.cc:[0-9]+; its stack has [0-9]+ bytes");
}

// Out of line: a compiler may keep what a thread-local says across a park.
[[gnu::noinline]] std::thread::id current_thread() {
  asm volatile("");
  return std::this_thread::get_id();
}

TEST_F(FiberDeathTest, AnOverflowOfAStackOfItsOwnSizeIsNamedWithThatSize) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          spawn([] { (void)recurse(1); }, {.name = "small", .stack_bytes = 64 * 1024}).join();
        });
      },
      "overflow in fiber [0-9]+ \"small\", spawned at .*; its stack has 6[0-9]{4} bytes");
}

TEST_F(FiberDeathTest, AStackOverflowOnAnotherWorkerIsNamed) {
  EXPECT_DEATH(
      {
        Runtime runtime({.workers = 2});
        runtime.run([] {
          const auto here = current_thread();
          const auto dive = [here] {
            while (current_thread() == here) this_fiber::yield();
            (void)recurse(1);
          };
          auto first = spawn(dive, {.name = "abroad"});
          auto second = spawn(dive, {.name = "abroad"});
          first.join();
          second.join();
        });
      },
      "stack overflow in fiber [0-9]+ \"abroad\"");
}

// One frame of 300 KiB and no more: that is how a guard is stepped over.
constexpr std::size_t kFrames[] = {300, 512, 768, 1024, 1200, 1536, 2048};

void overflow_at_once(std::size_t frame_kib, void (*use_frame)(std::size_t)) {
  Runtime runtime(kOneWorker);
  runtime.run([&] {
    // Somebody else's stack lies below.
    auto neighbour = spawn([] { (void)this_fiber::sleep_until(Deadline::never()); });
    spawn([&] { use_frame(frame_kib); }, {.name = "wide"}).join();
    std::_Exit(0);
  });
}

TEST_F(FiberDeathTest, AFrameOfAnySizeThatIsProbedIsCaught) {
  if (!test::frames_are_probed()) GTEST_SKIP() << "this compiler has no -fstack-clash-protection";
  for (const std::size_t kib : kFrames) {
    EXPECT_DEATH(overflow_at_once(kib, &test::use_probed_frame),
                 "stack overflow in fiber [0-9]+ \"wide\"")
        << kib << " KiB";
  }
}

TEST_F(FiberDeathTest, AFrameThatIsNotProbedIsCaughtByTheGuardAsFarAsThatReaches) {
  for (const std::size_t kib : kFrames) {
    if (kib * 1024 > kOneWorker.guard_bytes + kOneWorker.stack_bytes - 32 * 1024) break;
    EXPECT_DEATH(overflow_at_once(kib, &test::use_unprobed_frame),
                 "stack overflow in fiber [0-9]+ \"wide\"")
        << kib << " KiB";
  }
}

TEST_F(FiberDeathTest, AFrameThatFitsIsUsed) {
  for (auto* const use_frame : {&test::use_probed_frame, &test::use_unprobed_frame}) {
    for (const std::size_t kib : {4U, 16U, 64U, 128U, 200U}) {
      Runtime runtime(kOneWorker);
      runtime.run([&] { spawn([&] { use_frame(kib); }).join(); });
    }
  }
}

TEST_F(FiberDeathTest, WithoutTheReportAnOverflowStillDies) {
  EXPECT_EXIT(
      overflow({.workers = 1, .report_stack_overflow = false}),
      [](int status) { return status != 0; }, "");
}

TEST_F(FiberDeathTest, OtherFaultsAreNotCalledOverflows) {
  EXPECT_DEATH(
      {
        Runtime runtime(kOneWorker);
        runtime.run([] {
          std::fprintf(stderr, "about to fault\n");
          volatile int* volatile nowhere = nullptr;
          *nowhere = 1;
        });
      },
      ::testing::Not(::testing::HasSubstr("stack overflow")));
}

}  // namespace
}  // namespace rearm
