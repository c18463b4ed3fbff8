#include "sched/scheduler.h"

#include <algorithm>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "sched/options.h"
#include "sched/overflow.h"
#include "sched/usable_processors.h"
#include "sched/worker_thread.h"

namespace rearm::detail {
namespace {

std::size_t workers_of(const Runtime::Options& options) {
  if (options.workers != 0) return options.workers;
  const std::size_t processors =
      options.cpus.empty() ? usable_processors()
                           : std::set<unsigned>(options.cpus.begin(), options.cpus.end()).size();
  return std::min(processors, kMaxWorkers);
}

std::unique_ptr<PollerCore> open_poller(std::string_view backend, const RunState& run) {
  auto poller = PollerCore::open(backend, run);
  if (poller) return std::move(*poller);
  std::string what = "rearm: cannot open the poller";
  if (poller.error() == Errc::kUnknownBackend) {
    what += " (this build has:";
    for (const std::string_view name : backend_names()) what.append(" ").append(name);
    what += ")";
  }
  throw std::system_error(poller.error(), what);
}

}  // namespace

// The workers of one run(), and the threads of all but the first, which is the caller's own.
// All that they need is made before the first of them runs: what it then cannot have, it can tell
// nobody.
struct Scheduler::Threads {
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<OverflowReporter::HandlerStack> handler_stacks;  // One for each, or none.
  BoundHere bound;  // The caller's thread, from which the others inherit it.
  std::vector<std::thread> threads;
  Atomic<bool> go{false};  // False: a worker that is unparked before run() goes home.

