// Descriptor: one slot of the table, and the life of one descriptor at a time in it.
//
// What this is. Where readiness (from the kernel), wishes (from a waiter), deadlines and close
// meet. Two wait words carry readiness without a lock; one lock orders what must not race with
// close; one lifetime word says when the number may be closed.
//
// How it works. A direction's word is explained in base/wait_word.h, the lifetime in lifetime.h.
// Under the lock are the closing flag and the interest that the kernel has been told of: every call
// that associates the descriptor with the kernel is made under the lock and after a look at the
// flag (G1), which happens in poller_core.cc alone. close() sets the flag under the same lock.
//
// Invariants. The memory is type-stable: a slot is reused for other descriptors but never freed,
// so a late event or a stale handle may look at it at any time and finds another generation.
//
// Who may call. Anybody, through PollerCore. Fields say which of the three owns them.
#pragma once

#include <cstdint>
#include <limits>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/wait_word.h"
#include "poller/backend.h"
#include "poller/lifetime.h"
#include "poller/turn_queue.h"
#include "rearm/poller.h"

namespace rearm::detail {

class PollerCore;

class alignas(64) Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] WaitWord& word(Direction direction) noexcept {
    return words_[static_cast<std::size_t>(direction)];
  }

  // Nanoseconds of the standing deadline of one direction; never by default.
  [[nodiscard]] Atomic<std::int64_t>& standing_deadline_ns(Direction direction) noexcept {
    return standing_deadlines_ns_[static_cast<std::size_t>(direction)];
  }

  // Takes what a report says; appends the waiters that it ends to `out`.
  void publish(Ready ready, WaiterList& out) noexcept;

  // Ends the wait of one direction; see Poller::cancel().
  [[nodiscard]] Waiter* withdraw(Direction direction, WakeReason reason) noexcept;

  // --- The line of those that wait for their turn; see turn_queue.h. ---

  // False if the descriptor is closing: there is nothing to wait for. REQUIRES: inside.
  [[nodiscard]] bool stand_in_line(TurnNode& node) noexcept REARM_EXCLUDES(mu);
  // Enters the node's direction if it is the first in line; it is out of the line then. kBusy: it
  // is not its turn yet.
  [[nodiscard]] Lifetime::Entered try_turn(TurnNode& node) noexcept REARM_EXCLUDES(mu);
  // For one that gives up, or has stood aside. Returns the waiter that is the next to try because
  // of that, if one is parked.
  [[nodiscard]] Waiter* leave_line(TurnNode& node) noexcept REARM_EXCLUDES(mu);
  // For one that has left its turn. Being outside, it may meet a later life, whose first in line
  // then tries for nothing.
  [[nodiscard]] Waiter* call_next(Direction direction) noexcept REARM_EXCLUDES(mu);
  // Ends the wait of all that stand in line for one direction, or aside.
  void disturb_line(Direction direction, WakeReason reason, WaiterList& out) noexcept
      REARM_EXCLUDES(mu);

  // --- One cache line: all that readiness on an edge-triggered kernel touches. ---

  // Who is inside, and which life this is.
  Lifetime lifetime;

 private:
  WaitWord words_[2];
  Atomic<std::int64_t> standing_deadlines_ns_[2]{std::numeric_limits<std::int64_t>::max(),
                                                 std::numeric_limits<std::int64_t>::max()};

 public:
  // Whose this is. Atomic because for_each() looks at slots of other pollers, too.
  Atomic<PollerCore*> poller{nullptr};

  // Constant during a life: written under the lock before it begins, read by those who are inside,
  // and under the lock while `closing` is false.
  int fd = -1;
  std::uint32_t generation = 0;
  std::uint32_t slot = 0;  // Constant for ever.

  // Set for the rest of the life when a report says that the end may be near, or that urgent data
  // is under way, or when the program asks for the number: from then on a short read does not mean
  // "drained". A stale event may set it in the wrong life, which costs a system call and nothing
  // else.
  Atomic<bool> hang_up_seen{false};

  // Owned by whoever is inside as the reader. The last read was short and nothing has waited since:
  // what has come since then has its report in the word.
  bool read_drained = false;

  // Written by the one who ends the life, read by the last one out. False if the number goes back
  // to the caller.
  bool owns_number = true;

  // --- Under the lock. ---
  Mutex mu;
  bool closing REARM_GUARDED_BY(mu) = true;
  Ready armed REARM_GUARDED_BY(mu);

  union {
    // The table's, while the slot is free: `closing` is true then.
    Descriptor* next_free = nullptr;
    // While it is not. Under the lock.
    TurnQueue line;
  };

 private:
  friend class PollerCore;

  void publish_one(Direction direction, WaiterList& out) noexcept;
  void take_out_of_line(TurnNode& node) noexcept REARM_REQUIRES(mu);
  [[nodiscard]] Waiter* call_first(Direction direction) noexcept REARM_REQUIRES(mu);

  // Begins a new life.
  void begin_life(int new_fd, PollerCore& new_poller) REARM_EXCLUDES(mu);
};

// Hot fields fill the first line, cold ones the second. (Where a mutex is larger, as on macOS, the
// cold ones need a third.)
static_assert(sizeof(Descriptor) == 128 || sizeof(Mutex) > 48);

}  // namespace rearm::detail
