// SharedFibers: runnable fibers that are in no worker's queue, for any worker to take.
//
// What this is. A list under a lock. A scheduler has two: of fibers that were made runnable from
// outside, and of those for which a full queue had no room.
//
// No lost wake-up. The size is stored, and read by has_any(), sequentially consistent: whoever puts
// a fiber here looks for sleeping workers afterwards, and a worker that is about to sleep looks
// here after it has said so (idle.h).
//
// Who may call. Any thread.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/atomic.h"
#include "base/mutex.h"
#include "sched/fiber.h"

namespace rearm::detail {

class SharedFibers {
 public:
  void push(Fiber& fiber) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    fibers_.push_back(fiber);
    publish_size();
  }
  void push(FiberList& fibers) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    fibers_.splice_back(fibers);
    publish_size();
  }

  // The share of one of `takers`, at least one fiber if there is any, at most `limit`.
  [[nodiscard]] FiberList take(std::size_t takers, std::size_t limit) REARM_EXCLUDES(mu_) {
    FiberList share;
    if (size_.load(kRelaxed) == 0) return share;
    MutexLock lock(mu_);
    if (is_closed_) return share;
    const std::size_t fair = fibers_.size() / takers + 1;
    for (std::size_t n = std::min(fair, limit); n > 0; --n) {
      Fiber* const fiber = fibers_.pop_front();
      if (fiber == nullptr) break;
      share.push_back(*fiber);
    }
    publish_size();
    return share;
  }

  // While it is closed, nothing can be taken. `is_last` is asked under the lock: of all that was
  // taken, and of those who took it, everything is seen.
  template <class IsLast>
  [[nodiscard]] bool close_if(IsLast&& is_last) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!is_closed_) is_closed_ = is_last();
    return is_closed_;
  }
  void open() REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    is_closed_ = false;
  }

  [[nodiscard]] bool has_any() const noexcept { return size_.load(kSeqCst) != 0; }

 private:
  void publish_size() REARM_REQUIRES(mu_) { size_.store(fibers_.size(), kSeqCst); }

  Mutex mu_;
  FiberList fibers_ REARM_GUARDED_BY(mu_);
  bool is_closed_ REARM_GUARDED_BY(mu_) = false;
  Atomic<std::size_t> size_{0};
};

}  // namespace rearm::detail
