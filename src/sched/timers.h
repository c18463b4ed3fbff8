// Timers: which waits end at which instant, for one processor.
//
// What this is. A pairing heap of timers that lie in the frames of those who wait; it allocates
// nothing, so starting a timer cannot fail. Starting is one comparison; stopping a timer that is
// not the earliest unlinks it; taking the earliest merges its children in pairs (Fredman et al.,
// "The pairing heap", 1986: logarithmic, amortised).
//
// How it works. A timer names the wait word of its wait. When it expires, the word is withdrawn;
// if a waiter was parked there, it is returned, and the one who called expire() wakes it after the
// lock is gone (G7). Expiry happens entirely under the lock, so when stop() has returned nobody
// will touch the timer or the word on its behalf again: a late expiry cannot end the next wait.
//
// Who may call. Any thread. earliest_ns() takes no lock.
//
// Rejected. An array heap: it must grow, and so can fail in the middle of a read. A timing wheel:
// its ticks cost wake-ups or precision. One heap for all processors: its lock is the first thing
// that many workers contend for.
#pragma once

#include <cstdint>
#include <limits>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/wait_word.h"

namespace rearm::detail {

// A resource in the waiter's frame. Only Timers touches its fields once it is started.
class Timer {
 public:
  explicit Timer(WaitWord& word) noexcept : word_(&word) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  friend class Timers;

  WaitWord* word_;
  std::int64_t when_ns_ = 0;
  // The heap's: first child, next sibling, and previous sibling or, for a first child, parent.
  Timer* child_ = nullptr;
  Timer* sibling_ = nullptr;
  Timer* previous_ = nullptr;
  bool started_ = false;
};

class Timers {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  Timers() = default;
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // The timer must stay where it is until stop() has returned.
  void start(Timer& timer, std::int64_t when_ns) REARM_EXCLUDES(mu_);

  // After it, whether or not the timer has expired, nothing refers to it.
  void stop(Timer& timer) REARM_EXCLUDES(mu_);

  // Ends the waits whose instant is `now_ns` or earlier; appends their waiters to `out`.
  void expire(std::int64_t now_ns, WakeReason reason, WaiterList& out) REARM_EXCLUDES(mu_);

  // When the next one expires, or kNever.
  [[nodiscard]] std::int64_t earliest_ns() const noexcept {
    return earliest_ns_.load(kSeqCst);  // Pairs with start(): see Scheduler::kernel_wait().
  }

 private:
  static Timer* meld(Timer* a, Timer* b) noexcept;
  static Timer* meld_children(Timer* first) noexcept;
  void remove(Timer& timer) REARM_REQUIRES(mu_);
  void publish_earliest() REARM_REQUIRES(mu_);

  Mutex mu_;
  Timer* root_ REARM_GUARDED_BY(mu_) = nullptr;
  Atomic<std::int64_t> earliest_ns_{kNever};
};

}  // namespace rearm::detail
