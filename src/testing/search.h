// Search: which schedule is tried next, one choice at a time.
//
// Each strategy, and the replay of a schedule, is one. It sees every step, those with one option,
// too, and knows of the fibers what the chooser is told; it knows nothing of how they are run.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>

#include "rearm/testing.h"
#include "sched/control.h"
#include "testing/schedule.h"

namespace rearm::detail {

// How many options a choice has: those in line and, as the last one, that time passes.
[[nodiscard]] inline std::uint32_t options_of(const Chooser::Choice& choice) {
  return static_cast<std::uint32_t>(choice.line.size()) + (choice.may_time_pass ? 1U : 0U);
}

class Search {
 public:
  // An option, or why the run cannot go on: kNotDeterministic or kBadSchedule.
  using Decision = std::expected<std::uint32_t, testing::Failure::Kind>;

  Search() = default;
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;
  virtual ~Search() = default;

  // Before each run. False if there is nothing left to try.
  [[nodiscard]] virtual bool begin_run() = 0;
  [[nodiscard]] virtual Decision choose(const Chooser::Choice& choice) = 0;
  // After a run that did not fail: whether it has come as far as it had to.
  [[nodiscard]] virtual std::expected<void, testing::Failure::Kind> end_run() { return {}; }
};

[[nodiscard]] std::unique_ptr<Search> make_search(const testing::Options& options);
[[nodiscard]] std::unique_ptr<Search> make_replay(Schedule schedule);

}  // namespace rearm::detail
