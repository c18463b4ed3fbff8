// Pace: how long a worker goes on with its own queues before it looks at what else there is.
//
// What this is. The worker's sense of time. Outside of its queues wait the kernel's reports, timers
// and injected fibers; the worker looks there when they are empty, and otherwise whenever a time
// slice has passed. So no busy queue keeps anything outside waiting for longer than a slice and the
// fiber that runs just then (G9).
//
// Stride. Reading a clock costs as much as a switch (10 ns of 14), so while runs are short the
// clock is read at every `stride`-th switch only: at most kMaxStride, and as many as lately passed
// within an eighth of a slice.
//
// Exact. A run is long if it takes half a slice or more. Once a reading shows one, the clock is
// read at every switch, for so long that the readings cost a 25th of what the long run took. A
// fiber that was long the last time has the clock read where it begins and where it leaves. So long
// runs are seen one by one, and the sum above is exact. With several workers the clock is read
// before each rest, too, so that long runs are noticed of which there are few between two rests.
// What is left is the moment at which short runs turn long: of fibers that were never long, up to
// kMaxStride may run before it is noticed.
//
// Who may call. The worker.
//
// Rejected. A count of switches (61, as Go's): a slice is then 1 us or 61 ms, by what fibers do. A
// reading at every switch: a yield takes 24 ns for 14; at every eighth, 15. One at every 16th: half
// a nanosecond is gained, and twice as many runs that turn long are overlooked. A thread or a
// signal that ticks: wake-ups in the way of all, and signals in programs that want none.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace rearm::detail {

class Pace {
 public:
  // What a reading of the clock shows of the run, or of the runs, that end with it.
  struct Reading {
    bool slice_is_over = false;
    bool is_one_run = false;  // Whether it is about the last run alone.
    bool was_long = false;
  };

  static constexpr std::uint32_t kMaxStride = 8;

  explicit Pace(std::int64_t slice_ns) noexcept : slice_ns_(slice_ns) {}

  // At each switch. If it says true, read() is to be called.
  [[nodiscard]] bool clock_is_due() noexcept { return --until_reading_ == 0; }
  // Once a reading has shown that the slice is over, the clock is due at every switch until
  // begin_slice().
  [[nodiscard]] Reading read() noexcept {
    const std::int64_t now = quick_ns();
    const std::int64_t took = now - read_ns_;
    read_ns_ = now;
    const Reading reading{.slice_is_over = passed(now),
                          .is_one_run = stride_ == 1,
                          .was_long = took >= slice_ns_ / 2};
    choose_stride(took, reading.was_long);
    slice_is_over_ = reading.slice_is_over;
    if (slice_is_over_) stride_ = 1;
    until_reading_ = stride_;
    return reading;
  }

  [[nodiscard]] bool slice_is_over() const noexcept { return slice_is_over_; }

  // The worker has looked outside. Returns the reading.
  std::int64_t begin_slice() noexcept {
    read_ns_ = began_ns_ = quick_ns();
    slice_is_over_ = false;
    until_reading_ = stride_;
    return read_ns_;
  }
  // A fiber begins to run that was long the last time, or whose run is to be known.
  void begin_exact_run() noexcept {
    read_ns_ = quick_ns();
    until_reading_ = stride_ = 1;
  }

  // The worker is about to rest. If what has run since the last reading took long, the next runs
  // are looked at one by one.
  void end_runs() noexcept {
    const std::int64_t took = quick_ns() - read_ns_;
    choose_stride(took, took >= slice_ns_ / 2);
  }

  // From now on every slice is over at once.
  void never_wait() noexcept {
    slice_ns_ = 0;
    slice_is_over_ = true;
    until_reading_ = stride_ = 1;
  }

 private:
  static constexpr std::int64_t kNsPerExactReading = 256;  // 25 times what a reading takes.
  static constexpr std::int64_t kMaxExactReadings = 16'384;

  // A counter that has stepped back ends the slice, too (clock.h).
  [[nodiscard]] bool passed(std::int64_t now) const noexcept {
    return static_cast<std::uint64_t>(now - began_ns_) >= static_cast<std::uint64_t>(slice_ns_);
  }

  void choose_stride(std::int64_t took, bool was_long) noexcept {
    if (was_long) {
      exact_readings_ = std::min(exact_readings_ + took / kNsPerExactReading, kMaxExactReadings);
    }
    if (exact_readings_ > 0) {
      --exact_readings_;
      stride_ = 1;
    } else if (took > slice_ns_ / 8) {
      stride_ = 1;
    } else if (took <= slice_ns_ / 16) {
      stride_ = std::min(2 * stride_, kMaxStride);
    }
  }

  std::uint32_t until_reading_ = 1;
  std::uint32_t stride_ = 1;  // From the last reading to the next one.
  std::int64_t exact_readings_ = 0;
  std::int64_t slice_ns_;
  std::int64_t began_ns_ = 0;  // When the worker last looked outside.
  std::int64_t read_ns_ = 0;   // When the clock was last read.
  bool slice_is_over_ = false;
};

}  // namespace rearm::detail
