// Scheduler: what the workers of one runtime share.
//
// What this is. The processors, the injection queue, the idle workers, the poll turn, the stacks,
// and the count of living fibers, whose end is the end of run().
//
// The poll turn. At most one worker is inside the poller. `kernel_until_ns_` says until when the
// holder waits in the kernel, and kNobody that nobody does. Whoever makes something that the
// waiting holder must know of (a fiber injected, an earlier timer) makes it first and then looks
// at kernel_until_ns_; the holder stores it first and then looks for work and timers. Both sides
// are sequentially consistent, so one of them sees the other.
//
// Who is outside. A fiber that a plain thread, or a worker of another runtime, makes runnable may
// be the last one: as soon as it can be found, run() may end and the runtime be destroyed. So
// whoever injects is counted in outside_ from before that until it touches nothing here any more,
// and the destructor waits for it. Workers do not count themselves on their way to their own
// queues: run() does not end without them.
//
// Lock order. Every lock here is a leaf; see base/mutex.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/process_exit.h"
#include "base/run_state.h"
#include "poller/poller_core.h"
#include "rearm/runtime.h"
#include "sched/fiber.h"
#include "sched/idle.h"
#include "sched/monitor.h"
#include "sched/processor.h"
#include "sched/shared_fibers.h"
#include "sched/stack_trimmer.h"
#include "sched/worker.h"

namespace rearm::detail {

class Control;

class Scheduler {
 public:
  // Throws std::system_error and std::bad_alloc; see Runtime::Runtime().
  Scheduler(Runtime& runtime, const Runtime::Options& options);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  [[nodiscard]] Runtime& runtime() noexcept { return runtime_; }
  [[nodiscard]] PollerCore& poller() noexcept { return *poller_; }
  [[nodiscard]] StackPool& stacks() noexcept { return stacks_.usual(); }
  // Null: no memory for one.
  [[nodiscard]] StackPool* stacks_of_size(std::size_t bytes) { return stacks_.of_size(bytes); }
  [[nodiscard]] IdleWorkers& idle() noexcept { return idle_; }
  [[nodiscard]] std::span<const std::unique_ptr<Processor>> processors() const noexcept {
    return processors_;
  }
  [[nodiscard]] Runtime::Stats stats() const;
  [[nodiscard]] std::int64_t time_slice_ns() const noexcept { return time_slice_ns_; }
  [[nodiscard]] std::int32_t budget() const noexcept { return budget_; }

  // --- Running. ---

  // Starts the other workers' threads, which wait for run(). Throws std::system_error and
  // std::bad_alloc; what follows allocates nothing.
  void start_threads();
  void stop_threads();  // If run() was not called after all.
  // Until all fibers have ended; `first` is the one whose exception run() will throw.
  void run(const Fiber& first);

  // Whether the fiber is the first one of the run in progress; and what its exception does.
  [[nodiscard]] bool is_first(const Fiber& fiber) const noexcept { return &fiber == first_; }
  [[nodiscard]] bool stops_on_exception() const noexcept { return stop_on_exception_; }
  // The first fiber has stopped the run by an exception: the fiber, or nullptr. By any fiber.
  void set_first_threw(const Fiber& first) noexcept {
    first_threw_.store(&first, kRelease);  // Pairs with first_threw(): its exception is there.
  }
  [[nodiscard]] const Fiber* first_threw() const noexcept { return first_threw_.load(kAcquire); }

  // --- Fibers. ---

  // Before a plain thread spawns a fiber. From then on the exit of the process is known of when
  // this scheduler's runtime is destroyed.
  void watch_exit() noexcept {
    if (!watches_spawns_.load(kRelaxed) && !watches_spawns_.exchange(true, kRelaxed)) {
      ProcessExit::watch();
    }
  }
  // A fiber was spawned that no worker of this scheduler counts. Before it can be found.
  void count_spawned_outside() noexcept { spawned_outside_.fetch_add(1, kRelease); }
  // Destroys what an ended fiber left, and gives back what it occupied.
  void bury(Fiber& fiber);
  // Ends run() if no fiber is left. A worker calls this when it has nothing else to do.
  void finish_if_all_ended();

  // Gives back memory of stacks, if a batch of that is due. Whether one was done: then there may be
  // other work by now. By a worker, between two fibers.
  [[nodiscard]] bool trim_stacks(Processor& own) {
    const StackTrimmer::Outcome outcome = trimmer_.step(processors_, own);
    if (outcome == StackTrimmer::Outcome::kSet) timer_started(trimmer_.due_ns());
    return outcome == StackTrimmer::Outcome::kWorked;
  }
  // Gives back all that can be, now.
  void trim_all();

  // For tests: a run whose monitor is stopped shows what workers do by themselves.
  [[nodiscard]] Monitor& monitor() noexcept { return monitor_; }

  // Around a worker's rest.
  void worker_rests() {
    if (processors_.size() > 1) monitor_.worker_rests();
  }
  void worker_runs() {
    if (processors_.size() > 1) monitor_.worker_runs();
  }

  // --- Work that any worker may take. ---

