// Driver: runs a search over a program to its end, or to a limit, and says what came of it.
#pragma once

#include <cstdint>
#include <string>

#include "explore/machine.h"
#include "explore/search.h"

namespace rearm::explore {

struct Tally {
  std::uint64_t executions = 0;  // Carried to their end.
  std::uint64_t cut = 0;         // Given up: the like had been seen.
  std::uint64_t steps = 0;
  int longest = 0;
  double seconds = 0;       // Of the processor.
  bool is_complete = true;  // False: stopped at the limit.
  bool is_bounded = false;  // Within a bound on preemptions, which kept something out.
  bool has_failed = false;

  // Where it failed.
  Violation violation;
  std::string schedule;

  Tally& operator+=(const Tally& other);
};

// `limit`: so many executions and cut ones at most.
[[nodiscard]] Tally explore(Program& program, const Search::Options& options, std::uint64_t limit);

// Looks for the same kind of failure with as few preemptions as will do, so that it can be read.
// Returns the schedule of what it found, or the one that it was given.
[[nodiscard]] std::string simplest(Program& program, const Tally& failed);

// Runs one schedule and prints it as a table. Returns whether it violated anything.
bool print_execution(Program& program, const std::string& schedule);

}  // namespace rearm::explore
