// What the tests of rearm::testing share: small programs of fibers, some with a planted mistake,
// and a fixture that sees to it that nothing is left behind.
#pragma once

#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "rearm/rearm.h"
#include "rearm/testing.h"
#include "support/leak_check.h"

namespace rearm::test {

using testing::Failure;
using testing::Report;
using testing::Strategy;

// What does not hold in a run ends it.
inline void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

// Two fibers add to one number, each by reading it, giving way, and writing it.
inline void lost_update() {
  int balance = 0;
  const auto deposit = [&balance] {
    const int seen = balance;
    this_fiber::yield();
    balance = seen + 1;
  };
  auto a = spawn(deposit, {.name = "a"});
  auto b = spawn(deposit, {.name = "b"});
  a.join();
  b.join();
  require(balance == 2, "an update was lost");
}

// The same without giving way in between: correct.
inline void kept_update() {
  int balance = 0;
  const auto deposit = [&balance] {
    this_fiber::yield();
    ++balance;
    this_fiber::yield();
  };
  auto a = spawn(deposit, {.name = "a"});
  auto b = spawn(deposit, {.name = "b"});
  a.join();
  b.join();
  require(balance == 2, "an update was lost");
}

// Two fibers that each give way once.
inline void two_yields() {
  auto a = spawn([] { this_fiber::yield(); });
  auto b = spawn([] { this_fiber::yield(); });
  a.join();
  b.join();
}

// Everything there is, of a program that is expected to be without a failure.
[[nodiscard]] inline testing::Options exhaustive(unsigned delays) {
  return {.strategy = Strategy::kExhaustive, .runs = 10'000'000, .delays = delays};
}

// Of a program that is expected to fail.
[[nodiscard]] inline testing::Options quietly(testing::Options options = {}) {
  options.quiet = true;
  return options;
}

inline void expect_no_failure(const Report& report) {
  EXPECT_TRUE(report) << report.failure->what << "\n" << report.failure->table;
}

// The failure of a report that must have one of this kind; an empty one, and a failure of the test,
// otherwise.
[[nodiscard]] inline Failure expect_failure(const Report& report, Failure::Kind kind) {
  if (report) {
    ADD_FAILURE() << "no run failed, of " << report.runs;
    return {};
  }
  EXPECT_EQ(report.failure->kind, kind) << report.failure->what;
  return *report.failure;
}

// The outcomes that `body(outcomes)` inserts over all schedules within the delays.
template <class Outcome, class Body>
[[nodiscard]] std::set<Outcome> outcomes_of(Body body, unsigned delays) {
  std::set<Outcome> outcomes;
  const Report report = testing::explore([&] { body(outcomes); }, exhaustive(delays));
  expect_no_failure(report);
  EXPECT_TRUE(report.complete);
  return outcomes;
}

class ExploreTest : public LeakCheck {};

}  // namespace rearm::test
