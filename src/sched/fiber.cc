// What fibers and those who hold their handles can do; the end of a fiber.
#include "rearm/fiber.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "sched/control.h"
#include "sched/fiber.h"
#include "sched/options.h"
#include "sched/scheduler.h"
#include "sched/wait.h"
#include "sched/worker.h"

namespace rearm::detail {
namespace {

[[noreturn]] void die_saying(const Fiber& fiber, const char* what) {
  std::fprintf(stderr, "rearm: fiber %llu \"%.*s\", spawned at %s:%u, was detached and threw: %s\n",
               static_cast<unsigned long long>(fiber.id), static_cast<int>(fiber.name().size()),
               fiber.name().data(), fiber.site.file_name(),
               static_cast<unsigned>(fiber.site.line()), what);
  std::abort();
}

// An exception that nobody can receive. Its text is not copied: memory may be what was missing.
[[noreturn]] void die_of_exception(const Fiber& fiber) {
  try {
    std::rethrow_exception(fiber.task->error);
  } catch (const std::exception& exception) {
    die_saying(fiber, exception.what());
  } catch (...) {
    die_saying(fiber, "something that is not a std::exception");
  }
}

// One that nobody receives because a test has stopped the run is that stop's doing, and no news.
void lose_exception(const Fiber& fiber) {
  if (VirtualClock::anywhere() && Control::is_stopped(fiber)) [[unlikely]]
    return;
  die_of_exception(fiber);
}

std::uintptr_t align_down(std::uintptr_t address, std::size_t alignment) noexcept {
  return address / alignment * alignment;
}

// Where the fiber's frames lie: below its task.
StackContext::Bounds frames_of(const Fiber& fiber) noexcept {
  const std::uintptr_t end = align_down(reinterpret_cast<std::uintptr_t>(fiber.task), 64);
  std::byte* const base = fiber.stack.base;
  return {.base = base, .bytes = end - reinterpret_cast<std::uintptr_t>(base)};
}

StackContext::Exit drop_main(void* message);

// Two ways to end. settle_end: nobody waited for the fiber when it ended. settle_joined: somebody
// did, was taken out of `done`, and goes on now or next; to publish is not needed any more. Both on
// the arriving side: the fiber has left its stack for good. Unless it was detached, it then belongs
// to its handle, and may be gone already.
// If the handle was dropped just before, the result is still there. Here it must not be destroyed:
// the next fiber is about to go on, and a park would be that one's. So the fiber enters its stack
// once more.
void settle_end(Fiber& fiber) {
  Scheduler& scheduler = fiber.scheduler;
  Processor& processor = Worker::current()->processor();
  fiber.context.forget();
  const WaitWord::Found found = fiber.done.publish();
  if (found.waiter != nullptr) {
    found.waiter->set_reason(WakeReason::kReady);
    Worker::wake(*found.waiter);
  } else if (found.closed && fiber.task != nullptr) {
    fiber.control_number = 0;  // Under control, a fiber more.
    fiber.context.make(frames_of(fiber), &drop_main);
    Worker::make_ready(fiber);
    return;
  } else if (found.closed) {
    scheduler.bury(fiber);
  }
  Processor::count_life(processor.ended);
}

void settle_joined(Fiber& fiber) {
  Waiter* const waiter = fiber.leave.waiter;
  fiber.context.forget();
  Processor::count_life(Worker::current()->processor().ended);
  if (waiter != nullptr) Worker::wake(*waiter);
}

// The fiber has ended, on `worker`. A fiber of the same scheduler that waits for it goes on at
// once, without a way around through the worker's context: 40 ns of a spawn and join of 113.
StackContext::Exit leave_for_good(Worker& worker, Fiber& self) {
  // Under control, it is to be chosen who goes on next.
  if (VirtualClock::anywhere() && Control::ended(self)) [[unlikely]] {
    return worker.exit(self, nullptr, &settle_end);
  }
  Waiter* const waiter = self.done.take();
  if (waiter == nullptr) return worker.exit(self, nullptr, &settle_end);
  waiter->set_reason(WakeReason::kReady);
  Fiber* const joiner = static_cast<Parked*>(waiter)->fiber();
  const bool is_ours = joiner != nullptr && &joiner->scheduler == &self.scheduler;
  self.leave.waiter = is_ours ? nullptr : waiter;
  return worker.exit(self, is_ours ? joiner : nullptr, &settle_joined);
}

// What the fiber left, and nobody can take any more. On its own stack.
void drop_result(Fiber& self) {
  Task& task = *self.task;
  if (task.error) lose_exception(self);
  task.drop_result(task);
  self.task = nullptr;
}

StackContext::Exit drop_main(void* message) {
  Worker::settle(message);
  Fiber& self = *Worker::current()->fiber();
  drop_result(self);
  return leave_for_good(*Worker::current(), self);
}

// The life of every fiber. Returns, so that its frame and its sanitizer's shadow are gone.
StackContext::Exit fiber_main(void* message) {
  Worker::settle(message);
  Fiber& self = *Worker::current()->fiber();
  Task& task = *self.task;
  try {
    task.run(task);
  } catch (...) {
    task.error = std::current_exception();
  }
  if (self.done.is_closed()) drop_result(self);
  return leave_for_good(*Worker::current(), self);
}

}  // namespace

std::uint64_t reserve_fiber_ids(std::uint64_t count) noexcept {
  static constinit Atomic<std::uint64_t> next{1};
  return next.fetch_add(count, kRelaxed);
}

// --- Spawning. ---

Result<Fiber*> Scheduler::spawn(const TaskSpec& spec, const SpawnOptions& options,
                                const std::source_location& site) {
  Worker* worker = Worker::current();
  if (worker != nullptr && &worker->scheduler() != this) worker = nullptr;
  StackPool* pool = &stacks_.usual();
  if (options.stack_bytes != 0) [[unlikely]] {
    if (options.stack_bytes > kMaxStackBytes) return std::unexpected(Errc::kInvalidArgument);
    pool = stacks_.of_size(options.stack_bytes);
    if (pool == nullptr) return std::unexpected(Errc::kStacksExhausted);
  }
  Stack* const stack = worker == nullptr || pool != &stacks_.usual()
                           ? pool->take()
                           : worker->processor().stacks.take();
  if (stack == nullptr) return std::unexpected(Errc::kStacksExhausted);
  const std::uint64_t id =
      worker == nullptr ? reserve_fiber_ids(1) : worker->processor().next_fiber_id();

  const auto top = reinterpret_cast<std::uintptr_t>(stack->top());
  const std::uintptr_t fiber_at = align_down(top - sizeof(Fiber), alignof(Fiber));
  REARM_CHECK(spec.bytes + spec.alignment <= stack->bytes / 2,
              "the function to spawn captures more than half a stack; capture a pointer instead");
  const std::uintptr_t task_at = align_down(fiber_at - spec.bytes, spec.alignment);

  auto* const fiber =
      new (reinterpret_cast<void*>(fiber_at)) Fiber(*this, *stack, id, options, site);
  try {
    fiber->task = spec.construct(reinterpret_cast<void*>(task_at), spec.function);
  } catch (...) {  // The function's own copy constructor threw: the caller's exception.
    fiber->~Fiber();
    stack->next_free = nullptr;
    stack->pool->give_back(stack, 1);
    throw;
  }
  fiber->context.make(frames_of(*fiber), &fiber_main);

  // The constructor above may have parked: look again for the worker.
  worker = Worker::current();
  if (worker != nullptr && &worker->scheduler() == this) {
    Processor::count_life(worker->processor().spawned);
  } else {
    spawned_outside_.fetch_add(1, kRelease);
  }
  Worker::make_ready(*fiber);
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::spawned(*fiber);
  return fiber;
}

Result<Fiber*> spawn(Runtime* runtime, const TaskSpec& spec, const SpawnOptions& options,
                     const std::source_location& site) {
  if (runtime == nullptr) runtime = Runtime::current();
  REARM_CHECK(runtime != nullptr,
              "rearm::spawn() was called on a plain thread; use Runtime::spawn() there");
  return runtime->scheduler().spawn(spec, options, site);
}

void throw_spawn_error(std::error_code error) {
  if (error == Errc::kInvalidArgument) {
    throw std::system_error(
        error, "rearm: SpawnOptions::stack_bytes is more than " + std::to_string(kMaxStackBytes));
  }
  throw std::system_error(
      error, "rearm: cannot spawn a fiber (see vm.max_map_count, RLIMIT_AS, vm.overcommit_memory)");
}

bool wait_for_end(Fiber* awaited, Deadline deadline) noexcept {
  REARM_CHECK(
      awaited != nullptr,
      "join() or wait() was called on a handle that has no fiber: it was joined or detached "
      "before, moved from, or never had one");
  Fiber& fiber = *awaited;
  if (deadline.is_standing()) deadline = Deadline::never();
  deadline.is_never() ? announce_join(fiber) : choice_before_join(fiber);
  for (;;) {
    switch (fiber.done.prepare()) {
      case WaitWord::Prepared::kReady:
        fiber.done.put_back();
        choice_after(Act::kJoin);
        return true;
      case WaitWord::Prepared::kPark: break;
      case WaitWord::Prepared::kBusy:
      case WaitWord::Prepared::kClosed:
        check_failed("two threads joined the same fiber", __FILE__, __LINE__);
    }
    const auto reason = wait_on(fiber.done, deadline, Cancellable::kNo);
    if (reason == WakeReason::kReady) {
      fiber.done.put_back();
      return true;
    }
    if (reason == WakeReason::kTimedOut) return false;
    if (!deadline.is_never() && deadline.ns() <= now_ns()) return false;
    // A stopping runtime does not cancel joins: the fiber that is waited for is cancelled.
  }
}

Task& task_of(Fiber& fiber) noexcept { return *fiber.task; }

std::uint64_t id_of(const Fiber& fiber) noexcept { return fiber.id; }

void release(Fiber& fiber) { fiber.scheduler.bury(fiber); }

void detach(Fiber& fiber) {
  if (!fiber.done.close().ready) return;  // It will bury itself.
  if (fiber.task->error) lose_exception(fiber);
  fiber.scheduler.bury(fiber);
}

// --- Waiting. ---

namespace {

std::optional<WakeReason> outcome(WaitWord::Committed committed, const Waiter& waiter) {
  switch (committed) {
    case WaitWord::Committed::kParked: return waiter.reason();
    case WaitWord::Committed::kConsumed: return WakeReason::kReady;
    case WaitWord::Committed::kDisturbed: break;
  }
  return std::nullopt;
}

[[gnu::noinline]] std::optional<WakeReason> wait_as_thread(WaitWord& word, Deadline deadline) {
  ThreadParker parker;
  Parked waiter(parker);
  const WaitWord::Committed committed = word.commit(waiter);
  if (committed == WaitWord::Committed::kParked && !parker.park(deadline)) {
    if (word.withdraw() != nullptr) return WakeReason::kTimedOut;
    parker.park();  // Somebody has taken the waiter already and is about to unpark.
  }
  return outcome(committed, waiter);
}

// Apart, so that the frame of a wait without a deadline, which is what most fibers park in, has no
// room for a timer: what a park touches, waking touches again, long after it has left the cache.
[[gnu::noinline]] std::optional<WakeReason> wait_with_timer(Worker& worker, WaitWord& word,
                                                            Deadline deadline,
                                                            Cancellable cancellable) {
  Parked waiter(*worker.fiber());
  Timer timer(word);
  Timers& timers = worker.processor().timers;
  timers.start(timer, deadline.ns());
  worker.scheduler().timer_started(deadline.ns());
  // Start first, then look: pairs with request_stop(), which sets the flag and then ends timers.
  if (cancellable == Cancellable::kYes && worker.scheduler().stopping()) {
    static_cast<void>(word.withdraw());  // The park below fails, and the caller looks again.
  }
  const WaitWord::Committed committed = worker.park(word, waiter);
  timers.stop(timer);  // Of the processor where it was started, whoever holds that now.
  return outcome(committed, waiter);
}

}  // namespace

std::optional<WakeReason> wait_on(WaitWord& word, Deadline deadline, Cancellable cancellable) {
  Worker* const worker = Worker::current();
  if (worker == nullptr || worker->fiber() == nullptr) return wait_as_thread(word, deadline);
  if (!deadline.is_never()) return wait_with_timer(*worker, word, deadline, cancellable);
  Parked waiter(*worker->fiber());
  return outcome(worker->park(word, waiter), waiter);
}

}  // namespace rearm::detail

