#include "explore/driver.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <vector>

namespace rearm::explore {
namespace {

// Of the processor's time: the machine may have other things to do.
double cpu_seconds() {
  timespec now{};
  (void)::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr std::size_t kWidestColumn = 40;

std::string padded(const std::string& text, std::size_t width) {
  return text.size() >= width ? text : text + std::string(width - text.size(), ' ');
}

void print_table(const Program& program, const std::vector<Row>& rows) {
  const auto threads = static_cast<std::size_t>(program.threads());
  std::vector<std::string> heads(threads);
  std::vector<std::size_t> widths(threads);
  for (std::size_t i = 0; i < threads; ++i) {
    heads[i] = std::string(1, static_cast<char>('A' + i)) + ": " +
               program.thread_name(static_cast<int>(i));
    widths[i] = heads[i].size();
  }
  for (const Row& row : rows) {
    if (row.thread < 0) continue;
    std::size_t& width = widths[static_cast<std::size_t>(row.thread)];
    width = std::max(width, std::min(row.text.size(), kWidestColumn));
  }
  std::string line = "step ";
  for (std::size_t i = 0; i < threads; ++i) line += "| " + padded(heads[i], widths[i]) + " ";
  std::printf("%s| the world after it\n", line.c_str());
  int number = 0;
  for (const Row& row : rows) {
    if (row.thread < 0) {
      std::printf("     | %s   [%s]\n", row.text.c_str(), row.state.c_str());
      continue;
    }
    const bool is_remark = row.text.starts_with("...");
    line = is_remark ? "     " : padded(std::to_string(++number), 5);
    for (std::size_t i = 0; i < threads; ++i) {
      const bool is_here = static_cast<int>(i) == row.thread;
      line += "| " + padded(is_here ? row.text : "", widths[i]) + " ";
    }
    std::printf("%s| %s\n", line.c_str(), row.state.c_str());
  }
}

}  // namespace

Tally& Tally::operator+=(const Tally& other) {
  executions += other.executions;
  cut += other.cut;
  steps += other.steps;
  longest = std::max(longest, other.longest);
  seconds += other.seconds;
  is_complete = is_complete && other.is_complete;
  is_bounded = is_bounded || other.is_bounded;
  has_failed = has_failed || other.has_failed;
  return *this;
}

Tally explore(Program& program, const Search::Options& options, std::uint64_t limit) {
  Search search(options);
  Tally tally;
  const double begin = cpu_seconds();
  while (search.next()) {
    if (tally.executions + tally.cut == limit) {
      tally.is_complete = false;
      break;
    }
    const Ending ending = Machine::run(program, search, false);
    tally.steps += static_cast<std::uint64_t>(search.steps());
    tally.longest = std::max(tally.longest, search.steps());
    if (ending == Ending::kCut) {
      ++tally.cut;
      continue;
    }
    ++tally.executions;
    if (ending == Ending::kViolation) {
      tally.has_failed = true;
      tally.violation = Machine::violation();
      tally.schedule = search.schedule();
      break;
    }
  }
  tally.is_bounded = search.bound_was_reached();
  tally.seconds = cpu_seconds() - begin;
  return tally;
}

std::string simplest(Program& program, const Tally& failed) {
  constexpr int kMost = 3;
  constexpr std::uint64_t kLimit = 200'000;
  for (int preemptions = 0; preemptions <= kMost; ++preemptions) {
    const Tally tally =
        explore(program, {.strategy = Strategy::kBounded, .preemptions = preemptions}, kLimit);
    if (tally.has_failed && tally.violation.guarantee == failed.violation.guarantee) {
      return tally.schedule;
    }
  }
  return failed.schedule;
}

bool print_execution(Program& program, const std::string& schedule) {
  Search search({.strategy = Strategy::kReplay, .replay = schedule});
  (void)search.next();
  const Ending ending = Machine::run(program, search, true);
  const std::vector<Row> rows = Machine::rows();
  print_table(program, rows);
  if (ending != Ending::kViolation) return false;
  const Violation& violation = Machine::violation();
  std::printf("%s: %s (after %d steps, %d preemptions)\n", violation.guarantee.c_str(),
              violation.message.c_str(), search.steps(), search.preemptions());
  return true;
}

}  // namespace rearm::explore
