#include "base/virtual_clock.h"

#include <utility>

#include "base/check.h"

namespace rearm::detail {
namespace {

thread_local constinit VirtualClock* current_clock = nullptr;

}  // namespace

VirtualClock::VirtualClock(std::int64_t start_ns) noexcept : now_ns_(start_ns) {
  REARM_CHECK(current_clock == nullptr, "a thread was given a second virtual clock");
  current_clock = this;
  count_.fetch_add(1, std::memory_order_relaxed);
}

VirtualClock::~VirtualClock() {
  REARM_CHECK(current_clock == this, "a virtual clock was destroyed on another thread");
  count_.fetch_sub(1, std::memory_order_relaxed);
  current_clock = nullptr;
}

VirtualClock::Suspended::Suspended() noexcept : suspended_(std::exchange(current_clock, nullptr)) {}

VirtualClock::Suspended::~Suspended() { current_clock = suspended_; }

VirtualClock* VirtualClock::current() noexcept { return current_clock; }

}  // namespace rearm::detail
