// Mutex and MutexLock: the only locks of the library, annotated for Clang's analysis.
//
// Lock order, outermost first; indentation means "may be taken while holding the parent":
//
//   Descriptor::mu
//   DescriptorTable::mu_
//   Timers::mu_              expiry touches wait words only, never a descriptor's lock
//   Scheduler::injected_mu_
//   IdleWorkers::mu_
//   StackPool::mu_
//   ThreadParker::mu_
//
// No two of them are ever held at once today, so the tree is flat: every one is a leaf. Debug
// builds check it: locking while holding any other lock stops the process, and so does a context
// switch while holding one (G7). A lock that must nest gets a line below its parent here, and a
// constructor argument that says so.
//
// Part of the seam (atomic.h).
#pragma once

#include <mutex>

#include "base/annotations.h"

namespace rearm {

#if REARM_DEBUG_CHECKS
namespace lock_check {
void acquired() noexcept;
void released() noexcept;
void none_held() noexcept;
}  // namespace lock_check
#endif

// Stops the process if the calling thread holds a Mutex. Checks in debug builds only.
inline void check_no_lock_held() noexcept {
#if REARM_DEBUG_CHECKS
  lock_check::none_held();
#endif
}

// A resource: neither copied nor moved.
class REARM_CAPABILITY("mutex") Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() REARM_ACQUIRE() {
    mutex_.lock();
#if REARM_DEBUG_CHECKS
    lock_check::acquired();
#endif
  }
  void unlock() REARM_RELEASE() {
#if REARM_DEBUG_CHECKS
    lock_check::released();
#endif
    mutex_.unlock();
  }

 private:
  friend class ThreadParker;
  std::mutex mutex_;
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

}  // namespace rearm
