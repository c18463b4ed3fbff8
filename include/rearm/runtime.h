// Runtime: a poller and a scheduler, and the threads that run fibers on them.
//
//   int main() {
//     rearm::Runtime runtime;
//     runtime.run([] { ... });   // the first fiber; it may spawn others
//   }
//
// Several runtimes may live in one process, each run by a thread of its own. There is no global
// state but the table of descriptors, and no signal handler but the one that reports a fiber's
// stack overflow (Options::report_stack_overflow).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rearm/fiber.h"
#include "rearm/poller.h"

namespace rearm {

namespace detail {
class Scheduler;
}  // namespace detail

class Runtime {
 public:
  struct Options {
    // How many threads run fibers, the one that calls run() among them. 0: one for each processor
    // that this process may keep busy, by its affinity and by the CPU quota of its control group
    // and those above (Linux: cpu.max, cpu.cfs_quota_us), rounded up. At most 4096.
    std::size_t workers = 0;

    // Address space of each fiber's stack, rounded up to pages; 32 KiB at least, 1 TiB at most.
    // Only what is touched costs memory. docs/decisions/0002-stacks.md gives the reasons for the
    // default.
    std::size_t stack_bytes = 256 * 1024;

    // Address space below each stack that no fiber can touch without being found out, rounded up to
    // pages; 16 KiB at least, 1 TiB at most. A frame that is larger can step over it, unless it is
    // compiled with -fstack-clash-protection, as what links rearm::sched is. A MiB of it costs 2
    // KiB of page tables a stack: a program of a million fibers may want less.
    std::size_t guard_bytes = 1024 * 1024;

    // The processors that this runtime's threads may run on, by their numbers; empty: all that the
    // process may use. The thread that calls run() is bound for as long as that takes. Linux; on
    // other systems the constructor throws (Errc::kNotSupported). With 0 workers, one for each.
    std::vector<unsigned> cpus = {};

    // Names the threads that run() starts, for debuggers and `top`: this and a number from 1, cut
    // to 15 bytes. Empty: they keep the name of the thread that calls run(), whose own is not
    // changed. Linux; elsewhere it does nothing. Copied.
    std::string_view thread_name = {};

    // Called on the thread of each worker, with its number from 0, before it runs its first fiber
    // in a run(): for signal masks, priorities, per-thread libraries. Worker 0 is the thread that
    // calls run(). Several calls may be in progress at once. An exception that leaves it ends the
    // process.
    std::function<void(std::size_t worker)> on_worker_start = {};

    // See Poller::Options::backend.
    std::string_view backend = {};

    // How long a worker with fibers to run goes on with them before it looks at what waits outside
    // of its queue: reports of the kernel, expired timers, fibers that were spawned or woken from
    // outside. These wait no longer than a slice and the fiber that runs just then. Less makes them
    // wait less and costs a system call a slice. From 1 us to 1 s; anything else:
    // std::system_error, Errc::kInvalidArgument. docs/decisions/0023-time-slice-and-budget.md.
    std::chrono::nanoseconds time_slice = std::chrono::microseconds(200);

    // How many operations that could have waited, and did not, a fiber makes before it lets others
    // run: reads, writes, accepts, joins, sleeps, each system call of a write_all() by itself. So a
    // connection whose peer keeps up does not keep its worker from all others. A fiber that finds
    // nobody else to run goes on at once. From 1 to 1,000,000; anything else: std::system_error,
    // Errc::kInvalidArgument.
    std::size_t budget = 32;

    // A fiber that overflows its stack is named on standard error before the process dies, by a
    // handler for SIGSEGV and SIGBUS that passes every other fault on to the handler before it.
    bool report_stack_overflow = true;

    // An exception that leaves the function given to run() stops the run, as request_stop() does,
    // so that run() throws it as soon as the other fibers have ended. False: they go on as if the
    // function had returned; run() throws when the last of them has ended, and until then a line
    // on standard error says what was thrown.
    bool stop_on_exception = true;
  };

