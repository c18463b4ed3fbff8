// Mutex: a lock for fibers and plain threads, on the same object.
//
//   rearm::Mutex mutex;
//   {
//     std::scoped_lock lock(mutex);
//     ...                        // may park: the worker runs other fibers meanwhile
//   }
//
// A fiber that has to wait parks, a plain thread blocks. The lock belongs to the fiber, not to the
// thread that it runs on, so it may be held across anything that parks; a std::mutex must not be
// (docs/threads.md). It has the standard's names and is a TimedLockable: std::unique_lock,
// std::scoped_lock, std::lock and their like work.
//
// Order. Those who wait are served first come first served, with one exception: a lock that is
// unlocked is free until the one who was called comes for it, and may be taken by anybody who is
// faster (barging). One who was called in vain is handed the lock at the next unlock(), so nobody
// is overtaken in more than one such moment. Without that each lock that somebody waits for would
// cost a switch at each unlock.
//
// Cost. Uncontended: one exchange to lock, one to unlock, no call into the scheduler.
//
// Errors. lock() cannot fail and is not cancelled. Checked builds stop the process where a lock is
// locked again by its owner, or unlocked by another; all builds where one that is locked or waited
// for is destroyed.
#pragma once

#include <chrono>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {
struct MutexState;

// The instant of a clock that deadlines are not measured with is as far from now as it is there.
template <class Clock, class Duration>
[[nodiscard]] Deadline deadline_at(std::chrono::time_point<Clock, Duration> instant) {
  if constexpr (std::is_same_v<Clock, Deadline::Clock>) {
    return Deadline::at(instant);
  } else {
    return Deadline::after(instant - Clock::now());
  }
}
}  // namespace detail

class Mutex {
 public:
  Mutex();
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  // REQUIRES: not locked, and nobody waits.
  ~Mutex();

  // May park. REQUIRES: the caller does not hold it.
  void lock() noexcept;

  // Does not wait. False: somebody holds it.
  [[nodiscard]] bool try_lock() noexcept;

  // Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop); then it is not locked.
  // May park. REQUIRES: the caller does not hold it.
  [[nodiscard]] Result<void> lock(Deadline deadline) noexcept;

  // The standard's: with no time left they do what try_lock() does.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) {
    return try_lock() || lock(Deadline::after(timeout)).has_value();
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> instant) {
    return try_lock() || lock(detail::deadline_at(instant)).has_value();
  }

  // REQUIRES: the caller holds it.
  void unlock() noexcept;

 private:
  friend class ConditionVariable;
  detail::Hidden<detail::MutexState> state_;
};

}  // namespace rearm
