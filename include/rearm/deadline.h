// Deadline: the instant that ends an operation.
//
// A deadline is an instant on the steady clock, not a duration, so that it can be handed down
// through a chain of calls and still mean the same moment. An operation whose deadline has passed
// ends with Errc::kTimedOut, whether it would have to wait or not: data that are there do not make
// it succeed. So a deadline bounds a loop of reads however fast the peer sends. Three special
// values exist:
//
//   Deadline{}            "standing": whatever was set with set_deadline() on the object that is
//                         waited for, or never if nothing was set. The default of every operation.
//   Deadline::never()     wait for as long as it takes, whatever set_deadline() says.
//   Deadline::immediate() never passes, and never waits: take what is there now; if nothing is,
//                         kTimedOut.
//
// Durations and instants beyond the range of 64-bit nanoseconds (292 years) mean never() or, when
// negative, the past. A value type: copy freely, any thread. Nothing throws, but for the arithmetic
// of a duration whose numbers are of a type that does, and text for want of memory.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <limits>
#include <string>
#include <type_traits>

namespace rearm {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  constexpr Deadline() noexcept = default;

  [[nodiscard]] static constexpr Deadline never() noexcept { return Deadline(kNever); }

  [[nodiscard]] static constexpr Deadline immediate() noexcept { return Deadline(kImmediate); }

  // This instant, on the clock that all deadlines are compared with: the steady clock, or the
  // virtual one of a test (testing.h). Code that measures time with it, or computes with its ns(),
  // can be tested with both.
  [[nodiscard]] static Deadline now() noexcept;

  template <class Rep, class Period>
  [[nodiscard]] static Deadline after(std::chrono::duration<Rep, Period> timeout) noexcept(
      std::is_arithmetic_v<Rep>) {
    const std::int64_t delta_ns = saturated_ns(timeout);
    if (delta_ns == kNever) return never();
    const std::int64_t now_ns = now().ns();
    if (delta_ns > 0 && now_ns > kNever - delta_ns) return never();
    if (delta_ns < 0 && now_ns < kPast - delta_ns) return Deadline(kPast);
    return Deadline(now_ns + delta_ns);
  }

  template <class Duration>
  [[nodiscard]] static constexpr Deadline
  at(std::chrono::time_point<Clock, Duration> instant) noexcept(
      std::is_arithmetic_v<typename Duration::rep>) {
    return Deadline(saturated_ns(instant.time_since_epoch()));
  }

  // For the nanoseconds that ns() returned.
  [[nodiscard]] static constexpr Deadline at_ns(std::int64_t ns) noexcept {
    return Deadline(ns == kStanding ? kPast : ns);
  }

  [[nodiscard]] constexpr bool is_standing() const noexcept { return ns_ == kStanding; }
  [[nodiscard]] constexpr bool is_never() const noexcept { return ns_ == kNever; }
  [[nodiscard]] constexpr bool is_immediate() const noexcept { return ns_ == kImmediate; }

  // Nanoseconds since the steady clock's epoch; of immediate(), an instant before all others.
  // REQUIRES: not standing.
  [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }

  [[nodiscard]] friend constexpr bool operator==(Deadline, Deadline) noexcept = default;
  // The order of time: immediate() before all instants, never() after them. A standing one, whose
  // instant is not known, comes first of all: to choose one of two, earlier_of().
  [[nodiscard]] friend constexpr auto operator<=>(Deadline, Deadline) noexcept = default;

  // The one that passes first, for a call with a deadline inside another with one. A standing
  // deadline gives way to the other: it says "unless told otherwise".
  [[nodiscard]] static constexpr Deadline earlier_of(Deadline a, Deadline b) noexcept {
    if (a.is_standing()) return b;
    if (b.is_standing()) return a;
    return a < b ? a : b;
  }

  // For logs: "standing", "never", "immediate", or how far it is from now: "in 1.250 s",
  // "0.003 s ago". Allocates.
  [[nodiscard]] std::string to_string() const;
  friend std::ostream& operator<<(std::ostream& out, Deadline deadline);
  [[nodiscard]] friend std::string format_as(Deadline deadline) { return deadline.to_string(); }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t kStanding = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kImmediate = kStanding + 1;
  static constexpr std::int64_t kPast = kStanding + 2;

  explicit constexpr Deadline(std::int64_t ns) noexcept : ns_(ns) {}

  // The comparison is made in floating point because it cannot overflow there; the conversion is
  // exact wherever the result fits.
  template <class Rep, class Period>
  static constexpr std::int64_t saturated_ns(std::chrono::duration<Rep, Period> d) noexcept(
      std::is_arithmetic_v<Rep>) {
    constexpr double kLimitSeconds = 9.2e9;
    const double seconds = std::chrono::duration<double>(d).count();
    if (seconds >= kLimitSeconds) return kNever;
    if (!(seconds > -kLimitSeconds)) return kPast;  // NaN, too, has already passed.
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
  }

  std::int64_t ns_ = kStanding;
};

}  // namespace rearm
