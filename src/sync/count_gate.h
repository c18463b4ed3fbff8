// CountGate: open while a count is zero; the one mechanism of Event, Latch and WaitGroup.
//
//   bits of the word   meaning
//   kWaiters           somebody may stand in line; changed under the line's lock, and so is a count
//                      that becomes zero with it
//   kOpenedSlowly      the count became zero under the lock, which may still be held
//   the rest           the count
//
// Lifetime. What was waited for is often the last that keeps the gate alive: a latch on a stack. So
// one who finds it open may destroy it, even if the one who has opened it has not returned yet. The
// latter's last touch is the exchange that makes the count zero or, where somebody waited, the
// line's lock; and one who finds it opened slowly takes the lock once.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/check.h"
#include "rearm/deadline.h"
#include "sync/line.h"

namespace rearm::detail {

class CountGate {
 public:
  static constexpr std::int64_t kMax = INT64_MAX / 8;

  explicit CountGate(std::int64_t count) noexcept : word_(count * kOne) {}
  CountGate(const CountGate&) = delete;
  CountGate& operator=(const CountGate&) = delete;
  ~CountGate() {
    MutexLock lock(line_.mu);
    REARM_CHECK(line_.queue.empty(),
                "an Event, a Latch or a WaitGroup was destroyed that is waited on");
  }

  [[nodiscard]] std::int64_t count() const noexcept { return word_.load(kAcquire) / kOne; }

  // Whether it is open, and may be destroyed.
  [[nodiscard]] bool is_open() noexcept;
  [[nodiscard]] Ended wait(Deadline deadline, const WaitingFor& what,
                           Cancellable cancellable = Cancellable::kYes) noexcept;

  // For select(): see ChannelCore::try_case().
  [[nodiscard]] bool try_case(const CaseTurn& turn) noexcept;
  void leave_case(WaitQueue::Node& node) noexcept {
    MutexLock lock(line_.mu);
    static_cast<void>(line_.queue.remove(node));
  }

  // False: the count would be less than zero, or more than kMax; it stays as it was.
  [[nodiscard]] bool add(std::int64_t n) noexcept;
  // To zero, or from zero to one.
  void open() noexcept;
  void close() noexcept;

 private:
  static constexpr std::int64_t kWaiters = 1;
  static constexpr std::int64_t kOpenedSlowly = 2;
  static constexpr std::int64_t kOne = 4;

  // To zero, if it is `old` with somebody in line; else false, and `old` is what it is.
  [[nodiscard]] bool open_slowly(std::int64_t& old) noexcept;

  Atomic<std::int64_t> word_;
  WaitLine line_{Nesting::kBelowAnother};  // A select()'s is above it.
};

}  // namespace rearm::detail
