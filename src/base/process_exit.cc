#include "base/process_exit.h"

#include <atomic>
#include <cstdlib>

namespace rearm::detail {
namespace {

// Not an Atomic of the seam (atomic.h): it is part of no protocol.
constinit std::atomic<bool> begun{false};

}  // namespace

void ProcessExit::watch() noexcept {
  // Without memory for the registration, an exit is not noticed: nothing else suffers.
  static_cast<void>(std::atexit([] { begun.store(true, std::memory_order_relaxed); }));
}

bool ProcessExit::has_begun() noexcept { return begun.load(std::memory_order_relaxed); }

}  // namespace rearm::detail
