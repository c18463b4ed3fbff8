// Joining: what the holder of a handle can do.
#include <optional>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/clock.h"
#include "base/wait_word.h"
#include "rearm/fiber.h"
#include "sched/control.h"
#include "sched/fiber.h"
#include "sched/join_ring.h"
#include "sched/scheduler.h"
#include "sched/wait.h"
#include "sched/worker.h"

namespace rearm::detail {
namespace {

std::string in_words(const Fiber& fiber) {
  return "fiber " + std::to_string(fiber.id) + " \"" + std::string(fiber.name()) +
         "\", spawned at " + fiber.site.file_name() + ":" + std::to_string(fiber.site.line());
}

[[noreturn]] void throw_deadlock(const Fiber& joined) {
  const Fiber& self = *Worker::current()->fiber();
  throw std::system_error(
      Errc::kDeadlock,
      "rearm: " + in_words(self) +
          (&self == &joined ? ", joined itself"
                            : ", joined " + in_words(joined) +
                                  ", which waits, by its own join, for the former"));
}

}  // namespace

void check_joinable(const Fiber* fiber) {
  REARM_CHECK(
      fiber != nullptr,
      "join(), wait() or request_stop() was called on a handle that has no fiber: it was joined or "
      "detached before, moved from, or never had one");
}

bool wait_for_end(Fiber* awaited, Deadline deadline) {
  check_joinable(awaited);
  Fiber& fiber = *awaited;
  if (deadline.is_standing()) deadline = Deadline::never();
  if (!deadline.is_never()) choice_before_join(fiber);
  std::optional<JoinRing> ring;
  if (deadline.is_never() && !fiber.done.is_ready()) {
    Worker* const worker = Worker::current();
    if (worker != nullptr && worker->fiber() != nullptr) ring.emplace(*worker->fiber(), fiber);
  }
  for (;;) {
    switch (fiber.done.prepare()) {
      case WaitWord::Prepared::kReady:
        fiber.done.put_back();
        if (deadline.is_never()) Worker::spend_here();
        choice_after_join(fiber);
        return true;
      case WaitWord::Prepared::kPark: break;
      case WaitWord::Prepared::kBusy:
      case WaitWord::Prepared::kClosed:
        check_failed("two threads joined the same fiber", __FILE__, __LINE__);
    }
    if (ring && ring->is_closed()) throw_deadlock(fiber);
    const auto reason = wait_on(fiber.done, deadline, Cancellable::kNo,
                                {.act = &act::kJoin,
                                 .object = static_cast<std::int64_t>(fiber.id),
                                 .where = __builtin_return_address(0)});
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

}  // namespace rearm::detail
