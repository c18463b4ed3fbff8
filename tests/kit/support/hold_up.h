// HoldUp: stops a thread at whatever instruction it has come to, while another one does the rest.
//
// A window of a few instructions is hit by luck too seldom. A signal finds the thread anywhere in
// the code under test, now and then in the window; its handler keeps it there until the other one
// is done. Not for long: whoever is held up may hold a lock that the other one needs.
#pragma once

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "base/clock.h"
#include "support/race.h"
#include "support/threads.h"

namespace rearm::test {

// One at a time. The thread that makes it is the one that is held up. Relaxed throughout, so that
// ThreadSanitizer is given no order.
class HoldUp {
 public:
  HoldUp() : held_up_(::pthread_self()), handler_(SIGUSR2, &stay) {}

  // On the thread that is to be held up, before the code under test: waits for some part of the
  // time that a signal takes, which is longer than that code.
  void approach() noexcept {
    state_ = state_ * 1'664'525U + 1'013'904'223U;
    const std::int64_t latency_ns = latency_ns_.load(std::memory_order_relaxed);
    const std::int64_t until_ns = detail::now_ns() + latency_ns * (state_ >> 16) / 50'000;
    while (detail::now_ns() < until_ns) pause_cpu();
  }

  // Calls `meanwhile` on this thread while the other one stays where it is.
  template <class F>
  void during(F&& meanwhile) {
    is_there_.store(false, std::memory_order_relaxed);
    is_over_.store(false, std::memory_order_relaxed);
    const std::int64_t start_ns = detail::now_ns();
    (void)::pthread_kill(held_up_, SIGUSR2);
    spin_until(is_there_);
    const std::int64_t before_ns = latency_ns_.load(std::memory_order_relaxed);
    latency_ns_.store((7 * before_ns + detail::now_ns() - start_ns) / 8, std::memory_order_relaxed);
    meanwhile();
    is_over_.store(true, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t kLongestNs = 50'000;

  static inline std::atomic<bool> is_there_{false};
  static inline std::atomic<bool> is_over_{true};

  static void spin_until(const std::atomic<bool>& flag) noexcept {
    const std::int64_t until_ns = detail::now_ns() + kLongestNs;
    while (!flag.load(std::memory_order_relaxed) && detail::now_ns() < until_ns) pause_cpu();
  }
  static void stay(int) {
    is_there_.store(true, std::memory_order_relaxed);
    spin_until(is_over_);
  }

  const pthread_t held_up_;
  const ScopedSignal handler_;
  std::atomic<std::int64_t> latency_ns_{5'000};
  std::uint32_t state_ = 1;
};

}  // namespace rearm::test
