#include "sync/line.h"

#include "base/clock.h"

namespace rearm::detail {

Ended LineWait::wait(Mutex& mu, WaitQueue& queue, Deadline deadline, const WaitingFor& what) {
  if (deadline.is_standing()) deadline = Deadline::never();
  for (;;) {
    const auto reason = OwnWait::wait(deadline, what);
    if (reason == WakeReason::kReady) {
      // See WaitQueue::Node::was_asleep().
      if (!was_asleep()) MutexLock lock(mu);
      return Ended::kGiven;
    }
    // One that was withdrawn before it had begun: the deadline passed just then, or a stop came.
    const Begun begun = reason ? Begun::kRefused : OwnWait::begin();
    if (begun == Begun::kPark) continue;
    MutexLock lock(mu);
    if (begun == Begun::kReady || !queue.remove(*this)) return Ended::kGiven;
    return reason == WakeReason::kTimedOut ? Ended::kTimedOut : Ended::kCancelled;
  }
}

void LineWait::wait_until_given(const WaitingFor& what) {
  while (OwnWait::wait(Deadline::never(), what) != WakeReason::kReady) {
    if (OwnWait::begin() == Begun::kReady) return;
  }
}

bool has_passed(Deadline deadline) noexcept {
  if (deadline.is_standing() || deadline.is_never() || deadline.is_immediate()) return false;
  return deadline.ns() <= now_ns();
}

Result<void> result_of(Ended ended) noexcept {
  switch (ended) {
    case Ended::kGiven: break;
    case Ended::kTimedOut: return std::unexpected(Errc::kTimedOut);
    case Ended::kCancelled: return std::unexpected(Errc::kCancelled);
  }
  return {};
}

}  // namespace rearm::detail
