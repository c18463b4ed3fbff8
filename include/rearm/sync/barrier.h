// Barrier: lets a number of those who come go on together, again and again.
//
// Fibers and plain threads, on the same object. What each did before it came is seen by all who go
// on.
#pragma once

#include <cstdint>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {
struct BarrierState;
}  // namespace detail

class Barrier {
 public:
  // REQUIRES: expected >= 1.
  explicit Barrier(std::int64_t expected);
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  // REQUIRES: nobody waits.
  ~Barrier();

  // Waits for the others; the last one lets all go and does not wait. Errors: kTimedOut, kCancelled
  // (the fiber or its run was asked to stop); then it is as if it had not come, and may come again.
  // May park. A standing deadline means never.
  [[nodiscard]] Result<void> arrive_and_wait(Deadline deadline = {}) noexcept;

  // Comes for this once, and is not expected any more. Does not wait. REQUIRES: somebody is
  // expected.
  void arrive_and_drop() noexcept;

 private:
  detail::Hidden<detail::BarrierState> state_;
};

}  // namespace rearm