  // Counters. Relaxed: exact only when nothing else runs.
  struct Stats {
    std::uint64_t fibers_alive = 0;  // Spawned and not yet ended.
    std::uint64_t fibers_spawned = 0;
    std::uint64_t switches = 0;  // Times a worker began to run a fiber.
    std::uint64_t steals = 0;
    std::uint64_t stacks_taken = 0;  // In use, or in a processor's cache.
    Poller::Stats poller = {};
  };

  // Throws std::system_error if an option is out of its range (Errc::kInvalidArgument; the text
  // names it) or not supported on this system (Errc::kNotSupported), or the poller cannot be opened
  // (Errc::kUnknownBackend; the kernel's errors, such as EMFILE), and std::bad_alloc if memory is
  // exhausted.
  explicit Runtime(const Options& options);
  Runtime() : Runtime(Options{}) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  // REQUIRES: no run() in progress and no fiber left. Descriptors that are still open are closed.
  // Once exit() has been called or main() has returned, which destroys static runtimes whatever
  // runs on them, it does nothing: the fibers go on until the process is gone, and its status stays
  // as it was given.
  ~Runtime();

  // Runs `function` as the first fiber, on this thread and on workers - 1 others, until it and
  // every fiber that was spawned have ended. Then returns what it returned or throws what it threw;
  // see Options::stop_on_exception.
  // May be called again afterwards. Blocks the calling thread. Plain threads that wait for a
  // descriptor of this runtime when the run ends, or begin to before the next one, get
  // Errc::kCancelled: nobody would wake them. Before the first run they wait. Throws
  // std::system_error if a thread cannot be started, or bound to one of Options::cpus (EINVAL if it
  // may use none of them), or there is no stack for the first fiber (Errc::kStacksExhausted), and
  // std::bad_alloc if memory is exhausted; then nothing has run. What begins to run needs no memory
  // but the stacks of further fibers. REQUIRES: not called on a fiber, and not while another run()
  // is in progress.
  template <std::invocable F>
  auto run(F&& function, const std::source_location& site = std::source_location::current()) {
    const Threads threads(*this);
    auto first = spawn(std::forward<F>(function), {.name = "main"}, site);
    run_until_idle(*first.fiber_);
    return first.join();
  }

  // Like rearm::spawn, from any thread. A fiber that is spawned before run() waits for it; one that
  // a plain thread spawns while the run ends is run to its end in that run, or waits for the next.
  template <std::invocable F>
  auto spawn(F&& function, SpawnOptions options = {},
             const std::source_location& site = std::source_location::current()) {
    auto handle = try_spawn_on(this, std::forward<F>(function), options, site);
    if (!handle) detail::throw_spawn_error(handle.error());
    return std::move(*handle);
  }

  // Asks every fiber to end: waits on descriptors and sleeps, those in progress and those to come
  // until run() returns, end with Errc::kCancelled. Joins do not: they wait for fibers that end.
  // From any thread; not from a signal handler.
  void request_stop() noexcept;

  // Gives the memory of all stacks that are not in use back to the system, now. Without it, it goes
  // by itself: most of what a burst of fibers has needed within ten seconds where a processor is
  // idle, later where none is; all of it when run() returns. Stacks at hand in the cache of a
  // worker that is running a fiber just now, 64 at most, are left out. From any thread; never
  // parks, and takes a few microseconds a stack.
  void trim() noexcept;

  // The runtime of the calling fiber, or nullptr on a plain thread.
  [[nodiscard]] static Runtime* current() noexcept;

  [[nodiscard]] std::size_t workers() const noexcept;
  [[nodiscard]] std::string_view backend_name() const noexcept;
  [[nodiscard]] Stats stats() const noexcept;

  // For the library's own rooms.
  [[nodiscard]] detail::Scheduler& scheduler() noexcept { return *scheduler_; }

 private:
  // The threads of one run(), which go home if spawn() throws before they were needed.
  class Threads {
   public:
    explicit Threads(Runtime& runtime) : runtime_(runtime) { runtime.start_threads(); }
    ~Threads() { runtime_.stop_threads(); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

   private:
    Runtime& runtime_;
  };

  void start_threads();
  void stop_threads();
  void run_until_idle(const detail::Fiber& first);

  detail::Scheduler* const scheduler_;
};

}  // namespace rearm