// --- This fiber. ---

namespace rearm::this_fiber {

void yield() noexcept {
  detail::Worker* const worker = detail::Worker::current();
  if (worker == nullptr || worker->fiber() == nullptr) {
    std::this_thread::yield();
  } else {
    detail::announce_yield();
    worker->yield();
  }
}

Result<void> sleep_until(Deadline deadline) noexcept {
  // Even a sleep for ever needs a timer, for request_stop() to end.
  if (deadline.is_standing() || deadline.is_never()) {
    deadline = Deadline::at_ns(detail::Timers::kNever - 1);
  }
  detail::announce(detail::Act::kSleep);
  detail::WaitWord word;  // Nobody publishes into it: only the timer ends the wait.
  for (;;) {
    const detail::WaitWord::Prepared prepared = word.prepare();
    REARM_CHECK(prepared == detail::WaitWord::Prepared::kPark, "a sleep was disturbed");
    detail::Worker* const worker = detail::Worker::current();
    if (worker != nullptr && worker->scheduler().stopping()) {
      detail::choice_after(detail::Act::kSleep);
      return std::unexpected(Errc::kCancelled);
    }
    if (deadline.ns() <= detail::now_ns()) {
      detail::choice_after(detail::Act::kSleep);
      return {};
    }
    const auto reason = detail::wait_on(word, deadline, detail::Cancellable::kYes);
    if (reason == WakeReason::kTimedOut) return {};
    if (reason == WakeReason::kCancelled) return std::unexpected(Errc::kCancelled);
  }
}

std::uint64_t id() noexcept {
  detail::Worker* const worker = detail::Worker::current();
  return worker == nullptr || worker->fiber() == nullptr ? 0 : worker->fiber()->id;
}

std::string_view name() noexcept {
  detail::Worker* const worker = detail::Worker::current();
  return worker == nullptr || worker->fiber() == nullptr ? "" : worker->fiber()->name();
}

}  // namespace rearm::this_fiber
