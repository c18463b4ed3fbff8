// explore: runs the scenarios, prints what came of them, and replays what failed.
//
//   explore --list                                  every scenario: group, name, backend
//   explore --group pairs --backend poll            a whole group, over one backend or all
//   explore --scenario read+report+close            one scenario
//   explore --scenario ... --backend ... --replay A3B1A7
//   explore --group crowds --pct 100000 --seed 7 --depth 3
//   explore --scenario ... --bound 3                at most so many preemptions
//
// Exit status: 0 if all is well, 1 if a guarantee was broken, 2 for a mistake in the arguments.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "explore/driver.h"
#include "explore/scenarios.h"
#include "support/flags.h"

namespace rearm::explore {
namespace {

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

struct Arguments {
  bool list = false;
  bool verbose = false;
  bool keep_going = false;
  std::string group;
  std::string scenario;
  std::string backend;
  std::string replay;
  std::uint64_t limit = 100'000;
  int fallback = 3;
  std::uint64_t pct_runs = 0;
  std::uint64_t seed = 1;
  int depth = 3;
  int bound = -1;
};

Search::Options options_of(const Arguments& arguments) {
  Search::Options options;
  if (arguments.pct_runs != 0) {
    options.strategy = Strategy::kPct;
    options.runs = arguments.pct_runs;
    options.seed = arguments.seed;
    options.depth = arguments.depth;
  } else if (arguments.bound >= 0) {
    options.strategy = Strategy::kBounded;
    options.preemptions = arguments.bound;
  }
  return options;
}

void print_tally(const std::string& what, const Tally& tally, const char* remark) {
  const double rate =
      tally.seconds == 0 ? 0 : static_cast<double>(tally.executions + tally.cut) / tally.seconds;
  std::printf("%-44s %10" PRIu64 " executions %8" PRIu64 " cut %4d steps %7.2f s %7.0f/s  %s\n",
              what.c_str(), tally.executions, tally.cut, tally.longest, tally.seconds, rate,
              remark);
  std::fflush(stdout);
}

void print_failure(Program& program, const Entry& entry, const Tally& tally) {
  std::printf("\n%s: %s\n\n", tally.violation.guarantee.c_str(), tally.violation.message.c_str());
  const std::string schedule = simplest(program, tally);
  print_execution(program, schedule);
  std::printf("\nreplay: explore --scenario %s%s%s --replay %s\n\n", entry.name.c_str(),
              entry.backend.empty() ? "" : " --backend ", entry.backend.c_str(), schedule.c_str());
}

// What has too many executions to go through them all is gone through once more, within a bound.
bool may_fall_back(const Tally& tally, const Arguments& arguments) {
  return !tally.is_complete && !tally.has_failed && arguments.fallback >= 0 &&
         arguments.bound < 0 && arguments.pct_runs == 0;
}

Tally explore_bounded(Program& program, const Tally& unbounded, const Arguments& arguments) {
  Tally tally = explore(
      program, {.strategy = Strategy::kBounded, .preemptions = arguments.fallback}, kNoLimit);
  tally.is_bounded = true;
  tally.executions += unbounded.executions;
  tally.cut += unbounded.cut;
  tally.steps += unbounded.steps;
  tally.seconds += unbounded.seconds;
  tally.longest = std::max(tally.longest, unbounded.longest);
  return tally;
}

const char* remark_of(const Tally& tally, const Arguments& arguments) {
  if (tally.has_failed) return "FAILED";
  if (arguments.pct_runs != 0) return "sampled";
  if (!tally.is_complete) return "STOPPED AT THE LIMIT";
  return tally.is_bounded ? "complete within the bound" : "complete";
}

std::vector<Entry> chosen(const Arguments& arguments) {
  std::vector<Entry> entries;
  for (const Entry& entry : all_scenarios()) {
    if (!arguments.group.empty() && entry.group != arguments.group) continue;
    if (!arguments.scenario.empty() && entry.name != arguments.scenario) continue;
    if (!arguments.backend.empty() && entry.backend != arguments.backend) continue;
    entries.push_back(entry);
  }
  // A scenario that is in no list, over one backend or all.
  if (entries.empty() && !arguments.scenario.empty()) {
    for (const Class kind : kClasses) {
      if (!arguments.backend.empty() && arguments.backend != name_of(kind)) continue;
      entries.push_back({"", arguments.scenario, name_of(kind)});
    }
  }
  return entries;
}

int run(const Arguments& arguments) {
  const std::vector<Entry> entries = chosen(arguments);
  if (arguments.list) {
    for (const Entry& entry : entries) {
      std::printf("%-8s %-44s %s\n", entry.group.c_str(), entry.name.c_str(),
                  entry.backend.c_str());
    }
    return 0;
  }
  Stage stage;
  std::map<std::string, std::pair<int, Tally>> sums;
  bool has_failed = false;
  for (const Entry& entry : entries) {
    Program* const program = stage.set(entry.name, entry.backend);
    if (program == nullptr) {
      std::fprintf(stderr, "explore: no such scenario: %s %s\n", entry.name.c_str(),
                   entry.backend.c_str());
      return 2;
    }
    if (!arguments.replay.empty()) {
      has_failed = print_execution(*program, arguments.replay) || has_failed;
      continue;
    }
    Tally tally = explore(*program, options_of(arguments), arguments.limit);
    if (may_fall_back(tally, arguments)) tally = explore_bounded(*program, tally, arguments);
    auto& [count, sum] = sums[entry.group + " " + entry.backend];
    ++count;
    sum += tally;
    const bool is_told = tally.has_failed || tally.is_bounded || !tally.is_complete;
    if (is_told || arguments.verbose || entries.size() < 10) {
      print_tally(entry.name + " " + entry.backend, tally, remark_of(tally, arguments));
    }
    if (!tally.has_failed) continue;
    print_failure(*program, entry, tally);
    has_failed = true;
    if (!arguments.keep_going) break;
  }
  for (const auto& [name, sum] : sums) {
    print_tally(name + ": " + std::to_string(sum.first) + " scenarios", sum.second,
                remark_of(sum.second, arguments));
  }
  return has_failed ? 1 : 0;
}

}  // namespace
}  // namespace rearm::explore

int main(int argc, char** argv) {
  rearm::explore::Arguments arguments;
  rearm::test::Flags flags(
      "Explores the interleavings of the library's own code over a model kernel.");
  flags.add("--list", arguments.list, "Print the scenarios and do nothing");
  flags.add("--group", arguments.group, "pairs, triples, quads, words, workers, crowds");
  flags.add("--scenario", arguments.scenario, "One scenario, such as read+report+close");
  flags.add("--backend", arguments.backend, "epoll, kqueue, event_port or poll");
  flags.add("--replay", arguments.replay, "Run this schedule and print it");
  flags.add("--limit", arguments.limit, "Executions for each scenario, at most");
  flags.add("--bound", arguments.bound, "At most so many preemptions");
  flags.add("--fallback", arguments.fallback,
            "Where the limit is reached: at most so many preemptions; -1: stop there");
  flags.add("--pct", arguments.pct_runs, "So many runs with random priorities");
  flags.add("--seed", arguments.seed, "Of these");
  flags.add("--depth", arguments.depth, "Of the bugs that these are to find");
  flags.add("--verbose", arguments.verbose, "One line for each scenario");
  flags.add("--keep-going", arguments.keep_going, "Do not stop at the first failure");
  if (const std::optional<int> status = flags.parse(argc, argv)) return *status;
  return rearm::explore::run(arguments);
}
