// RoomRetry: the pauses of a wait for which the kernel has no report.
//
// Linux says EAGAIN when a Unix listener's backlog is full, or a datagram is sent to a Unix socket
// that is full and not the peer, and reports nothing when there is room (unix(7)). Worse, a
// datagram that could not be sent is freed, and that is reported as room: a wait for reports would
// spin. So the caller looks again: the longer it has waited, the less often, because all that wait
// look, and the one that does not keep up has to share its processor with them. It is late by a
// quarter of the time that it has waited, and by kLongest at most.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/clock.h"

namespace rearm::detail {

class RoomRetry {
 public:
  // When to look again, after a look in vain.
  [[nodiscard]] std::int64_t again_ns() noexcept {
    const std::int64_t now = now_ns();
    if (started_ns_ == kNever) started_ns_ = now;
    return now + std::clamp((now - started_ns_) / 4, kShortest, kLongest);
  }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kShortest = 1'000'000;
  static constexpr std::int64_t kLongest = 100'000'000;

  std::int64_t started_ns_ = kNever;
};

}  // namespace rearm::detail
