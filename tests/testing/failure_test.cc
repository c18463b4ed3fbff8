// What makes a run fail, what is said of it, and how it is had again.
#include <chrono>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/programs.h"

namespace rearm::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class FailureTest : public ExploreTest {};

TEST_F(FailureTest, AnExceptionOfAJoinedFiberIsCarried) {
  const Report report =
      testing::explore([] { spawn([] { throw std::logic_error("carried"); }).join(); }, quietly());
  EXPECT_EQ(expect_failure(report, Failure::Kind::kException).what, "it threw: carried");
}

TEST_F(FailureTest, SomethingElseThanAnExceptionIsCaughtToo) {
  const Report report = testing::explore([] { throw 42; }, quietly());
  EXPECT_THAT(expect_failure(report, Failure::Kind::kException).what,
              HasSubstr("not a std::exception"));
}

TEST_F(FailureTest, AFrameworkIsAskedAfterEachRun) {
  int runs = 0;
  testing::Options options = quietly();
  options.failed = [&runs] { return runs >= 3; };
  const Report report = testing::explore([&runs] { ++runs; }, options);
  (void)expect_failure(report, Failure::Kind::kFailed);
  EXPECT_EQ(report.runs, 3U);
}

TEST_F(FailureTest, ADeadlockListsWhoWaitsAndForWhat) {
  const Report report = testing::explore(
      [] {
        auto pair = UnixStream::pair().value();
        auto reader = spawn(
            [&pair] {
              char byte = 0;
              (void)pair.first.read_some({&byte, 1});
            },
            {.name = "reader"});
        auto sleeper =
            spawn([] { (void)this_fiber::sleep_until(Deadline::never()); }, {.name = "sleeper"});
        reader.join();
        sleeper.join();
      },
      quietly({.patience = 1ms}));
  const Failure failure = expect_failure(report, Failure::Kind::kDeadlock);
  EXPECT_THAT(failure.what, HasSubstr("deadlock"));
  EXPECT_THAT(failure.what, ::testing::ContainsRegex("#1 main, spawned at .*, waits: join #2"));
  EXPECT_THAT(failure.what,
              ::testing::ContainsRegex(
                  "#2 reader, spawned at .*failure_test.cc:[0-9]+, waits: read [0-9]"));
  EXPECT_THAT(failure.what, ::testing::ContainsRegex("#3 sleeper, .*, waits: sleep"));
}

// A deadlock that only some schedules have: two fibers that each wait for a byte of the other one
// first, unless they are overtaken.
TEST_F(FailureTest, ADeadlockOfSomeSchedulesIsFound) {
  const auto program = [] {
    auto pair = UnixStream::pair().value();
    bool somebody_waits = false;
    const auto polite = [&somebody_waits](UnixStream& stream) {
      const bool first = !somebody_waits;
      this_fiber::yield();
      somebody_waits = true;
      char byte = 0;
      if (!first) (void)stream.write_all("x");
      (void)stream.read_some({&byte, 1});
      if (first) (void)stream.write_all("x");
    };
    auto other = spawn([&] { polite(pair.second); });
    polite(pair.first);
    other.join();
  };
  const Report report =
      testing::explore(program, quietly({.strategy = Strategy::kExhaustive, .patience = 1ms}));
  (void)expect_failure(report, Failure::Kind::kDeadlock);
}

// Reads what another thread writes after a while.
void helped_from_outside() {
  Pipe pipe = Pipe::create().value();
  std::thread outside([&pipe] {
    std::this_thread::sleep_for(20ms);
    (void)pipe.write_end.write_some("x");
  });
  char byte = 0;
  const auto n = pipe.read_end.read_some({&byte, 1});
  outside.join();
  require(n.has_value(), "nothing came");
}

TEST_F(FailureTest, HelpFromOutsideIsWaitedForWithPatience) {
  expect_no_failure(testing::explore(helped_from_outside, {.runs = 3, .patience = 20s}));
}

TEST_F(FailureTest, ARunThatDoesNotEndIsStopped) {
  const Report report = testing::explore(
      [] {
        while (this_fiber::sleep_for(1s)) continue;
      },
      quietly({.max_steps = 1000}));
  EXPECT_EQ(expect_failure(report, Failure::Kind::kTooManySteps).what,
            "the run has not ended after 1000 steps");
}

// It may be the very fiber that would end the loop whose turn never came.
TEST_F(FailureTest, ALoopThatWaitsForAnotherFiberEndsWhenTheRunIsStopped) {
  for (const Strategy strategy : {Strategy::kRandom, Strategy::kPct, Strategy::kExhaustive}) {
    const Report report = testing::explore(
        [] {
          Pipe pipe = Pipe::create().value();
          bool done = false;
          auto other = spawn([&] {
            for (int i = 0; i < 200; ++i) this_fiber::yield();
            done = true;
          });
          char byte = 0;
          while (!done) (void)pipe.read_end.read_some({&byte, 1}, Deadline::immediate());
          other.join();
        },
        quietly({.strategy = strategy, .max_steps = 100}));
    (void)expect_failure(report, Failure::Kind::kTooManySteps);
  }
}

