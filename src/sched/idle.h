// IdleWorkers: which workers sleep, and who is woken when there is work.
//
// What this is. Workers that found nothing, and that did not get the poll turn, sleep here on their
// own ThreadParker, the most recent on top, because its caches are warm.
//
// No lost wake-up between sleeping and work. A worker announces itself (enter: count_ up), then
// looks for work once more, then sleeps. Whoever makes work puts it where it can be found, then
// looks at count_ (pick). For fibers that are injected, and for the end of the run, both sides are
// sequentially consistent, so one of them sees the other. A fiber pushed into a run queue is stored
// with release alone, because a push is on the way of every wake-up: a worker that goes to sleep at
// that instant may miss it. It is late then, not lost: the worker that pushed it is awake and will
// run it, and the monitor wakes another one if that takes long (monitor.h).
//
// Throttle. A woken worker is "searching" until it has found something or sleeps again, and while
// one is searching nobody else is woken: it will wake the next one itself if it finds more than it
// needs. Otherwise each of a burst of new fibers would pay for a wake-up of its own.
//
// Whoever picks begins the search before it knows whom to wake. If all sleepers have left by then,
// no search has begun, and somebody who believed in it has woken nobody: so it takes the search
// back and then looks once more who sleeps.
//
// Who may call. Any thread.
#pragma once

#include <cstddef>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/thread_parker.h"

namespace rearm::detail {

class IdleWorkers {
 public:
  struct Sleeper {
    ThreadParker parker;
    Sleeper* below = nullptr;  // Guarded by mu_.
    bool listed = false;       // Guarded by mu_.
  };

  // Announces that the caller is about to sleep.
  void enter(Sleeper& sleeper) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    sleeper.below = top_;
    sleeper.listed = true;
    top_ = &sleeper;
    count_.store(count_.load(kRelaxed) + 1, kSeqCst);  // Pairs with anybody().
  }

  // Takes the announcement back. False if somebody has already picked the caller to be woken: then
  // a token waits in its parker, and it counts as searching.
  [[nodiscard]] bool leave(Sleeper& sleeper) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!sleeper.listed) return false;
    Sleeper** link = &top_;
    while (*link != &sleeper) link = &(*link)->below;
    *link = sleeper.below;
    sleeper.listed = false;
    count_.store(count_.load(kRelaxed) - 1, kSeqCst);
    return true;
  }

  [[nodiscard]] bool anybody() const noexcept { return count_.load(kSeqCst) != 0; }

  // Picks one sleeper, if there is one and nobody is searching. The caller unparks it. The woken
  // one must call done_searching().
  [[nodiscard]] Sleeper* pick() REARM_EXCLUDES(mu_) {
    while (anybody()) {
      int nobody = 0;
      if (!searching_.compare_exchange_strong(nobody, 1, kSeqCst)) return nullptr;
      if (Sleeper* const sleeper = pop()) return sleeper;
      searching_.store(0, kSeqCst);  // Before the next look: pairs with enter() and another pick().
    }
    return nullptr;
  }

  void done_searching() noexcept { searching_.store(0, kSeqCst); }

  // For shutting down: wakes everybody, one after the other.
  void wake_all() REARM_EXCLUDES(mu_) {
    while (Sleeper* const sleeper = pop()) sleeper->parker.unpark();
  }

 private:
  [[nodiscard]] Sleeper* pop() REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    Sleeper* const sleeper = top_;
    if (sleeper == nullptr) return nullptr;
    top_ = sleeper->below;
    sleeper->listed = false;
    count_.store(count_.load(kRelaxed) - 1, kSeqCst);
    return sleeper;
  }

  Mutex mu_;
  Sleeper* top_ REARM_GUARDED_BY(mu_) = nullptr;
  Atomic<std::size_t> count_{0};
  Atomic<int> searching_{0};
};

}  // namespace rearm::detail