  // Fibers that were made runnable from outside; and those for which a full queue has no room, so
  // that the former do not wait behind the latter.
  void inject(Fiber& fiber);
  void spill(FiberList& fibers) { spilled_.push(fibers); }
  // A fair share of either, possibly nothing; nothing once the run has finished.
  [[nodiscard]] FiberList take_injected() { return take_share(injected_, kShare); }
  [[nodiscard]] FiberList take_spilled(std::size_t limit = kShare) {
    return take_share(spilled_, limit);
  }
  [[nodiscard]] bool has_injected() const noexcept { return injected_.has_any(); }
  // Whether there is any of either.
  [[nodiscard]] bool has_shared_work() const noexcept {
    return injected_.has_any() || spilled_.has_any();
  }
  // Whether there is a fiber in any queue, or reason to stop.
  [[nodiscard]] bool has_work() const noexcept;
  // After work was made that another worker might take, if one is idle.
  void work_added() {
    if (processors_.size() > 1) wake_one();
  }
  void wake_one();

  // --- The poll turn and time. ---

  [[nodiscard]] bool take_poll_turn() noexcept {
    return !poll_turn_.load(kRelaxed) && !poll_turn_.exchange(true, kSeqCst);
  }
  void give_poll_turn() noexcept {
    poll_turns_.store(poll_turns_.load(kRelaxed) + 1, kRelaxed);  // By the holder alone.
    poll_turn_.store(false, kSeqCst);
  }
  // How often it was given back.
  [[nodiscard]] std::uint64_t poll_turns() const noexcept { return poll_turns_.load(kRelaxed); }
  [[nodiscard]] bool poll_turn_is_free() const noexcept { return !poll_turn_.load(kSeqCst); }
  // Waits in the kernel until there is something to do, and no longer than until `limit_ns`.
  // REQUIRES: the poll turn.
  [[nodiscard]] WaiterList kernel_wait(std::int64_t limit_ns = Timers::kNever);
  // Ends the waits whose time has come, on all processors.
  [[nodiscard]] WaiterList expire_timers();
  // After a timer was started.
  void timer_started(std::int64_t when_ns) {
    if (when_ns < kernel_until_ns_.load(kSeqCst)) poller_->wake();
  }

  // --- Stopping. ---

  void request_stop();
  [[nodiscard]] const RunState& run_state() const noexcept { return run_state_; }
  [[nodiscard]] bool finished() const noexcept { return finished_.load(kSeqCst); }

  // --- Under control (control.h). ---

  // Null for none. REQUIRES: one worker, and no run() in progress.
  void set_control(Control* control);
  [[nodiscard]] Control* control() const noexcept { return control_; }

 private:
  // Somebody who may go on after the end of the run that it brings about.
  class Outside {
   public:
    explicit Outside(Scheduler& scheduler) noexcept : scheduler_(scheduler) {
      scheduler_.outside_.fetch_add(1, kRelaxed);  // Seen by all who see what comes after it.
    }
    Outside(const Outside&) = delete;
    Outside& operator=(const Outside&) = delete;
    // Release: pairs with ~Scheduler(). The last use of the scheduler.
    ~Outside() { scheduler_.outside_.fetch_sub(1, kRelease); }

   private:
    Scheduler& scheduler_;
  };

  static constexpr std::size_t kShare = RunQueue::kCapacity / 2;
  static constexpr std::int64_t kNobody = std::numeric_limits<std::int64_t>::min();

  struct Threads;

  [[nodiscard]] FiberList take_share(SharedFibers& fibers, std::size_t limit) {
    return fibers.take(processors_.size(), limit);
  }
  [[nodiscard]] std::uint64_t alive() const noexcept;
  [[nodiscard]] std::int64_t earliest_timer_ns() const noexcept;
  [[nodiscard]] std::int64_t earliest_due_ns() const noexcept {
    return std::min(earliest_timer_ns(), trimmer_.due_ns());
  }

  Runtime& runtime_;
  RunState run_state_;
  Stacks stacks_;
  StackTrimmer trimmer_{stacks_};
  std::unique_ptr<PollerCore> poller_;
  std::vector<std::unique_ptr<Processor>> processors_;
  const std::int64_t time_slice_ns_;
  const std::int32_t budget_;
  const bool report_stack_overflow_;
  const bool stop_on_exception_;
  const std::vector<unsigned> cpus_;
  const std::string thread_name_;
  const std::function<void(std::size_t)> on_worker_start_;

  IdleWorkers idle_;
  Atomic<bool> poll_turn_{false};
  Atomic<std::uint64_t> poll_turns_{0};
  Atomic<std::int64_t> kernel_until_ns_{kNobody};

  SharedFibers injected_;
  SharedFibers spilled_;

  Atomic<std::uint32_t> outside_{0};  // See the head.
  Atomic<std::uint64_t> spawned_outside_{0};
  Atomic<std::uint32_t> end_checks_{0};
  Atomic<bool> finished_{false};

  const Fiber* first_ = nullptr;  // While run() is in progress.
  Atomic<const Fiber*> first_threw_{nullptr};
  Atomic<bool> watches_spawns_{false};
  bool watches_runs_ = false;

  Control* control_ = nullptr;
  Monitor monitor_{*this};            // Runs only where there are several workers.
  std::unique_ptr<Threads> threads_;  // While run() is in progress.
};

}  // namespace rearm::detail
