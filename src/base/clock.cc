#include "base/clock.h"

#include <chrono>

#include "base/virtual_clock.h"

namespace rearm::detail {

std::int64_t now_ns() noexcept {
  if (VirtualClock::anywhere()) [[unlikely]] {
    if (const VirtualClock* const clock = VirtualClock::current()) return clock->now_ns();
  }
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace rearm::detail