TEST_F(FailureTest, EvenNoStepsAtAllAreALimit) {
  for (const std::uint64_t steps : {0U, 1U, 10U}) {
    const Report report = testing::explore(
        [] {
          for (int i = 0; i < 20; ++i) spawn([] {}).join();
        },
        quietly({.max_steps = steps}));
    (void)expect_failure(report, Failure::Kind::kTooManySteps);
  }
}

// The stop that follows a failure makes waits fail, and what is thrown then is no news.
TEST_F(FailureTest, WhatIsThrownBecauseOfADeadlockDoesNotHideIt) {
  const Report report = testing::explore(
      [] {
        auto pair = UnixStream::pair().value();
        const auto read = [](UnixStream& stream) {
          char byte = 0;
          require(stream.read_some({&byte, 1}).has_value(), "not read");
        };
        auto one = spawn([&] { read(pair.first); }, {.name = "one"});
        auto two = spawn([&] { read(pair.second); }, {.name = "two"});
        one.join();
        two.join();
      },
      quietly({.patience = 1ms}));
  const Failure failure = expect_failure(report, Failure::Kind::kDeadlock);
  EXPECT_THAT(failure.what, HasSubstr("#3 two"));
  EXPECT_THAT(failure.table, Not(HasSubstr("ends")));
}

TEST_F(FailureTest, WhatTheFirstFiberThrowsCountsThoughOthersWaitForEver) {
  const Report report = testing::explore(
      [] {
        spawn([pair = UnixStream::pair().value()]() mutable {
          char byte = 0;
          (void)pair.first.read_some({&byte, 1});
        }).detach();
        throw std::runtime_error("money was lost");
      },
      quietly({.patience = 1ms}));
  EXPECT_EQ(expect_failure(report, Failure::Kind::kException).what, "it threw: money was lost");
}

TEST_F(FailureTest, PatienceForEverIsNotNone) {
  expect_no_failure(testing::explore(helped_from_outside,
                                     {.runs = 1, .patience = std::chrono::nanoseconds::max()}));
}

TEST_F(FailureTest, WhoIsAskedAfterARunHasTheRealClockAndMayExplore) {
  testing::Options options = quietly({.runs = 2});
  options.failed = [] {
    Runtime runtime({.workers = 1});
    runtime.run([] { (void)this_fiber::sleep_for(1ms); });
    return !testing::explore(two_yields, {.runs = 2});
  };
  expect_no_failure(testing::explore([] {}, options));
}

TEST_F(FailureTest, TheFirstFiberWasSpawnedWhereExploreWasCalled) {
  const Report report = testing::explore([] { (void)this_fiber::sleep_until(Deadline::never()); },
                                         quietly({.patience = 1ms}));
  EXPECT_THAT(expect_failure(report, Failure::Kind::kDeadlock).what,
              ::testing::ContainsRegex("#1 main, spawned at .*failure_test.cc:"));
}

// Other threads of the process take numbers of descriptors meanwhile.
TEST_F(FailureTest, TwoThreadsMayExploreAtOnce) {
  const auto explore_often = [] {
    for (int i = 0; i < 20; ++i) {
      const Report report = testing::explore(
          [] {
            Pipe pipe = Pipe::create().value();
            (void)pipe.write_end.write_some("x");
            throw std::runtime_error("as planned");
          },
          quietly());
      EXPECT_EQ(expect_failure(report, Failure::Kind::kException).what, "it threw: as planned");
    }
  };
  std::thread another(explore_often);
  explore_often();
  another.join();
}

// --- Determinism. ---

TEST_F(FailureTest, AProgramThatDependsOnEarlierRunsIsNoticed) {
  int runs = 0;
  const Report report = testing::explore(
      [&runs] {
        if (++runs == 5) spawn([] {}).join();
        two_yields();
      },
      quietly(exhaustive(testing::kUnbounded)));
  EXPECT_THAT(expect_failure(report, Failure::Kind::kNotDeterministic).what,
              HasSubstr("not deterministic: the same choices led to other options (step "));
  EXPECT_EQ(report.runs, 5U);
}

TEST_F(FailureTest, ARunThatIsShorterThanItsBeginningIsNoticed) {
  int runs = 0;
  const Report report = testing::explore(
      [&runs] {
        if (++runs < 5) two_yields();
      },
      quietly(exhaustive(testing::kUnbounded)));
  (void)expect_failure(report, Failure::Kind::kNotDeterministic);
}

TEST_F(FailureTest, AFailureThatDoesNotComeAgainSaysSo) {
  int runs = 0;
  const Report report = testing::explore(
      [&runs] {
        two_yields();
        require(++runs != 3, "the third run");
      },
      quietly());
  const Failure failure = expect_failure(report, Failure::Kind::kException);
  EXPECT_THAT(failure.what, HasSubstr("it threw: the third run"));
  EXPECT_THAT(failure.what, HasSubstr("not deterministic"));
}

