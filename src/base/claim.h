// Claim: one waiter that stands in several places, and is called from one of them.
//
// What this is. The seam of select: a wait for the first of several things. A wait word holds one
// waiter, and whoever takes the waiter out has decided why it goes on. For one that stands in
// several places that is too early: the thing that comes second would be lost with it. So whoever
// brings something must first win the claim, by moving it from kOpen to the number of its place;
// whoever loses leaves what it has brought where it was.
//
// Two kinds of places.
//   - A WaitQueue (wait_queue.h), whose lock is held while the claim is won or lost: who loses
//     passes the node over, and its event goes to the next one.
//   - A word that holds one waiter and has no lock, such as a descriptor's direction. There a Place
//     is parked, and whoever takes it out owns it. It is only then that the claim may be looked at,
//     so the loser puts the event back (kReady), and everyone who has taken a Place out reports
//     that it is done with it, because the Claim may be gone afterwards.
//
// How the waiter goes about it.
//   1 word().prepare(); stand in every place. What is found to be there already wins here, too.
//   2 wait_on(word()): somebody wins, a timer, a stop.
//   3 close(): who has won, or kNobody from now on.
//   4 leave every place: WaitQueue::remove() under its lock; of a word, withdraw(), and count those
//     where somebody had taken the Place out.
//   5 must_settle(count): if true, wait_on(settled()), which nothing cancels: those who are counted
//     are between two instructions.
// After that nobody refers to the Claim.
//
// Who may call. win() and arrive(): any thread; the rest: the waiter.
//
// Rejected. A claim in the word that all places share, without the number: the waiter would have to
// ask each place what has happened. Winning before the Place is taken out of its word: it may be
// gone, and the claim with it, between the look at the word and the look at the claim.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/wait_word.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class Claim {
 public:
  static constexpr int kNobody = -1;

  Claim() noexcept : word_(own_word_) {}
  // In a word that stays where it is, for waits that a request to stop reaches.
  explicit Claim(WaitWord& word) noexcept : word_(word) {}
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  // Where the waiter waits for somebody to win.
  [[nodiscard]] WaitWord& word() noexcept { return word_; }

  // Whether the place with this number, from 0, has won. Then word() is to be published into.
  [[nodiscard]] bool win(int place) noexcept {
    int old = kOpen;
    while (!winner_.compare_exchange_strong(old, old == kTrying ? kPassedOver : place, kAcqRel,
                                            kAcquire)) {
      if (old != kOpen && old != kTrying) return false;
    }
    return old == kOpen;
  }

  // --- The waiter, while it looks whether it can have something itself, in a place's lock. ---

  // False: somebody has won. Otherwise nobody does until the one or the other of these.
  [[nodiscard]] bool begin_to_try() noexcept {
    int open = kOpen;
    return winner_.compare_exchange_strong(open, kTrying, kAcqRel, kAcquire);
  }
  // It has it: its own place has won.
  void take(int place) noexcept { winner_.store(place, kRelease); }
  // It has not. False: somebody had something for the waiter meanwhile, and has kept it.
  [[nodiscard]] bool reopen() noexcept { return winner_.exchange(kOpen, kAcqRel) == kTrying; }

  // From now on nobody wins. Returns who has, or kNobody.
  [[nodiscard]] int close() noexcept {
    int winner = kOpen;
    return winner_.compare_exchange_strong(winner, kClosed, kAcqRel, kAcquire) ? kNobody : winner;
  }

  // Somebody has taken the Place `place` out of `source`. Returns whom to wake, or nullptr. After
  // it the caller may touch neither the claim nor the Place.
  [[nodiscard]] Waiter* arrive(int place, WaitWord& source, WakeReason reason) noexcept {
    Waiter* waiter = nullptr;
    if (win(place)) {
      reason_ = reason;
      waiter = word_.publish().waiter;
    } else if (reason == WakeReason::kReady) {
      // Nobody else waits there before the waiter has left all its places.
      static_cast<void>(source.publish());
    }
    // Negative until the waiter has said how many it waits for.
    if (missing_.fetch_sub(1, kAcqRel) == 1) waiter = settled_.publish().waiter;
    if (waiter != nullptr) waiter->set_reason(WakeReason::kReady);
    return waiter;
  }

  // Why the winner's wait ended. After settling; of a Place alone.
  [[nodiscard]] WakeReason reason() const noexcept { return reason_; }

  // `taken`: how many Places were not to be found any more. True: the waiter must wait on
  // settled(), which has been prepared.
  [[nodiscard]] bool must_settle(int taken) noexcept {
    if (taken == 0) return false;
    static_cast<void>(settled_.prepare());
    if (missing_.fetch_add(taken, kAcqRel) + taken != 0) return true;
    static_cast<void>(settled_.withdraw());
    return false;
  }
  [[nodiscard]] WaitWord& settled() noexcept { return settled_; }

 private:
  static constexpr int kOpen = -2;
  static constexpr int kClosed = -3;
  static constexpr int kTrying = -4;
  static constexpr int kPassedOver = -5;

  WaitWord own_word_;
  WaitWord& word_;
  WaitWord settled_;
  Atomic<int> winner_{kOpen};
  Atomic<int> missing_{0};
  WakeReason reason_ = WakeReason::kReady;
};

// Which place of which claim a waiter stands for.
struct Place {
  Claim& claim;
  int number;
  WaitWord& source;

  [[nodiscard]] Waiter* arrive(WakeReason reason) const noexcept {
    return claim.arrive(number, source, reason);
  }
};

}  // namespace rearm::detail
