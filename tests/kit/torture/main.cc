// The torture server: everything at once, for as long as you like, judged from outside.
//
// What it is. One process with a runtime in it, an echo server on the runtime, and clients of two
// kinds: strangers on plain threads that use nothing of the library (outside.h), and fibers
// (inside.h). Each connection follows a plan that its number and the seed decide (plan.h): sizes,
// pauses, half-closes, resets, closes by other fibers and threads, deadlines that move. Meanwhile
// other threads reuse descriptor numbers and hold the runtime's threads up at any instruction
// (neighbours.h), and seek the race of report, close and reuse (duel.h); fibers compute, sleep,
// spawn and join.
//
// What it holds against the library
//   - What comes back is what was sent, byte for byte, in order; and all of it, unless the plan
//     says why not. Bytes say whose they are (pattern.h).
//   - Every operation returns: a watchdog names the one that does not (ledger.h).
//   - Each error is one that the plan, or the stop, accounts for.
//   - The run is cut into epochs. At the end of each, every connection that a client opened has
//     been accepted and served, and no fiber, stack, descriptor, number or thread is left. Every
//     other epoch ends with request_stop() in the midst of everything.
//
// What a seed means. It decides all plans, not how threads interleave: the same seed brings the
// same kind of trouble, and usually soon the same failure, but not the same schedule.
//
// Rejected. A server in a process of its own: numbers could not be reused under it. A log of all
// events, to replay: it costs the concurrency that it is to record.
#include <sys/resource.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/flags.h"
#include "support/leak_check.h"
#include "torture/duel.h"
#include "torture/inside.h"
#include "torture/neighbours.h"
#include "torture/outside.h"
#include "torture/server.h"

namespace rearm::torture {
namespace {

using std::chrono::milliseconds;

// Runs the epochs and checks what each has left behind.
class Conductor {
 public:
  Conductor(const Options& options, Ledger& ledger) : world_(options, ledger), ledger_(ledger) {}

  void run();

 private:
  struct Before {
    std::map<int, std::string> fds;
    std::size_t threads;
    std::size_t descriptors;
  };
  [[nodiscard]] static Before take_stock();

  void run_epoch(rearm::Runtime& runtime, double seconds, bool stops);
  void first_fiber(ClosingThread& closer);
  void start_outsiders(std::vector<std::thread>& threads);
  template <class F>
  void start(std::vector<std::thread>& threads, F f);
  void keep_time(rearm::Runtime& runtime, double seconds, bool stops);
  void report_progress();
  void check_balance(const rearm::Runtime& runtime, bool stopped);
  void check_leftovers(const Before& before);

