// How long a call into the kernel may wait, in the unit of that call: each of them has its own way
// to say "for ever", "not at all" and "until then". The idea of one type for them is abseil's
// KernelTimeout.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <limits>

#include "base/clock.h"
#include "rearm/deadline.h"

namespace rearm::detail {

class KernelTimeout {
 public:
  // What is left until the deadline. Reads the clock, unless the deadline is no instant or has
  // surely passed.
  explicit KernelTimeout(Deadline deadline) noexcept
      : left_ns_(deadline.is_standing() || deadline.is_never() ? kEndless
                 : deadline.ns() <= 0                          ? 0
                                      : std::max<std::int64_t>(deadline.ns() - now_ns(), 0)) {}

  [[nodiscard]] bool is_endless() const noexcept { return left_ns_ == kEndless; }
  [[nodiscard]] bool is_immediate() const noexcept { return left_ns_ == 0; }

  // At most a day: some kernels refuse longer ones, and a wait that ends early is repeated. Of
  // an endless one, nothing to be used.
  [[nodiscard]] timespec as_timespec() const noexcept {
    const std::int64_t ns = std::min(left_ns_, kLongestNs);
    return {.tv_sec = static_cast<std::time_t>(ns / kNsPerSecond),
            .tv_nsec = static_cast<long>(ns % kNsPerSecond)};
  }

  // Rounded up, because a wait that ends before its deadline would be repeated without a pause.
  // -1 for an endless one, as poll() and epoll_wait() have it.
  [[nodiscard]] int as_ms() const noexcept {
    if (left_ns_ <= 0) return is_endless() ? -1 : 0;
    return static_cast<int>((std::min(left_ns_, kLongestNs) - 1) / kNsPerMs + 1);
  }

 private:
  static constexpr std::int64_t kEndless = -1;
  static constexpr std::int64_t kNsPerMs = 1'000'000;
  static constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  static constexpr std::int64_t kLongestNs = 24 * 60 * 60 * kNsPerSecond;

  std::int64_t left_ns_;
};

}  // namespace rearm::detail
