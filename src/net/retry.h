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
#include <system_error>

#include "base/clock.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/fiber.h"

namespace rearm::detail {

class RoomRetry {
 public:
  explicit RoomRetry(Deadline deadline) noexcept : deadline_(deadline) {}

  // Errors: kTimedOut, kCancelled.
  [[nodiscard]] std::error_code sleep() {
    const std::int64_t now = now_ns();
    if (started_ns_ == kNever) started_ns_ = now;
    if (!deadline_.is_standing() && deadline_.ns() <= now) return Errc::kTimedOut;
    const std::int64_t pause = std::clamp((now - started_ns_) / 4, kShortest, kLongest);
    const Deadline retry = Deadline::at_ns(now + pause);
    const bool sooner = !deadline_.is_standing() && deadline_.ns() < retry.ns();
    const auto slept = this_fiber::sleep_until(sooner ? deadline_ : retry);
    return slept ? std::error_code() : slept.error();
  }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kShortest = 1'000'000;
  static constexpr std::int64_t kLongest = 100'000'000;

  Deadline deadline_;
  std::int64_t started_ns_ = kNever;
};

}  // namespace rearm::detail
