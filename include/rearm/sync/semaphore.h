// Semaphore: a number of permits. acquire() takes one, or waits for one; release() gives some back.
//
//   rearm::Semaphore slots(100);
//   if (auto slot = slots.acquire(); !slot) return slot.error();
//
// A permit that is given while somebody waits goes to whoever waits longest, and to nobody else: it
// cannot be taken by one who is faster. Fibers and plain threads, on the same object. Uncontended,
// each call is one exchange.
#pragma once

#include <chrono>
#include <cstdint>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"
#include "rearm/sync/mutex.h"

namespace rearm {

namespace detail {
struct SemaphoreState;
}  // namespace detail

class Semaphore {
 public:
  // REQUIRES: 0 <= permits <= max().
  explicit Semaphore(std::int64_t permits);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  // REQUIRES: nobody waits.
  ~Semaphore();

  [[nodiscard]] static constexpr std::int64_t max() noexcept { return INT64_MAX / 4; }

  // Takes a permit. Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop, and
  // there was none); then it has none. May park. A standing deadline means never.
  [[nodiscard]] Result<void> acquire(Deadline deadline = {}) noexcept;

  // Does not wait.
  [[nodiscard]] bool try_acquire() noexcept;

  // With no time left they do what try_acquire() does.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> timeout) {
    return try_acquire() || acquire(Deadline::after(timeout)).has_value();
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(std::chrono::time_point<Clock, Duration> instant) {
    return try_acquire() || acquire(detail::deadline_at(instant)).has_value();
  }

  // Gives permits, by anybody. Does not wait. REQUIRES: `permits` >= 0, and together not more than
  // max().
  void release(std::int64_t permits = 1) noexcept;

 private:
  detail::Hidden<detail::SemaphoreState> state_;
};

}  // namespace rearm
