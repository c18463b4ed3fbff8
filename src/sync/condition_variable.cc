// The state of a wait for a notice, and what changes it:
//
//   in the condition's queue                      who waits; a deadline and a stop take it out
//   notified: in the lock's line, or handed it    notify, under both locks; it does not go back
//
// So one whose wait was ended by something else learns under the condition's lock alone whether it
// has been notified; and if so, it only waits for the lock.
#include "rearm/sync/condition_variable.h"

#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/mutex_state.h"

namespace rearm {
namespace detail {

struct ConditionState {
  ConditionState() = default;
  ConditionState(const ConditionState&) = delete;
  ConditionState& operator=(const ConditionState&) = delete;
  ~ConditionState() {
    MutexLock lock(line.mu);
    REARM_CHECK(line.queue.empty(), "a ConditionVariable was destroyed that is waited on");
  }

  [[nodiscard]] Ended wait(MutexState& held, Deadline deadline, Cancellable cancellable,
                           const void* where) noexcept {
    LockWait wait(cancellable);
    {
      MutexLock lock(line.mu);
      REARM_CHECK(line.queue.empty() || mutex == &held,
                  "a ConditionVariable was waited on with two mutexes at a time");
      if (!wait.begin()) return Ended::kCancelled;
      mutex = &held;
      line.queue.push_back(wait);
    }
    held.forget_owner();
    held.release();
    const Ended ended = wait_for_notice(wait, deadline, where);
    const WaitingFor what{.act = &act::kLock, .where = where};
    if (ended == Ended::kGiven) {
      wait.insist();
      static_cast<void>(held.come(wait, Deadline::never(), what));
    } else if (!held.try_take()) {
      static_cast<void>(held.wait(Deadline::never(), Cancellable::kNo, where));
    }
    held.note_owner();
    return ended;
  }

  void notify(bool all) noexcept {
    WaiterList woken;
    {
      MutexLock lock(line.mu);
      while (auto* const first = static_cast<LockWait*>(line.queue.first())) {
        first->is_notified_ = true;
        mutex->pass_on(*first, line.queue, woken);
        if (!all) break;
      }
    }
    Worker::wake(woken);
  }

  WaitLine line;
  MutexState* mutex REARM_GUARDED_BY(line.mu) = nullptr;  // Of those who wait.

 private:
  // kGiven: notified, and has been called or handed the lock since.
  [[nodiscard]] Ended wait_for_notice(LockWait& wait, Deadline deadline,
                                      const void* where) noexcept {
    const WaitingFor what{.act = &act::kWaitForNotice, .where = where};
    if (deadline.is_standing()) deadline = Deadline::never();
    for (;;) {
      const auto reason = wait.wait_once(deadline, what);
      if (reason == WakeReason::kReady) {
        // See WaitQueue::Node::was_asleep().
        if (!wait.was_asleep()) MutexLock lock(line.mu);
        return Ended::kGiven;
      }
      // One that was withdrawn before it had begun is begun anew, unless there is a stop.
      const LineWait::Begun begun = reason ? LineWait::Begun::kRefused : wait.begin_again();
      if (begun == LineWait::Begun::kPark) continue;
      {
        MutexLock lock(line.mu);
        if (begun == LineWait::Begun::kReady) return Ended::kGiven;
        if (!wait.is_notified_) {
          static_cast<void>(line.queue.remove(wait));
          return reason == WakeReason::kTimedOut ? Ended::kTimedOut : Ended::kCancelled;
        }
      }
      wait.insist();
      if (wait.begin_again() == LineWait::Begun::kReady) return Ended::kGiven;
      wait.wait_until_given({.act = &act::kLock, .where = where});
      return Ended::kGiven;
    }
  }
};

}  // namespace detail

namespace act = detail::act;

ConditionVariable::ConditionVariable() : state_(std::in_place) {}
ConditionVariable::~ConditionVariable() = default;

void ConditionVariable::wait_with(Mutex* held) noexcept {
  REARM_CHECK(held != nullptr, "a ConditionVariable was waited on without holding the lock");
  const detail::ChoicesAround choices(act::kWaitForNotice);
  static_cast<void>(state_->wait(*held->state_, Deadline::never(), detail::Cancellable::kNo,
                                 __builtin_return_address(0)));
}

Result<void> ConditionVariable::wait_with(Mutex* held, Deadline deadline) noexcept {
  REARM_CHECK(held != nullptr, "a ConditionVariable was waited on without holding the lock");
  const detail::ChoicesAround choices(act::kWaitForNotice);
  if (deadline.is_immediate() || detail::has_passed(deadline)) {
    return std::unexpected(Errc::kTimedOut);
  }
  return detail::result_of(state_->wait(*held->state_, deadline, detail::Cancellable::kYes,
                                        __builtin_return_address(0)));
}

void ConditionVariable::notify_one() noexcept {
  const detail::ChoicesAround choices(act::kNotify);
  state_->notify(/*all=*/false);
}

void ConditionVariable::notify_all() noexcept {
  const detail::ChoicesAround choices(act::kNotify);
  state_->notify(/*all=*/true);
}

}  // namespace rearm
