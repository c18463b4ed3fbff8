// StopWord: how a request to stop reaches the wait of one waiter, wherever it waits.
//
// What this is. The seam of cancellation. A waiter-to-be announces the word that it is about to
// wait on; whoever wants it to stop sets a flag, looks at what is announced, and withdraws that
// word. Nothing is registered and nothing is taken back, so that a wait costs a comparison and, if
// it is on another word than the last one, a store.
//
//   the waiter                                      whoever asks
//   stop.announce(word); word.prepare()             stop.request(...): flag; look; withdraw
//   stop.is_requested(): word.withdraw(), cancelled wake(waiter), which looks again
//   park
//
// The flag is that of a request of this one alone. Whoever stops a whole run changes the state of
// the run (run_state.h), and merely makes the waiter look again, at both: disturb(). If that comes
// late, when the run is over and the waiter one of the next run, the waiter waits on.
//
// Why none slips through. Announcing, preparing and the look at the flag are sequentially
// consistent, and so are setting the flag, the look at what is announced, and withdrawing: either
// the waiter sees the flag, or the one who asks finds the word, at kParking or with the waiter.
//
// Why what is announced may be old. The wait may be over, and the word somebody else's by now. So
// only a waiter that lies in the asked one's own memory (`Within`, a stack) is taken out of it: as
// long as it is there, the waiter is parked, and the one who takes it out owns it. A stranger who
// has announced himself in the word, and has not parked yet, is disturbed: he looks again, and
// nobody else may begin to wait there before he has.
// REQUIRES, therefore: the waiter lies there (REARM_ON_ITS_STACK); an announced word stays a
// WaitWord for as long as the StopWord is there. The words of descriptors do, and the one that lies
// beside the StopWord; not those in frames.
//
// Shield. From requests of this one alone; it is the waiter's own business: it is woken, finds that
// it is shielded, and waits on.
//
// Rejected. A list of waits with a lock (it was here: 14 ns for each wait, and each of the
// descriptors'). Taking back what was announced: one more sequentially consistent store for each
// wait. A claim on the word, which wakers would have to look at.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/wait_word.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class StopWord {
 public:
  // The memory in which a waiter of the one that is asked can lie.
  struct Within {
    const void* begin;
    const void* end;
  };

  StopWord() noexcept = default;
  StopWord(const StopWord&) = delete;
  StopWord& operator=(const StopWord&) = delete;

  // --- The waiter. ---

  // Before word.prepare().
  void announce(WaitWord& word) noexcept {
    if (announced_.load(kRelaxed) != &word) announced_.store(&word, kSeqCst);
  }

  // After word.prepare(): whether the wait is refused.
  [[nodiscard]] bool is_requested() const noexcept {
    return requested_.load(kSeqCst) && shields_ == 0;
  }

  void shield() noexcept { ++shields_; }
  void unshield() noexcept { --shields_; }

  // --- Whoever asks; any thread. ---

  // These two return the waiter that is to look again, for the caller to wake.
  [[nodiscard]] Waiter* request(const Within& memory) noexcept {
    requested_.store(true, kSeqCst);
    return disturb(memory);
  }
  // After something else was changed that the waiter looks at, in a sequentially consistent way.
  [[nodiscard]] Waiter* disturb(const Within& memory) const noexcept {
    WaitWord* const word = announced_.load(kSeqCst);
    if (word == nullptr) return nullptr;
    Waiter* const waiter = word->withdraw_within(memory.begin, memory.end);
    if (waiter != nullptr) waiter->set_reason(WakeReason::kCancelled);
    return waiter;
  }

  // Whether this one was asked, shielded or not. Sequentially consistent, for one who has stored
  // something that whoever asks looks at after request().
  [[nodiscard]] bool was_requested() const noexcept { return requested_.load(kSeqCst); }

 private:
  Atomic<WaitWord*> announced_{nullptr};
  Atomic<bool> requested_{false};
  std::uint32_t shields_ = 0;  // The waiter's own.
};

}  // namespace rearm::detail
