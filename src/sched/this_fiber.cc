// What a fiber may ask of itself; a plain thread gets what std::this_thread would do.
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/wait_word.h"
#include "rearm/fiber.h"
#include "sched/control.h"
#include "sched/scheduler.h"
#include "sched/timers.h"
#include "sched/wait.h"
#include "sched/worker.h"

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
  detail::Worker::spend_here();
  // Nobody publishes into its word: only the timer ends the wait.
  detail::OwnWait wait(detail::Cancellable::kYes);
  for (;;) {
    const detail::OwnWait::Begun begun = wait.begin();
    REARM_CHECK(begun != detail::OwnWait::Begun::kReady, "a sleep was disturbed");
    if (begun == detail::OwnWait::Begun::kRefused) {
      detail::choice_after(detail::act::kSleep);
      return std::unexpected(Errc::kCancelled);
    }
    if (deadline.ns() <= detail::now_ns()) {
      detail::choice_after(detail::act::kSleep);
      return {};
    }
    const auto reason =
        wait.wait(deadline, {.act = &detail::act::kSleep, .where = __builtin_return_address(0)});
    if (reason == WakeReason::kTimedOut) return {};
    // Stopped: it is looked at above whether the stop is meant for this fiber, and for this run.
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
