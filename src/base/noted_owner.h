// NotedOwner: whose a thing is, noted to be asserted, in checked builds alone.
//
// It orders nothing (as AssertedState); without checks it is empty, and so are its calls.
#pragma once

#include <atomic>

#include "base/check.h"

namespace rearm::detail {

class NotedOwner {
 public:
#if REARM_DEBUG_CHECKS
  void note(const void* owner) noexcept { owner_.store(owner, std::memory_order_relaxed); }
  // The sentences say what was done wrong if it is another's, or if it is this one's.
  void forget(const void* owner, const char* sentence) noexcept {
    REARM_CHECK(owner_.exchange(nullptr, std::memory_order_relaxed) == owner, sentence);
  }
  void check_not(const void* owner, const char* sentence) const noexcept {
    REARM_CHECK(owner_.load(std::memory_order_relaxed) != owner, sentence);
  }

 private:
  // Not an Atomic of the seam (atomic.h): it is part of no protocol.
  std::atomic<const void*> owner_{nullptr};
#else
  void note(const void*) noexcept {}
  void forget(const void*, const char*) noexcept {}
  void check_not(const void*, const char*) const noexcept {}
#endif
};

}  // namespace rearm::detail
