// The clocks of poller and scheduler, in nanoseconds. Part of the seam (atomic.h).
//
// quick_ns() is for what is measured often and needs no more than a few percent: it reads the
// processor's own counter where that counts evenly whatever the processor does (x86: the invariant
// TSC of CPUID leaf 0x80000007; aarch64: the generic timer), which takes 10 ns here where the
// steady clock takes 25. Elsewhere it reads the steady clock.
// Its zero is its own. Between the sockets of some machines counters differ, so a thread that moved
// may see it step, backwards, too: who takes a difference must bear that.
//
// Both tell the virtual time of a thread that has a VirtualClock.
#pragma once

#include <cstdint>

namespace rearm::detail {

[[nodiscard]] std::int64_t now_ns() noexcept;
[[nodiscard]] std::int64_t quick_ns() noexcept;

}  // namespace rearm::detail