  World world_;
  Ledger& ledger_;
  std::atomic<bool> listening_{false};
  std::int64_t began_ns_ = now_ns();
  std::uint64_t operations_before_ = 0;
  std::uint64_t stale_reports_ = 0;
  std::int64_t reported_ns_ = began_ns_;
};

Conductor::Before Conductor::take_stock() {
  return {.fds = rearm::test::open_fds(),
          .threads = rearm::test::thread_count(),
          .descriptors = rearm::test::open_descriptors()};
}

void Conductor::run() {
  install_hold_handler();
  std::thread([] {}).join();  // A sanitizer's own thread is started by the first of ours.
  double left = world_.options.seconds;
  while (left > 0) {
    const Before before = take_stock();
    {
      rearm::Runtime runtime(
          {.workers = world_.options.workers, .backend = world_.options.backend});
      // Two epochs to a runtime: a runtime that was stopped goes on as if it were new.
      for (int i = 0; i < 2 && left > 0; ++i) {
        const double seconds = left < 1.5 * world_.options.epoch_s ? left : world_.options.epoch_s;
        run_epoch(runtime, seconds, world_.epoch % 2 == 1);
        left -= seconds;
        ++world_.epoch;
      }
      const rearm::Poller::Stats stats = runtime.stats().poller;
      stale_reports_ += stats.stale_events;
      std::printf("%s: %" PRIu64 " reports, %" PRIu64 " of them stale, %" PRIu64 " waits, %" PRIu64
                  " arms, %" PRIu64 " re-arms; numbers inherited at once: %" PRIu64 "\n",
                  std::string(runtime.backend_name()).c_str(), stats.events, stats.stale_events,
                  stats.waits, stats.arms, stats.rearms, world_.inherited.load());
    }
    check_leftovers(before);
  }
  // Each long run has dozens of them. None at all: nobody looks any more whose a report is.
  constexpr std::uint64_t kManyDuels = 5'000;
  if (stale_reports_ == 0 && ledger_.done(Op::kDuel) > kManyDuels) {
    ledger_.fail("in %" PRIu64 " duels no late report was dropped", ledger_.done(Op::kDuel));
  }
  std::printf("connections: %" PRIu64 " opened, %" PRIu64 " accepted, %" PRIu64
              " echoed to the last byte\n",
              world_.opened.load(), world_.accepted.load(), world_.complete.load());
}

template <class F>
void Conductor::start(std::vector<std::thread>& threads, F f) {
  ++world_.outsiders;
  threads.emplace_back([this, f] {
    while (!listening_) std::this_thread::sleep_for(milliseconds(1));
    f();
    --world_.outsiders;
  });
}

void Conductor::start_outsiders(std::vector<std::thread>& threads) {
  const std::size_t clients = world_.options.connections - world_.options.connections / 4;
  for (std::size_t i = 0; i < world_.options.threads; ++i) {
    const std::size_t share = std::max<std::size_t>(1, clients / world_.options.threads);
    start(threads, [this, share, i] { run_outsider(world_, share, i); });
  }
  for (std::size_t i = 0; i < 2; ++i) start(threads, [this, i] { run_numbers(world_, i); });
  for (std::size_t i = 0; i < 2; ++i) start(threads, [this, i] { run_duels(world_, i); });
  if (world_.options.hold) start(threads, [this] { run_holder(world_); });
}

void Conductor::run_epoch(rearm::Runtime& runtime, double seconds, bool stops) {
  world_.runtime = &runtime;
  world_.draining = false;
  world_.stopping = false;
  listening_ = false;
  for (auto& worker : world_.workers) worker = 0;
  ledger_.on_failure([&runtime] {
    const rearm::Runtime::Stats s = runtime.stats();
    return std::string(runtime.backend_name()) + ": " + std::to_string(s.fibers_alive) +
           " fibers alive, " + std::to_string(s.switches) + " switches, " +
           std::to_string(s.poller.descriptors) + " descriptors, " +
           std::to_string(s.poller.events) + " reports, " + std::to_string(s.poller.stale_events) +
           " stale";
  });
  {
    ClosingThread closer(world_);
    std::vector<std::thread> threads;
    start_outsiders(threads);
    std::thread timekeeper([&] { keep_time(runtime, seconds, stops); });
    runtime.run([&] { first_fiber(closer); });
    timekeeper.join();
    for (std::thread& thread : threads) thread.join();
  }
  ledger_.on_failure({});
  check_balance(runtime, stops);
}

void Conductor::first_fiber(ClosingThread& closer) {
  Server server(world_, closer);
  server.open();
  std::vector<rearm::JoinHandle<void>> fibers;
  for (std::size_t i = 0; i < world_.options.connections / 4; ++i) {
    fibers.push_back(rearm::spawn([this, i] { run_insider(world_, i); }, {.name = "insider"}));
  }
  for (std::size_t i = 0; i < 2; ++i) {
    fibers.push_back(rearm::spawn([this, i] { run_load(world_, i); }, {.name = "load"}));
    fibers.push_back(rearm::spawn([this, i] { run_crowds(world_, i); }, {.name = "crowds"}));
    fibers.push_back(rearm::spawn([this, i] { run_datagrams(world_, i); }, {.name = "datagrams"}));
  }
  listening_ = true;
  for (auto& fiber : fibers) fiber.join();
  // The outsiders' connections end first, unless the server has been stopped under them.
  while (world_.outsiders != 0 && rearm::this_fiber::sleep_for(milliseconds(2))) continue;
  server.close();
}

void Conductor::keep_time(rearm::Runtime& runtime, double seconds, bool stops) {
  const std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
  while (now_ns() < end) {
    std::this_thread::sleep_for(milliseconds(20));
    report_progress();
  }
  if (!stops) {
    world_.draining = true;
    return;
  }
  world_.stopping = true;
  runtime.request_stop();
}

void Conductor::report_progress() {
  constexpr std::int64_t kEvery = 2'000'000'000;
  const std::int64_t now = now_ns();
  if (now - reported_ns_ < kEvery) return;
  const std::uint64_t operations = ledger_.operations();
  std::printf("%6.0f s  epoch %u  %" PRIu64 " operations, %.0f a second; %" PRIu64
              " connections, %" PRIu64 " of them open\n",
              static_cast<double>(now - began_ns_) / 1e9, world_.epoch, operations,
              static_cast<double>(operations - operations_before_) * 1e9 /
                  static_cast<double>(now - reported_ns_),
              world_.opened.load(), world_.open_now.load());
  std::fflush(stdout);
  operations_before_ = operations;
  reported_ns_ = now;
}

void Conductor::check_balance(const rearm::Runtime& runtime, bool stopped) {
  const rearm::Runtime::Stats stats = runtime.stats();
  if (stats.fibers_alive != 0 || stats.stacks_taken != 0 || stats.poller.descriptors != 0) {
    ledger_.fail("epoch %u left %" PRIu64 " fibers, %" PRIu64 " stacks, %" PRIu64 " descriptors",
                 world_.epoch, stats.fibers_alive, stats.stacks_taken, stats.poller.descriptors);
  }
  if (world_.accepted != world_.served || world_.open_now != 0) {
    ledger_.fail("epoch %u: %" PRIu64 " connections accepted, %" PRIu64 " served, %" PRIu64
                 " open at the end",
                 world_.epoch, world_.accepted.load(), world_.served.load(),
                 world_.open_now.load());
  }
  // A stop leaves connections in the backlog that nobody accepts any more.
  if (stopped) world_.opened = world_.accepted.load();
  if (world_.opened != world_.accepted) {
    ledger_.fail("epoch %u: %" PRIu64 " connections opened, %" PRIu64 " accepted", world_.epoch,
                 world_.opened.load(), world_.accepted.load());
  }
}

void Conductor::check_leftovers(const Before& before) {
  constexpr int kTries = 2'000;
  // The system counts a thread that was joined for a moment longer.
  for (int i = 0; i < kTries && rearm::test::thread_count() > before.threads; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  const Before after = take_stock();
  for (const auto& [fd, target] : after.fds) {
    if (!before.fds.contains(fd)) ledger_.fail("number %d is left open: %s", fd, target.c_str());
  }
  for (const auto& [fd, target] : before.fds) {
    if (!after.fds.contains(fd)) ledger_.fail("number %d was closed: %s", fd, target.c_str());
  }
  if (after.threads > before.threads || after.descriptors != before.descriptors) {
    ledger_.fail("%zu threads were there and %zu are, %zu descriptors and %zu", before.threads,
                 after.threads, before.descriptors, after.descriptors);
  }
}

// Makes room for the connections, or says what there is room for.
std::size_t fit_descriptors(std::size_t connections) {
  constexpr rlim_t kEach = 5;  // Both ends, and a duplex's pipe.
  constexpr rlim_t kOthers = 256;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t wish = connections * kEach + kOthers;
  if (limit.rlim_cur < wish) {
    limit.rlim_cur = std::min(wish, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wish) return connections;
  const std::size_t fits =
      limit.rlim_cur > kOthers + kEach ? (limit.rlim_cur - kOthers) / kEach : 1;
  std::printf("RLIMIT_NOFILE is %ju: %zu connections at once, not %zu\n",
              static_cast<std::uintmax_t>(limit.rlim_cur), fits, connections);
  return fits;
}

std::string command(const char* program, const Options& options) {
  std::string text = program;
  text += " --seconds " + std::to_string(static_cast<long>(options.seconds));
  text += " --seed " + std::to_string(options.seed);
  text += " --workers " + std::to_string(options.workers);
  text += " --threads " + std::to_string(options.threads);
  text += " --connections " + std::to_string(options.connections);
  if (!options.hold) text += " --no-hold";
  if (!options.backend.empty()) text += " --backend " + options.backend;
  return text;
}

}  // namespace

[[nodiscard]] static int run(int argc, char** argv) {
  Options options;
  rearm::test::Flags flags(
      "Tortures an echo server, and ends with 0 if it answered every byte and waiter.");
  flags.add("--seconds", options.seconds, "how long");
  flags.add("--seed", options.seed, "decides all plans; 0: a new one");
  flags.add("--workers", options.workers, "of the runtime; 0: one for each processor");
  flags.add("--threads", options.threads, "that drive clients from outside");
  flags.add("--connections", options.connections, "at once");
  flags.add("--backend", options.backend, "of the poller; otherwise REARM_BACKEND decides");
  flags.add("--patience", options.patience_s, "seconds that an operation may take");
  flags.add("--epoch", options.epoch_s, "seconds between two ends at which all is counted");
  flags.add_off("--no-hold", options.hold, "do not stop threads at any instruction, by signals");
  if (const std::optional<int> status = flags.parse(argc, argv)) return *status;
  if (options.connections == 0) {
    std::fprintf(stderr, "--connections must be at least 1\n");
    return rearm::test::Flags::kMistake;
  }
  if (options.seed == 0) options.seed = static_cast<std::uint64_t>(now_ns());
  options.connections = fit_descriptors(options.connections);

  const std::string repeat = command(argv[0], options);
  std::printf("%s\n", repeat.c_str());
  const auto patience =
      std::chrono::nanoseconds(static_cast<std::int64_t>(options.patience_s * 1e9));
  Ledger ledger(repeat, patience,
                [&options](std::uint32_t id) { return Plan::of(options.seed, id).describe(); });
  Conductor(options, ledger).run();
  ledger.print();
  std::printf("seed %" PRIu64 ": no promise was broken\n", options.seed);
  return 0;
}

}  // namespace rearm::torture

int main(int argc, char** argv) { return rearm::torture::run(argc, argv); }