  void release(bool run) {
    go.store(run, kRelease);
    for (std::size_t i = 1; i <= threads.size(); ++i) workers[i]->sleeper().parker.unpark();
  }
  // Runs a worker on the calling thread.
  void run(std::size_t i, const std::function<void(std::size_t)>& on_start) {
    const OverflowReporter reporter(handler_stacks.empty() ? nullptr : &handler_stacks[i]);
    if (on_start) [&]() noexcept { on_start(i); }();
    workers[i]->run();
  }
  ~Threads() {
    if (!go.load(kRelaxed)) release(false);
    for (std::thread& thread : threads) thread.join();
  }
};

Scheduler::Scheduler(Runtime& runtime, const Runtime::Options& options)
    : runtime_(runtime),
      stacks_(checked(options).stack_bytes, options.guard_bytes),
      poller_(open_poller(options.backend, run_state_)),
      time_slice_ns_(options.time_slice.count()),
      budget_(static_cast<std::int32_t>(options.budget)),
      report_stack_overflow_(options.report_stack_overflow),
      stop_on_exception_(options.stop_on_exception),
      cpus_(options.cpus),
      thread_name_(options.thread_name),
      on_worker_start_(options.on_worker_start) {
  const std::size_t workers = workers_of(options);
  for (std::size_t i = 0; i < workers; ++i) {
    processors_.push_back(std::make_unique<Processor>(
        stacks_.usual(), workers > 1 ? RunQueue::Thieves::kSome : RunQueue::Thieves::kNone));
  }
}

Scheduler::~Scheduler() {
  // They are about to leave, and wait for nobody.
  while (outside_.load(kAcquire) != 0) std::this_thread::yield();
  REARM_CHECK(threads_ == nullptr, "a runtime was destroyed inside its own run()");
  REARM_CHECK(alive() == 0, "a runtime was destroyed with fibers that run() never got to run");
}

Runtime::Stats Scheduler::stats() const {
  Runtime::Stats stats{.fibers_alive = alive(),
                       .fibers_spawned = spawned_outside_.load(kRelaxed),
                       .stacks_taken = stacks_.taken(),
                       .poller = poller_->stats()};
  for (const auto& processor : processors_) {
    stats.fibers_spawned += processor->spawned.load(kRelaxed);
    stats.switches += processor->switches.load(kRelaxed);
    stats.steals += processor->steals.load(kRelaxed);
  }
  return stats;
}

// --- Running. ---

void Scheduler::start_threads() {
  REARM_CHECK(Worker::current() == nullptr, "Runtime::run() was called on a fiber");
  REARM_CHECK(threads_ == nullptr, "Runtime::run() was called while it is in progress");
  // Once more, as late as can be: see the limits in base/process_exit.h.
  if (!std::exchange(watches_runs_, true)) ProcessExit::watch();
  auto threads = std::make_unique<Threads>();
  for (std::size_t i = 0; i < processors_.size(); ++i) {
    threads->workers.push_back(std::make_unique<Worker>(*this, *processors_[i]));
    if (report_stack_overflow_) threads->handler_stacks.emplace_back();
  }
  if (!cpus_.empty()) {
    if (const std::error_code error = threads->bound.bind(cpus_)) {
      throw std::system_error(error,
                              "rearm: cannot run on the processors of Runtime::Options::cpus");
    }
  }
  threads->threads.reserve(processors_.size() - 1);
  for (std::size_t i = 1; i < processors_.size(); ++i) {
    try {
      threads->threads.emplace_back([&all = *threads, &on_start = on_worker_start_, i] {
        all.workers[i]->sleeper().parker.park();
        if (all.go.load(kAcquire)) all.run(i, on_start);
      });
      name_thread(threads->threads.back(), thread_name_, i);
    } catch (const std::system_error& error) {
      throw std::system_error(
          error.code(), "rearm: cannot start the thread of worker " + std::to_string(i) + " of " +
                            std::to_string(processors_.size()) +
                            " (see RLIMIT_NPROC, pids.max; or ask for fewer workers)");
    }
  }
  if (processors_.size() > 1) {
    try {
      monitor_.start();
    } catch (const std::system_error& error) {
      throw std::system_error(error.code(), "rearm: cannot start the monitor's thread");
    }
  }
  injected_.open();
  finished_.store(false, kSeqCst);
  idle_.done_searching();  // Whoever was searching at the end of the last run() is gone.
  threads_ = std::move(threads);
}

void Scheduler::stop_threads() {
  threads_.reset();
  monitor_.stop();
}

void Scheduler::run(const Fiber& first) {
  first_ = &first;  // The threads that see it are released below.
  run_state_.begin_run();
  finish_if_all_ended();
  threads_->release(true);
  threads_->run(0, on_worker_start_);
  stop_threads();
  for (const auto& processor : processors_) processor->stacks.flush();
  stacks_.trim();
  // Nobody polls any more: plain threads that still wait must not wait for ever. One that is about
  // to park is withdrawn and looks again, so waits are refused until somebody polls again.
  run_state_.end_run();
  WaiterList left = poller_->withdraw_all(WakeReason::kCancelled);
  Worker::wake(left);
  first_ = nullptr;
  first_threw_.store(nullptr, kRelaxed);
}

void Scheduler::set_control(Control* control) {
  REARM_CHECK(processors_.size() == 1, "only a runtime with one worker can be put under control");
  REARM_CHECK(threads_ == nullptr, "a runtime was put under control during its run()");
  control_ = control;
}

// --- Fibers. ---

void Scheduler::bury(Fiber& fiber) {
  fiber.state.change(Fiber::State::kEnded, Fiber::State::kGone, "a fiber was buried alive");
  Stack& stack = fiber.stack;
  if (fiber.task != nullptr) fiber.task->drop_result(*fiber.task);
  fiber.~Fiber();
  Worker* const worker = Worker::current();
  if (worker != nullptr && &worker->scheduler() == this && stack.pool == &stacks_.usual()) {
    worker->processor().stacks.give_back(stack);
  } else {
    stack.next_free = nullptr;
    stack.pool->give_back(&stack, 1);
  }
}

void Scheduler::trim_all() {
  Worker* const worker = Worker::current();
  if (worker != nullptr && &worker->scheduler() == this) worker->processor().stacks.flush();
  for (const auto& processor : processors_) processor->stacks.reclaim();
  stacks_.trim();
}

// No counter is shared by those who spawn and end fibers; each processor has its own two, which
// only grow. The ends are read first. Of each fiber whose end is seen, the start is seen, too, and
// so are the starts of the fibers that it spawned; so if both sums are the same, no fiber is alive
// that anybody inside could have spawned (Mattern 1987, "Algorithms for distributed termination
// detection", section 5).
std::uint64_t Scheduler::alive() const noexcept {
  std::uint64_t ended = 0;
  for (const auto& processor : processors_) ended += processor->ended.load(kAcquire);
  std::uint64_t spawned = spawned_outside_.load(kAcquire);
  for (const auto& processor : processors_) spawned += processor->spawned.load(kAcquire);
  return spawned - ended;
}

void Scheduler::finish_if_all_ended() {
  if (finished()) return;
  // Of two workers whose last fibers end at the same time, the second one here sees both ends.
  if (processors_.size() > 1) end_checks_.fetch_add(1, kAcqRel);
  if (alive() != 0) return;
  // A plain thread may be spawning. What it has injected, and somebody has taken, is seen now; what
  // it injects from here on waits for the next run().
  const bool is_over = injected_.close_if([this] {
    if (alive() != 0) return false;
    // Under the lock: a worker that finds nothing to take sees why.
    finished_.store(true, kSeqCst);
    return true;
  });
  if (!is_over) return;
  idle_.wake_all();
  poller_->wake();
}

// --- Work that any worker may take. ---

void Scheduler::inject(Fiber& fiber) {
  const Outside outside(*this);
  injected_.push(fiber);
  wake_one();
}

bool Scheduler::has_work() const noexcept {
  if (has_shared_work() || finished()) return true;
  return std::ranges::any_of(processors_, [](const auto& p) { return p->has_work_for_others(); });
}

void Scheduler::wake_one() {
  if (IdleWorkers::Sleeper* const sleeper = idle_.pick()) {
    sleeper->parker.unpark();
  } else if (!idle_.anybody() && kernel_until_ns_.load(kSeqCst) != kNobody) {
    poller_->wake();
  }
}

// --- The poll turn and time. ---

std::int64_t Scheduler::earliest_timer_ns() const noexcept {
  std::int64_t earliest = Timers::kNever;
  for (const auto& processor : processors_) {
    earliest = std::min(earliest, processor->timers.earliest_ns());
  }
  return earliest;
}

WaiterList Scheduler::kernel_wait(std::int64_t limit_ns) {
  std::int64_t until_ns = std::min(limit_ns, earliest_due_ns());
  for (;;) {
    kernel_until_ns_.store(until_ns, kSeqCst);  // Pairs with timer_started() and wake_one().
    const std::int64_t again_ns = earliest_due_ns();
    if (again_ns >= until_ns) break;
    until_ns = again_ns;
  }
  WaiterList ready = poller_->collect(Deadline::at_ns(has_work() ? 0 : until_ns));
  kernel_until_ns_.store(kNobody, kSeqCst);
  return ready;
}

WaiterList Scheduler::expire_timers() {
  WaiterList expired;
  if (earliest_timer_ns() == Timers::kNever) return expired;  // Saves a look at the clock.
  const std::int64_t now = now_ns();
  for (const auto& processor : processors_) {
    processor->timers.expire(now, WakeReason::kTimedOut, expired);
  }
  return expired;
}

void Scheduler::request_stop() {
  const Outside outside(*this);  // A fiber may see the flag, and be the last one.
  run_state_.request_stop();
  // From here on this run may end and another one begin. Its waiters are woken for nothing then,
  // and wait on. (Of sleeps and joins, that is what kCancelled means; a plain thread's wait for a
  // descriptor would end by it.)
  WaiterList cancelled = poller_->withdraw_all(WakeReason::kReady);
  for (const auto& processor : processors_) {
    processor->timers.expire(Timers::kNever, WakeReason::kCancelled, cancelled);
    processor->stops.disturb(cancelled);
  }
  // Before the wake-ups: whose wait was ended finds that its token has heard.
  for (const auto& processor : processors_) {
    while (const auto ear = processor->stops.next_ear(run_state_)) ear->hear();
  }
  Worker::wake(cancelled);
}

}  // namespace rearm::detail
