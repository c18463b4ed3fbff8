// Mutex and MutexLock: the only locks of the library, annotated for Clang's analysis.
//
// Lock order, outermost first; indentation means "may be taken while holding the parent":
//
//   Descriptor::mu
//     PollBackend::mu_       arm() is called under the descriptor's lock
//   DescriptorTable::mu_
//   Timers::mu_              expiry touches wait words only, never a descriptor's lock
//   KqueueBackend::mu_       never under a descriptor's: remove() takes no lock
//   SharedFibers::mu_
//   IdleWorkers::mu_
//   StackPool::mu_
//   ThreadParker::mu_
//   JoinRing::mu_
//   StopList::mu_              request() touches wait words only
//   ConditionState::line.mu    who is notified is passed on to its Mutex
//     MutexState::line.mu
//   standing_mu                a select() stands in the lines of its cases (src/sync/select.cc)
//     ChannelCore::mu_
//     CountGate::line_.mu
//
// All others are leaves that are taken alone. Debug builds check it: locking while holding another
// lock stops the process unless the inner one was made with Nesting::kBelowAnother, and so does
// holding any at a context switch, a wait in the kernel or a wake-up (G7).
//
// Part of the seam (atomic.h).
#pragma once

#include <mutex>

#include "base/annotations.h"

namespace rearm::detail {

#if REARM_DEBUG_CHECKS
namespace lock_check {
void acquired(bool below_another) noexcept;
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

// Whether a lock may be taken while holding one other, its parent in the tree above.
enum class Nesting : bool { kAlone, kBelowAnother };

// A resource: neither copied nor moved.
class REARM_CAPABILITY("mutex") Mutex {
 public:
  constexpr Mutex() noexcept = default;
  constexpr explicit Mutex([[maybe_unused]] Nesting nesting) noexcept
#if REARM_DEBUG_CHECKS
      : below_another_(nesting == Nesting::kBelowAnother)
#endif
  {
  }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() REARM_ACQUIRE() {
    mutex_.lock();
#if REARM_DEBUG_CHECKS
    lock_check::acquired(below_another_);
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
#if REARM_DEBUG_CHECKS
  bool below_another_ = false;
#endif
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
