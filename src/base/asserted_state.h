// AssertedState: the state that a thing is in, kept to be asserted, in checked builds alone.
//
// What this is for. What a protocol forbids (a thing that is in two queues, or in use twice) shows
// long after it was done, if at all. A state that is exchanged at each transition, by the code that
// makes it, stops the process at the transition that cannot be.
//
// It orders nothing: accesses are relaxed, so that ThreadSanitizer still sees what the protocol
// itself forgot to order. Without checks it is empty, and so is change().
//
// Who may call. Whoever owns the thing at that moment.
#pragma once

#include <atomic>

#include "base/check.h"

namespace rearm::detail {

template <class State>
class AssertedState {
 public:
#if REARM_DEBUG_CHECKS
  explicit AssertedState(State initial) noexcept : state_(initial) {}

  // The sentence says what was done wrong if the state is not `from`.
  void change(State from, State to, const char* sentence) noexcept {
    const State found = state_.exchange(to, std::memory_order_relaxed);
    REARM_CHECK(found == from, sentence);
  }

 private:
  // Not an Atomic of the seam (atomic.h): it is part of no protocol.
  std::atomic<State> state_;
#else
  explicit AssertedState(State) noexcept {}
  void change(State, State, const char*) noexcept {}
#endif
};

}  // namespace rearm::detail
