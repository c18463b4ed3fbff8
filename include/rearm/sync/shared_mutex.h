// SharedMutex: a lock for one writer, or for many readers.
//
// It has the standard's names and is a TimedLockable and a SharedTimedLockable: std::unique_lock
// and std::shared_lock work. Fibers and plain threads, on the same object; what mutex.h says of
// parking with a lock held is true of it.
//
// Order. First come first served, and the lock is handed over: a writer is not overtaken by readers
// who come later, and the readers who stand behind a writer go together when he leaves. So nobody
// starves. A reader who locks it again while a writer waits would wait for himself: it is not
// recursive.
//
// Errors. lock() and lock_shared() cannot fail and are not cancelled. Checked builds stop the
// process where a writer's lock is locked again by its owner, or unlocked by another; all builds
// where one that is locked or waited for is destroyed, or unlocked without having been locked.
#pragma once

#include <chrono>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"
#include "rearm/sync/mutex.h"

namespace rearm {

namespace detail {
struct SharedMutexState;
}  // namespace detail

class SharedMutex {
 public:
  SharedMutex();
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
  // REQUIRES: not locked, and nobody waits.
  ~SharedMutex();

  // --- For a writer. REQUIRES: the caller does not hold it; to unlock, that it does. ---

  void lock() noexcept;  // May park.
  [[nodiscard]] bool try_lock() noexcept;
  // Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop); then it is not locked.
  // May park.
  [[nodiscard]] Result<void> lock(Deadline deadline) noexcept;
  // The standard's, here and below: with no time left they do what try_lock() does.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) {
    return try_lock() || lock(Deadline::after(timeout)).has_value();
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> instant) {
    return try_lock() || lock(detail::deadline_at(instant)).has_value();
  }
  void unlock() noexcept;

  // --- For a reader; likewise. ---

  void lock_shared() noexcept;  // May park.
  [[nodiscard]] bool try_lock_shared() noexcept;
  [[nodiscard]] Result<void> lock_shared(Deadline deadline) noexcept;
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(std::chrono::duration<Rep, Period> timeout) {
    return try_lock_shared() || lock_shared(Deadline::after(timeout)).has_value();
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> instant) {
    return try_lock_shared() || lock_shared(detail::deadline_at(instant)).has_value();
  }
  void unlock_shared() noexcept;

 private:
  detail::Hidden<detail::SharedMutexState> state_;
};

}  // namespace rearm
