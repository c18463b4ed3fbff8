// Operations that share a direction: they wait in turns (src/poller/turn_queue.h).
#include <algorithm>

#include "base/stop_word.h"
#include "net/acts.h"
#include "net/fd_access.h"
#include "sched/wait.h"
#include "sched/worker.h"

namespace rearm::detail {

std::error_code wake_error(WakeReason reason) noexcept {
  switch (reason) {
    case WakeReason::kReady: break;
    case WakeReason::kTimedOut: return Errc::kTimedOut;
    case WakeReason::kCancelled:
      if (Worker::current() == nullptr) return Errc::kCancelled;  // A plain thread's, by the end.
      break;
    case WakeReason::kClosed: return Errc::kClosed;
  }
  return {};
}

// A shared operation keeps its turn until it leaves, so that it makes its call again before the
// next one does: it has waited longest.
std::error_code FdAccess::Operation::wait(Deadline deadline) {
  if (exclusive_ || has_turn_) return wait_exclusively(deadline);
  if (descriptor_->lifetime.has_line()) return take_turn(deadline);
  switch (descriptor_->lifetime.enter(descriptor_->generation, direction_)) {
    case Lifetime::Entered::kClosed: return Errc::kClosed;
    case Lifetime::Entered::kBusy: return take_turn(deadline);
    case Lifetime::Entered::kYes: break;
  }
  has_turn_ = true;
  return wait_exclusively(deadline);
}

std::error_code FdAccess::Operation::fall_in(Deadline deadline) {
  if (has_turn_ || !descriptor_->lifetime.is_taken(direction_)) return {};
  // One that does not wait need not wait for others.
  if (deadline.is_immediate()) return {};
  return take_turn(deadline);
}

// Has the turn afterwards, or an error. The one before may have taken the report of more than it
// took: so the call is made again before anything waits for a report.
std::error_code FdAccess::Operation::take_turn(Deadline deadline) {
  OwnWait own(Cancellable::kYes);
  TurnNode node(own.word(), direction_);
  if (!descriptor_->stand_in_line(node)) return Errc::kClosed;
  const std::error_code error = stand_in_line(node, deadline);
  if (!error) {
    has_turn_ = true;
    return {};
  }
  if (Waiter* const next = descriptor_->leave_line(node)) Worker::wake(*next);
  return error;
}

std::error_code FdAccess::Operation::stand_in_line(TurnNode& node, Deadline deadline) {
  StopWord* const stop = this_stop_word();
  for (;;) {
    if (stop != nullptr) stop->announce(node.word);
    // kReady: called, or called before. Nothing else closes this word or waits on it.
    if (node.word.prepare() == WaitWord::Prepared::kReady) continue;
    // After prepare(): pairs with the one that leaves its turn and then publishes.
    const Lifetime::Entered entered = descriptor_->try_turn(node);
    Deadline until;
    std::error_code refused;
    if (entered == Lifetime::Entered::kClosed) refused = Errc::kClosed;
    if (entered == Lifetime::Entered::kBusy) refused = refusal(stop, deadline, until);
    if (refused || entered == Lifetime::Entered::kYes) {
      static_cast<void>(node.word.withdraw());
      return refused;
    }
    const auto reason = wait_on(node.word, until, Cancellable::kYes,
                                {.act = direction_ == Direction::kRead ? &act::kRead : &act::kWrite,
                                 .object = descriptor_->fd,
                                 .where = __builtin_return_address(0)});
    if (!reason) continue;
    if (const std::error_code error = wake_error(*reason)) return error;
  }
}

std::error_code FdAccess::Operation::pause(std::int64_t until_ns, Deadline deadline) {
  OwnWait own(Cancellable::kYes);
  TurnNode node(own.word(), direction_, TurnNode::Place::kAside);
  StopWord* const stop = this_stop_word();
  if (stop != nullptr) stop->announce(node.word);
  // Before it can be found: what ends the wait from then on makes the park fail. kReady is left of
  // an earlier wait: the caller looks again.
  if (node.word.prepare() == WaitWord::Prepared::kReady) return {};
  Deadline until;
  std::error_code error;
  const bool stands = descriptor_->stand_in_line(node);
  error = stands ? refusal(stop, deadline, until) : make_error_code(Errc::kClosed);
  if (error) {
    static_cast<void>(node.word.withdraw());
  } else {
    const Deadline end = Deadline::at_ns(std::min(until_ns, until.ns()));
    const auto reason = wait_on(node.word, end, Cancellable::kYes,
                                {.act = direction_ == Direction::kRead ? &act::kRead : &act::kWrite,
                                 .object = descriptor_->fd,
                                 .where = __builtin_return_address(0)});
    // Whether it was the pause that ended or the deadline, the caller finds out when it looks.
    if (reason && *reason != WakeReason::kTimedOut) error = wake_error(*reason);
  }
  if (stands) static_cast<void>(descriptor_->leave_line(node));
  return error;
}

}  // namespace rearm::detail
