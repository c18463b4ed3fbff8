#include "base/clock.h"

#include <chrono>

#include "base/virtual_clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace rearm::detail {
namespace {

__extension__ typedef unsigned __int128 Wide;  // NOLINT(modernize-use-using): __extension__.

std::int64_t steady_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

const VirtualClock* virtual_clock() noexcept {
  return VirtualClock::anywhere() ? VirtualClock::current() : nullptr;
}

#if defined(__x86_64__)

bool counts_evenly() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kInvariantTsc = 1U << 8;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & kInvariantTsc) != 0;
}
std::uint64_t counter() noexcept { return __rdtsc(); }

#elif defined(__aarch64__)

bool counts_evenly() noexcept { return true; }
std::uint64_t counter() noexcept {
  std::uint64_t count = 0;
  asm volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
}

#else

bool counts_evenly() noexcept { return false; }
std::uint64_t counter() noexcept { return 0; }

#endif

// One reading of both clocks at nearly the same instant.
struct Reading {
  std::int64_t ns = 0;
  std::uint64_t count = 0;
  bool is_close = false;
};

// The counter between two readings of the clock that are close together: nobody came in between.
Reading read_both() noexcept {
  constexpr std::int64_t kCloseNs = 2'000;
  constexpr int kTries = 100;
  Reading reading;
  for (int i = 0; i < kTries && !reading.is_close; ++i) {
    const std::int64_t before_ns = steady_ns();
    reading.count = counter();
    reading.ns = steady_ns();
    reading.is_close = reading.ns - before_ns < kCloseNs;
  }
  return reading;
}

// Nanoseconds a count, times 2^32; 0: the counter is not to be used. Measured over 100 us, to 4 %
// at worst. The kernel knows the rate, and does not tell every process.
std::uint64_t measure_ns_per_count() noexcept {
  if (!counts_evenly()) return 0;
  constexpr std::int64_t kMeasureNs = 100'000;
  const Reading begin = read_both();
  while (steady_ns() - begin.ns < kMeasureNs) {
  }
  const Reading end = read_both();
  if (!begin.is_close || !end.is_close || end.count <= begin.count) return 0;
  const auto ns = static_cast<double>(end.ns - begin.ns);
  const double rate = ns / static_cast<double>(end.count - begin.count);
  // From 10 MHz to 10 GHz; anything else is no counter that we know.
  return rate > 0.1 && rate < 100 ? static_cast<std::uint64_t>(rate * 4294967296.0) : 0;
}

}  // namespace

std::int64_t now_ns() noexcept {
  if (const VirtualClock* const clock = virtual_clock()) [[unlikely]]
    return clock->now_ns();
  return steady_ns();
}

std::int64_t quick_ns() noexcept {
  if (const VirtualClock* const clock = virtual_clock()) [[unlikely]]
    return clock->now_ns();
  static const std::uint64_t ns_per_count = measure_ns_per_count();
  if (ns_per_count == 0) [[unlikely]]
    return steady_ns();
  const auto product = static_cast<Wide>(counter()) * ns_per_count;
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(product >> 32));
}

}  // namespace rearm::detail
