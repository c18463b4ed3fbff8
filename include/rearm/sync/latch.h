// Latch: counts down once, and lets go who waits when it is at zero.
//
// Fibers and plain threads, on the same object. What was done before a count_down() is seen by who
// returns from wait(), who may destroy the latch at once.
#pragma once

#include <cstdint>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {
class CountGate;
}  // namespace detail

class Latch {
 public:
  // REQUIRES: 0 <= count <= max().
  explicit Latch(std::int64_t count);
  Latch(const Latch&) = delete;
  Latch& operator=(const Latch&) = delete;
  // REQUIRES: nobody waits.
  ~Latch();

  [[nodiscard]] static constexpr std::int64_t max() noexcept { return INT64_MAX / 8; }

  // Does not wait. REQUIRES: 0 <= n <= what is left; anything else stops the process.
  void count_down(std::int64_t n = 1) noexcept;

  // Whether it is at zero. Does not wait.
  [[nodiscard]] bool try_wait() const noexcept;

  // Errors: kTimedOut, kCancelled (the fiber or its run was asked to stop). May park. A standing
  // deadline means never.
  [[nodiscard]] Result<void> wait(Deadline deadline = {}) noexcept;

  // Counts down and then waits. What was counted stays so, also after an error.
  [[nodiscard]] Result<void> arrive_and_wait(Deadline deadline = {}) noexcept;

 private:
  detail::Hidden<detail::CountGate> gate_;
};

}  // namespace rearm
