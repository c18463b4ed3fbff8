// Takes the place of src/base/mutex.h: taking a lock is a step that waits until the lock is free.
//
// The rules of the original are kept in every build: a lock is taken while holding another only if
// it was made with Nesting::kBelowAnother, and no lock is held across a switch, a park, a wait in
// the kernel or a wake-up (G7).
#pragma once

#include "base/annotations.h"
#include "explore/step.h"

namespace rearm::detail {

inline void check_no_lock_held() noexcept {
  if (explore::in_thread && explore::locks_held() != 0) {
    explore::violation("G7", "a lock was held across a switch, a wait or a wake-up");
  }
}

enum class Nesting : bool { kAlone, kBelowAnother };

class REARM_CAPABILITY("mutex") Mutex {
 public:
  constexpr Mutex() noexcept = default;
  constexpr explicit Mutex(Nesting nesting) noexcept
      : below_another_(nesting == Nesting::kBelowAnother) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() REARM_ACQUIRE() {
    if (!explore::in_thread) return;
    explore::begin_step({.verb = explore::Verb::kLock,
                         .mode = explore::Mode::kWrite,
                         .object = this,
                         .enabled = &is_free});
    held_ = true;
    explore::lock_taken(below_another_);
    explore::end_step(explore::Mode::kWrite, 0, 1);
  }
  void unlock() REARM_RELEASE() {
    if (!explore::in_thread) return;
    if (explore::anybody_delays) explore::wait_for_stores();
    held_ = false;
    explore::lock_left();
  }

  [[nodiscard]] bool is_held() const noexcept { return held_; }

 private:
  static bool is_free(const explore::Step& step) {
    return !static_cast<const Mutex*>(step.object)->held_;
  }

  bool held_ = false;
  bool below_another_ = false;
};

class REARM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) REARM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() REARM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace rearm::detail
