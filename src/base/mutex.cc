#include "base/mutex.h"

#include "base/check.h"

namespace rearm::detail {

#if REARM_DEBUG_CHECKS
namespace {

// Reached only through the noinline functions below: a fiber may continue on another thread, and a
// compiler may keep the address of a thread-local across the switch.
thread_local int held_count = 0;

}  // namespace

namespace lock_check {

[[gnu::noinline]] void acquired(bool below_another) noexcept {
  REARM_CHECK(held_count == 0 || (below_another && held_count == 1),
              "a library lock was taken while holding another; see base/mutex.h");
  ++held_count;
}

[[gnu::noinline]] void released() noexcept { --held_count; }

[[gnu::noinline]] void none_held() noexcept {
  REARM_CHECK(held_count == 0, "a library lock was held across a switch, a wait or a wake-up");
}

}  // namespace lock_check

#endif

}  // namespace rearm::detail
