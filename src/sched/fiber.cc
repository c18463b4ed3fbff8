#include "sched/fiber.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "sched/control.h"
#include "sched/scheduler.h"
#include "sched/worker.h"

namespace rearm::detail {
namespace {

// Writes one line about an exception of the fiber. The text is not copied: memory may be what was
// missing.
void say(const Fiber& fiber, const char* did, const std::exception_ptr& error, const char* and_so) {
  const auto print = [&](const char* what) {
    std::fprintf(stderr, "rearm: fiber %llu \"%.*s\", spawned at %s:%u, %s: %s%s\n",
                 static_cast<unsigned long long>(fiber.id), static_cast<int>(fiber.name().size()),
                 fiber.name().data(), fiber.site.file_name(),
                 static_cast<unsigned>(fiber.site.line()), did, what, and_so);
  };
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    print(exception.what());
  } catch (...) {
    print("something that is not a std::exception");
  }
}

// An exception that nobody can receive.
[[noreturn]] void die_of_exception(const Fiber& fiber) {
  // It may be the consequence of another one, which run() will not come to throw.
  if (const Fiber* const first = fiber.scheduler.first_threw(); first != nullptr) {
    say(*first, "threw", first->task->error, "; that stopped the run");
  }
  say(fiber, "was detached and threw", fiber.task->error, "");
  std::abort();
}

// The first fiber's exception. run() cannot throw it before the others have ended.
void first_threw(Fiber& self) {
  Scheduler& scheduler = self.scheduler;
  if (scheduler.stops_on_exception()) {
    scheduler.set_first_threw(self);
    scheduler.request_stop();
  } else if (scheduler.stats().fibers_alive > 1) {
    say(self, "threw", self.task->error,
        "; run() throws it when the other fibers have ended (Runtime::Options::stop_on_exception)");
  }
}

// Where the fiber's frames lie: below its task.
StackContext::Bounds frames_of(const Fiber& fiber) noexcept {
  const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(fiber.task) / 64 * 64;
  std::byte* const base = fiber.stack.base;
  return {.base = base, .bytes = end - reinterpret_cast<std::uintptr_t>(base)};
}

void become_ended(Fiber& fiber) noexcept {
  fiber.state.change(Fiber::State::kRunning, Fiber::State::kEnded,
                     "a fiber ended that did not run");
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
  become_ended(fiber);
  const WaitWord::Found found = fiber.done.publish();
  if (found.waiter != nullptr) {
    found.waiter->set_reason(WakeReason::kReady);
    Worker::wake(*found.waiter);
  } else if (found.closed && fiber.task != nullptr) {
    fiber.control_number = 0;  // Under control, a fiber more.
    fiber.context.make(frames_of(fiber), &drop_main);
    fiber.state.change(Fiber::State::kEnded, Fiber::State::kQueued,
                       "a fiber goes on after its end");
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
  become_ended(fiber);
  Processor::count_life(Worker::current()->processor().ended);
  if (waiter != nullptr) Worker::wake(*waiter);
}

// The fiber has ended, on `worker`. A fiber of the same scheduler that waits for it goes on at
// once, without a way around through the worker's context: 40 ns of a spawn and join of 113.
StackContext::Exit leave_for_good(Worker& worker, Fiber& self) {
  self.stop.leave_list();
  // Under control, it is to be chosen who goes on next.
  if (VirtualClock::anywhere() && Control::ended(self)) [[unlikely]] {
    return worker.exit(self, nullptr, &settle_end);
  }
  Waiter* const waiter = self.done.take();
  if (waiter == nullptr) return worker.exit(self, nullptr, &settle_end);
  waiter->set_reason(WakeReason::kReady);
  Fiber* const joiner = static_cast<Parked*>(waiter)->fiber();
  // At the end of a slice not at once: a chain of joiners would keep everything outside waiting.
  const bool is_ours =
      joiner != nullptr && &joiner->scheduler == &self.scheduler && !worker.has_to_look_outside();
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
    if (self.scheduler.is_first(self)) first_threw(self);
  }
  if (self.done.is_closed()) drop_result(self);
  return leave_for_good(*Worker::current(), self);
}

}  // namespace

// One that nobody receives because a test has stopped the run is that stop's doing, and no news.
void lose_exception(const Fiber& fiber) {
  if (VirtualClock::anywhere() && Control::is_stopped(fiber)) [[unlikely]]
    return;
  die_of_exception(fiber);
}

void make_ready_to_begin(Fiber& fiber) noexcept {
  fiber.context.make(frames_of(fiber), &fiber_main);
}

}  // namespace rearm::detail
