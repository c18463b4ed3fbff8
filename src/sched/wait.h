// Waiting: how a fiber or a plain thread waits for a wait word, with a deadline.
#pragma once

#include <cstdint>
#include <optional>

#include "base/stop_word.h"
#include "base/wait_record.h"
#include "base/wait_word.h"
#include "rearm/deadline.h"
#include "sched/acts.h"

namespace rearm::detail {

class Fiber;

// Parks the calling fiber, or blocks the calling thread, until somebody publishes into, withdraws
// or closes `word`, or until the deadline (which must not be standing) has passed. REQUIRES:
// word.prepare() has returned kPark.
// A cancellable wait, unlike a join, ends when the runtime is asked to stop. `what` is for those
// who look at a fiber that waits (Fiber::waits).
// Returns why the wait ended, or nothing if it was withdrawn before it had begun (a changed
// deadline, one that passed just now): the caller looks again, and prepares again.
enum class Cancellable : bool { kNo, kYes };
[[nodiscard]] std::optional<WakeReason> wait_on(WaitWord& word, Deadline deadline,
                                                Cancellable cancellable,
                                                const WaitingFor& what = {.act = &act::kWait});

// Who runs here: the fiber, or else the thread. For those who note the owner of a thing.
[[nodiscard]] const void* this_waiter() noexcept;
// For those who note it only where it is checked.
[[nodiscard]] inline const void* noted_waiter() noexcept {
#if REARM_DEBUG_CHECKS
  return this_waiter();
#else
  return nullptr;
#endif
}

// --- Waits that a request to stop reaches (base/stop_word.h). ---

// The calling fiber's own, wherever it goes on; null on a plain thread, which nobody can ask.
[[nodiscard]] StopWord* this_stop_word() noexcept;

// A wait for what has no word of its own. A resource in the waiter's frame; one at a time.
class OwnWait {
 public:
  enum class Begun : std::uint8_t { kPark, kReady, kRefused };

  explicit OwnWait(Cancellable cancellable) noexcept;
  OwnWait(const OwnWait&) = delete;
  OwnWait& operator=(const OwnWait&) = delete;

  [[nodiscard]] WaitWord& word() noexcept { return word_; }

  // From here on a request to stop ends the wait no more than anything else that is withdrawn.
  void insist() noexcept { cancellable_ = Cancellable::kNo; }

  // Once before the first wait(), and again after each that says nothing. kReady: what was waited
  // for came in between. kRefused: cancelled, the word is as it was.
  [[nodiscard]] Begun begin() noexcept;
  // Never kCancelled: nothing, as for one that was withdrawn. Only begin() knows whether the stop
  // that has ended the wait is meant for this fiber and for this run.
  [[nodiscard]] std::optional<WakeReason> wait(Deadline deadline, const WaitingFor& what) {
    const auto reason = wait_on(word_, deadline, cancellable_, what);
    return reason == WakeReason::kCancelled ? std::nullopt : reason;
  }

 private:
  WaitWord frame_word_;  // Of a plain thread, and of a wait that nothing cancels.
  Fiber* const fiber_;   // Null for these two.
  WaitWord& word_;
  Cancellable cancellable_;
};

}  // namespace rearm::detail
