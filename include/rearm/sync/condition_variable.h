// ConditionVariable: waits for a notice, with a Mutex let go meanwhile.
//
//   std::unique_lock lock(mutex);
//   ready.wait(lock, [&] { return !queue.empty(); });
//
// A wait ends by a notice and by nothing else: there are no spurious ones. What the notice was for
// may have been taken by another who was faster, so a condition is looked at again nevertheless;
// the forms with a predicate do. Notices go to those who wait, first come first served, and are not
// kept for those to come.
//
// Who is notified does not wake to find the lock held: it stands in the lock's line, or is handed
// the lock if that is free, and goes on with it. So notify_all() lets one after another go, and no
// herd runs. Whether the notifier holds the lock makes no difference.
//
// `Lock` is what owns a rearm::Mutex: a std::unique_lock. All who wait at one time have the same.
// Fibers and plain threads, on the same object. Checked: a ConditionVariable that is waited on and
// destroyed, a lock that is not held, and two mutexes stop the process.
#pragma once

#include <chrono>
#include <concepts>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"
#include "rearm/sync/mutex.h"

namespace rearm {

namespace detail {
struct ConditionState;

template <class Lock>
concept LockOfMutex = requires(const Lock& lock) {
  { lock.mutex() } -> std::convertible_to<::rearm::Mutex*>;
  { lock.owns_lock() } -> std::convertible_to<bool>;
};
}  // namespace detail

class ConditionVariable {
 public:
  ConditionVariable();
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;
  // REQUIRES: nobody waits, and the waits of those who were notified have returned.
  ~ConditionVariable();

  // May park. Is not cancelled. The lock is held again afterwards. REQUIRES: it is held.
  template <detail::LockOfMutex Lock>
  void wait(Lock& lock) {
    wait_with(lock.owns_lock() ? lock.mutex() : nullptr);
  }
  template <detail::LockOfMutex Lock, std::predicate Predicate>
  void wait(Lock& lock, Predicate is_there) {
    while (!is_there()) wait(lock);
  }

  // Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop). The lock is held again
  // in any case, so the end may be later than the deadline by as long as others hold it. May park.
  template <detail::LockOfMutex Lock>
  [[nodiscard]] Result<void> wait(Lock& lock, Deadline deadline) {
    return wait_with(lock.owns_lock() ? lock.mutex() : nullptr, deadline);
  }
  // Success: is_there() has returned true. It is looked at once more when the wait has failed.
  template <detail::LockOfMutex Lock, std::predicate Predicate>
  [[nodiscard]] Result<void> wait(Lock& lock, Deadline deadline, Predicate is_there) {
    while (!is_there()) {
      if (const Result<void> waited = wait(lock, deadline); !waited) {
        return is_there() ? Result<void>() : waited;
      }
    }
    return {};
  }

  // Does not wait. From anywhere, with the lock or without.
  void notify_one() noexcept;
  void notify_all() noexcept;

 private:
  void wait_with(Mutex* held) noexcept;
  Result<void> wait_with(Mutex* held, Deadline deadline) noexcept;

  detail::Hidden<detail::ConditionState> state_;
};

}  // namespace rearm
