#include "sched/join_ring.h"

namespace rearm::detail {

bool JoinRing::look() {
  MutexLock lock(mu_);
  for (const Fiber* above = &joiner_; above->done.is_awaited();) {
    above = above->joiner.load(kRelaxed);
    if (above == nullptr) return false;  // A thread, or a join with a deadline.
    if (above != &joined_) continue;
    joined_.joiner.store(nullptr, kRelaxed);
    static_cast<void>(joined_.done.withdraw());  // Our own kParking: it waits, and has not ended.
    return true;
  }
  return false;
}

}  // namespace rearm::detail