// --- Replay. ---

TEST_F(FailureTest, AReplayTakesTheSameStepsToTheSameFailure) {
  for (const Strategy strategy : {Strategy::kRandom, Strategy::kPct}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const testing::Options options = quietly({.strategy = strategy, .seed = seed, .runs = 1000});
      const Report first = testing::explore(lost_update, options);
      const Failure failure = expect_failure(first, Failure::Kind::kException);
      EXPECT_THAT(failure.what, Not(HasSubstr("not deterministic")));
      const Report again = testing::replay(lost_update, failure.schedule, quietly());
      const Failure replayed = expect_failure(again, Failure::Kind::kException);
      EXPECT_EQ(replayed.table, failure.table);
      EXPECT_EQ(replayed.schedule, failure.schedule);
      EXPECT_EQ(again.runs, 1U);
    }
  }
}

TEST_F(FailureTest, AScheduleOfAnotherProgramIsRefused) {
  // Out of range, and beyond the end.
  for (const char* const schedule : {"0:4/5", "1:3/4", "1000:1/2"}) {
    const Report report = testing::replay(two_yields, schedule, quietly());
    EXPECT_THAT(expect_failure(report, Failure::Kind::kBadSchedule).what,
                HasSubstr("does not fit this program"))
        << schedule;
  }
}

TEST_F(FailureTest, WhatIsNoScheduleIsRefusedWithoutARun) {
  const Report unfit = testing::replay(lost_update, "0:1/9", quietly());
  EXPECT_EQ(expect_failure(unfit, Failure::Kind::kBadSchedule).schedule, "0:1/9");
  for (const char* const text :
       {"", "garbage", "1", "1:", "1:2", "1:2/", "1:2/2", "1:0/2", "1:1/2.", ".1:1/2", "1:1/2x",
        "-1:1/2", "99999999999:1/2", "4294967295:1/2", "10000000:1/2.10000000:1/2", "fifo "}) {
    bool ran = false;
    const Report report = testing::replay([&ran] { ran = true; }, text, quietly());
    EXPECT_THAT(expect_failure(report, Failure::Kind::kBadSchedule).what,
                HasSubstr("this is not a schedule"))
        << text;
    EXPECT_FALSE(ran) << text;
    EXPECT_EQ(report.runs, 0U);
  }
}

TEST_F(FailureTest, TheEnvironmentVariableReplaysInsteadOfExploring) {
  ::setenv("REARM_SCHEDULE", "1:2/3", 1);
  const Report failed = testing::explore(lost_update, quietly());
  const Report passed = testing::explore(kept_update);
  ::unsetenv("REARM_SCHEDULE");
  (void)expect_failure(failed, Failure::Kind::kException);
  EXPECT_EQ(failed.runs, 1U);
  expect_no_failure(passed);
  EXPECT_EQ(passed.runs, 1U);
}

// --- What is printed. ---

TEST_F(FailureTest, TheTableShowsTheStepsOfEachFiber) {
  const Report report = testing::replay(lost_update, "1:2/3", quietly());
  EXPECT_EQ(expect_failure(report, Failure::Kind::kException).table,
            "step  choice  time      #1 main                         #2 a            #3 b\n"
            "1             0         starts\n"
            "2     0/2     0         after spawn #2\n"
            "3     2/3     0                                                         "
            "starts; yields\n"
            "4     0/3     0         after spawn #3; waits: join #2\n"
            "5     0/2     0                                         starts; yields\n"
            "6     0/2     0                                                         "
            "goes on; ends\n"
            "7             0                                         goes on; ends\n"
            "8             0         join #2: ended\n"
            "9             0         after join #3; ends\n");
}

TEST_F(FailureTest, AFailureIsPrintedWithTheScheduleUnlessQuiet) {
  ::testing::internal::CaptureStderr();
  (void)testing::explore(lost_update);
  const std::string printed = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(printed, HasSubstr("failed: it threw: an update was lost"));
  EXPECT_THAT(printed, HasSubstr("#2 a"));
  EXPECT_THAT(printed, HasSubstr("to replay: REARM_SCHEDULE="));
  ::testing::internal::CaptureStderr();
  (void)testing::explore(lost_update, quietly());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(FailureTest, ALongTableIsCutInTheMiddleAndManyFibersHaveNoColumns) {
  const Report report = testing::explore(
      [] {
        for (int i = 0; i < 20; ++i) spawn([] { two_yields(); }, {.name = "many"}).join();
        for (int i = 0; i < 1000; ++i) this_fiber::yield();
        throw std::runtime_error("late");
      },
      quietly());
  const Failure failure = expect_failure(report, Failure::Kind::kException);
  EXPECT_THAT(failure.table, HasSubstr(" steps left out"));
  EXPECT_THAT(failure.table, HasSubstr("#1 main: goes on; yields\n"));
}

}  // namespace
}  // namespace rearm::test
