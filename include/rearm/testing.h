// Testing: runs a function of fibers under schedules that are chosen, not met by chance.
//
//   const auto report = rearm::testing::explore([] {
//     ...                          // the first fiber; it spawns others, talks over pipes, sleeps
//     if (balance != 300) throw std::runtime_error("money was lost");
//   });
//
// The function is run again and again, on the calling thread alone, in virtual time, until a run
// fails or enough have passed. Wherever a fiber parks, yields or ends, and around the calls of the
// library that may park, wake, or see what others do, it is chosen who goes on, among all fibers
// that could, or that time passes until the earliest timer. So an hour's sleep takes no time, a
// timeout meets the data it waited for in either order, and a failure can be had again: it comes
// with its schedule, a short text, which replay() takes.
//
// What is tested needs no change, but each run must begin afresh and must depend on nothing beyond
// it: no other threads, no real time (Deadline::now() is the virtual clock), no addresses. What
// lies between two calls of the library is one step, so races of memory accesses as such are not
// found here; ThreadSanitizer finds them. docs/testing.md says what is explored, and how far.
//
// Link rearm::testing. Not for production: nothing else in the library includes this.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

namespace rearm::testing {

enum class Strategy : std::uint8_t {
  // Each choice uniformly among the options.
  kRandom,
  // Fibers have random priorities, and the first in rank goes on, but for `depth` - 1 changes of
  // rank at random steps (PCT: Burckhardt et al., ASPLOS 2010). With n fibers and at most k
  // choices, each run finds a bug of depth d (one that needs d orderings to hold) with a
  // probability of at least 1 / (n k^(d-1)), if `depth` is at least d. The passing of time counts
  // as a fiber. k is what the runs so far have shown, so the first ones promise less; a fiber that
  // yields, and time that has passed, go behind all others, beyond the paper.
  kPct,
  // Every schedule with at most `delays` delays (Emmi, Qadeer, Rakamaric, POPL 2011). Without
  // delays, the running fiber goes on until it parks or yields, then the first in line, and time
  // passes when nobody can go on. One delay sends the first in line to its end, or lets time pass
  // although somebody can go on.
  kExhaustive,
};

// As many delays as there can be: every schedule there is.
inline constexpr unsigned kUnbounded = std::numeric_limits<unsigned>::max();

struct Options {
  Strategy strategy = Strategy::kRandom;
  // Everything random follows from it: the same seed, the same schedules, on every system.
  std::uint64_t seed = 1;
  // At most so many runs; for kExhaustive, too.
  std::uint64_t runs = 10'000;
  unsigned delays = 2;  // For kExhaustive.
  unsigned depth = 3;   // For kPct; 1 to 1000.
  // A run with more steps has failed: a livelock, if the number is large enough.
  std::uint64_t max_steps = 100'000;
  // Where nobody can go on and no timer is left, something outside (a process, a thread) may still
  // come to their help: so long, in real time, until it is called a deadlock.
  std::chrono::nanoseconds patience = std::chrono::milliseconds(100);
  // As in Runtime::Options.
  std::size_t stack_bytes = 256 * 1024;
  std::string_view backend = {};
  // Asked after each run that did not throw, on a plain thread, in real time: whether it has
  // failed. For frameworks whose assertions do not throw, such as ::testing::Test::HasFailure.
  std::function<bool()> failed = {};
  // Does not print a failure to standard error. Last words before an abort are always printed.
  bool quiet = false;
};

struct Failure {
  enum class Kind : std::uint8_t {
    kException,         // The function threw.
    kFailed,            // Options::failed() said so.
    kDeadlock,          // Fibers are left, none can go on, and no timer is set.
    kTooManySteps,      // Options::max_steps.
    kNotDeterministic,  // The same choices did not lead to the same options again.
    kBadSchedule,       // A schedule to replay that is not one, or is not one of this program.
  };
  Kind kind = Kind::kException;
  std::string what = {};      // One sentence or, for a deadlock, one for each fiber that waits.
  std::string schedule = {};  // For replay(). Empty only for a schedule that was not one.
  std::string table = {};     // The steps: a line for each, and a column for each fiber.
};

struct Report {
  std::uint64_t runs = 0;
  std::uint64_t steps = 0;  // Of all runs together.
  // kExhaustive: every schedule within the bound was run.
  bool complete = false;
  std::optional<Failure> failure = std::nullopt;  // Of the last run.

  // Whether no run failed.
  [[nodiscard]] explicit operator bool() const noexcept { return !failure; }
};

// Runs `body` as the first fiber of a runtime of its own, again and again, until a run fails, or
// `runs` have been run, or nothing is left to try. Every run ends when all its fibers have ended.
// A failure is printed to standard error: what it was, the table of steps, the schedule.
//
// A run that fails before its end (`body` threw, nobody can go on, too many steps) is stopped
// (Runtime::request_stop): waits end with Errc::kCancelled, and its fibers unwind; what fibers
// throw from then on, and nobody receives, is dropped. If they do not end even then, because they
// wait for what a stop does not end, or ignore Errc::kCancelled, the failure is printed and the
// process aborts. If the process dies in a run (an assertion, a fault, an exception in a detached
// fiber), on this thread, the schedule is printed first, by handlers for SIGABRT, SIGSEGV, SIGBUS,
// SIGFPE and SIGILL that are there during the call only. `site` is shown as the place where the
// first fiber was spawned.
//
// If the environment variable REARM_SCHEDULE is set, that schedule is replayed, once, instead.
// Blocks the calling thread; several threads may each explore something. REQUIRES: not on a fiber.
// Throws std::system_error as Runtime does.
[[nodiscard]] Report explore(const std::function<void()>& body, const Options& options = {},
                             const std::source_location& site = std::source_location::current());

// Runs `body` once, by a schedule that explore() has printed for the same program. The environment
// variable is not looked at, and of the options neither strategy, seed, runs nor bounds. A schedule
// that does not fit is Failure::Kind::kBadSchedule; a text that is none is so without a run.
// Blocks, prints, aborts and throws as explore() does. REQUIRES: not on a fiber.
[[nodiscard]] Report replay(const std::function<void()>& body, std::string_view schedule,
                            const Options& options = {},
                            const std::source_location& site = std::source_location::current());

}  // namespace rearm::testing
