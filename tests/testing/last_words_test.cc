// A run in which the process dies leaves its schedule; and what ends the process on purpose.
#include <csignal>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "base/sanitizer.h"
#include "testing/programs.h"

namespace rearm::test {
namespace {

class LastWordsTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

constexpr const char* kSchedule =
    "process dies of signal [0-9]+ in run [0-9]+(.|\n)*"
    "to replay: REARM_SCHEDULE=([0-9:/.]+|fifo)\n";

void lost_update_that_asserts() {
  try {
    lost_update();
  } catch (const std::runtime_error&) {
    std::abort();
  }
}

TEST_F(LastWordsTest, AnAbortLeavesTheSchedule) {
  EXPECT_DEATH((void)testing::explore(lost_update_that_asserts), kSchedule);
}

TEST_F(LastWordsTest, TheScheduleThatIsLeftLeadsToTheSameEnd) {
  const Report report = testing::explore(lost_update, quietly());
  ASSERT_FALSE(report);
  EXPECT_DEATH((void)testing::replay(lost_update_that_asserts, report.failure->schedule),
               kSchedule);
}

TEST_F(LastWordsTest, AnExceptionOfADetachedFiberLeavesTheSchedule) {
  EXPECT_DEATH((void)testing::explore(
                   [] { spawn([] { throw std::runtime_error("the reason"); }).detach(); }),
               std::string("was detached and threw: the reason(.|\n)*").append(kSchedule));
}

TEST_F(LastWordsTest, AFaultLeavesTheSchedule) {
  EXPECT_DEATH((void)testing::explore([] {
                 this_fiber::yield();
                 std::raise(SIGSEGV);
               }),
               kSchedule);
}

TEST_F(LastWordsTest, AnEarlierHandlerHasItsTurnAfterwards) {
  EXPECT_DEATH(
      {
        std::signal(SIGABRT, [](int) {
          const char text[] = "the earlier handler\n";
          if (::write(2, text, sizeof(text) - 1) < 0) std::_Exit(1);
          std::_Exit(2);
        });
        (void)testing::explore([] { std::abort(); });
      },
      "REARM_SCHEDULE=fifo\nthe earlier handler");
}

TEST_F(LastWordsTest, TheHandlersAreGoneAfterwards) {
  struct sigaction before{};
  ::sigaction(SIGABRT, nullptr, &before);
  (void)testing::explore([] {}, {.runs = 1});
  struct sigaction after{};
  ::sigaction(SIGABRT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

// --- On purpose. ---

TEST_F(LastWordsTest, FibersThatWaitForWhatNoStopEndsAreShownAndEndTheProcess) {
  EXPECT_DEATH((void)testing::explore(
                   [] {
                     Runtime idle({.workers = 1});
                     auto never = idle.spawn([] {});
                     auto one = spawn([&never] { never.join(); }, {.name = "one"});
                     auto other = spawn([&one] { one.join(); }, {.name = "other"});
                     other.join();  // So that `idle` is not destroyed.
                   },
                   {.strategy = Strategy::kExhaustive, .patience = std::chrono::milliseconds(1)}),
               "deadlock(.|\n)*#2 one, .* waits: join(.|\n)*#3 other, .* waits: join #2(.|\n)*"
               "REARM_SCHEDULE=(.|\n)*do not end: they wait for what a stop does not end");
}

TEST_F(LastWordsTest, AFiberThatDoesNotStopEndsTheProcess) {
  EXPECT_DEATH((void)testing::explore(
                   [] {
                     for (;;) (void)this_fiber::sleep_for(std::chrono::seconds(1));
                   },
                   {.max_steps = 100}),
               "has not ended after 100 steps(.|\n)*go on in spite of");
}

TEST_F(LastWordsTest, ExploringOnAFiberIsRefused) {
  EXPECT_DEATH((void)testing::explore([] { (void)testing::explore([] {}); }),
               "explore\\(\\) was called on a fiber");
  Runtime runtime({.workers = 1});
  EXPECT_DEATH(runtime.run([] { (void)testing::replay([] {}, "fifo"); }),
               "replay\\(\\) was called on a fiber");
}

}  // namespace
}  // namespace rearm::test
