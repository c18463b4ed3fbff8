// WaitLine: who waits for one thing of this room, first in first out, and the lock under which all
// of them look at it.
//
//   LineWait wait(Cancellable::kYes);
//   {
//     MutexLock lock(line.mu);
//     ...                                          the thing is there: take it, and go
//     if (!wait.begin()) ...                       the fiber was asked to stop
//     line.queue.push_back(wait);
//   }
//   wait.wait(line, deadline, ...)                 kGiven: the thing is the caller's
//
// Whoever brings the thing takes the first one out, under the lock, and wakes it after the lock is
// gone (base/wait_queue.h). What was given to one whose wait is ended by something else at the same
// time is given nevertheless: a deadline or a stop that comes second changes nothing.
//
// Lifetime. The object may be destroyed as soon as the one who was given something returns, as a
// latch on a stack is. So who gives touches nothing of it after its lock is gone.
#pragma once

#include <cstdint>
#include <optional>

#include "base/annotations.h"
#include "base/mutex.h"
#include "base/wait_queue.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "sched/wait.h"

namespace rearm::detail {

struct WaitLine {
  WaitLine() = default;
  explicit WaitLine(Nesting nesting) : mu(nesting) {}

  Mutex mu;
  WaitQueue queue REARM_GUARDED_BY(mu);
};

// How a wait in a line ended.
enum class Ended : std::uint8_t { kGiven, kTimedOut, kCancelled };

// A resource in the waiter's frame. The word comes before the node that refers to it.
class LineWait : private OwnWait, public WaitQueue::Node {
 public:
  explicit LineWait(Cancellable cancellable) noexcept
      : OwnWait(cancellable), WaitQueue::Node(OwnWait::word()) {}

  // Before it is put into the queue. False: the fiber was asked to stop, and it is not put there.
  [[nodiscard]] bool begin() noexcept { return OwnWait::begin() != Begun::kRefused; }

  // REQUIRES: it was put into the line's queue, and the lock is gone. Afterwards it is in none.
  [[nodiscard]] Ended wait(WaitLine& line, Deadline deadline, const WaitingFor& what)
      REARM_NO_THREAD_SAFETY_ANALYSIS {  // It does not follow a reference to what is guarded.
    return wait(line.mu, line.queue, deadline, what);
  }
  [[nodiscard]] Ended wait(Mutex& mu, WaitQueue& queue, Deadline deadline, const WaitingFor& what);

  // --- The parts, for one that changes from one line to another. ---

  using OwnWait::Begun;
  using OwnWait::insist;
  [[nodiscard]] Begun begin_again() noexcept { return OwnWait::begin(); }
  [[nodiscard]] std::optional<WakeReason> wait_once(Deadline deadline, const WaitingFor& what) {
    return OwnWait::wait(deadline, what);
  }
  // Waits for what will be given, in whichever line. After insist() and begin_again().
  void wait_until_given(const WaitingFor& what);
};

// Who stands in the lines of several things; see select.cc. Above the locks of these.
inline constinit Mutex standing_mu;

// One turn of a select() at one of its cases.
struct CaseTurn {
  Claim& claim;
  WaitQueue::Node& node;
  int place;
  bool& was_passed_over;

  // The thing is not there. Under its lock.
  void stand_in(WaitQueue& queue) const noexcept {
    if (!node.is_linked()) queue.push_back(node);
    if (!claim.reopen()) was_passed_over = true;
  }
};

// Whether a call may not even take what is there. A standing deadline means never.
[[nodiscard]] bool has_passed(Deadline deadline) noexcept;

[[nodiscard]] Result<void> result_of(Ended ended) noexcept;

}  // namespace rearm::detail
