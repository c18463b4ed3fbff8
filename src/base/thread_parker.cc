#include "base/thread_parker.h"

#include <chrono>

namespace rearm::detail {

// Clang's analysis cannot follow a lock through std::unique_lock and a condition variable; the
// whole function holds mu_ whenever it touches token_.
bool ThreadParker::park(Deadline deadline) REARM_NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock<std::mutex> lock(mu_.mutex_);
  if (deadline.is_standing() || deadline.is_never()) {
    while (!token_) condition_.wait(lock);
  } else {
    const Deadline::Clock::time_point until{std::chrono::nanoseconds(deadline.ns())};
    while (!token_) {
      if (condition_.wait_until(lock, until) == std::cv_status::timeout && !token_) return false;
    }
  }
  token_ = false;
  return true;
}

void ThreadParker::unpark() {
  MutexLock lock(mu_);
  token_ = true;
  condition_.notify_one();
}

}  // namespace rearm::detail
