// WaitWord: where at most one waiter and at most one event meet, without a lock.
//
// What this is. One machine word that carries readiness from whoever knows of it to the one who
// waits for it. Each direction of a descriptor is one; so is the end of a fiber, and a sleep.
//
//   value     meaning                                 who leaves it -> to what
//   kIdle     nothing known, nobody waiting           waiter -> kParking    publisher -> kReady
//   kReady    an event came and was not consumed      waiter -> kIdle
//   kParking  decided to wait, still on its own       committer -> Waiter*  publisher -> kReady
//             stack                                   withdrawer -> kIdle
//   Waiter*   parked                                  publisher, taker and withdrawer -> kIdle; who
//                                                     made the transition owns the waiter
//   kClosed   over for good                           nobody, until reset
//   any       (close)                                 closer -> kClosed, and owns the waiter if
//                                                     there was one
//
// Invariants. Whoever moves the word away from Waiter* owns the waiter, and nobody else does: hence
// "woken exactly once" (G2). An event that arrives anywhere between prepare and commit turns
// kParking into kReady or kIdle and makes the commit fail: hence "no lost wake-up" (G5).
//
// Slack. kReady may be stale: the waiter tries again, finds nothing, and prepares anew. The word
// must never be left at Waiter* by a publisher.
//
// Order. prepare(), withdraw() and close() are sequentially consistent, because they take part in
// a store-load handshake with flags and deadlines outside the word: one side moves the word and
// then reads the flag, the other writes the flag and then looks at the word, so at least one of
// them sees the other. Everything else is acquire and release: what the publisher did before
// happens before what the waiter does after.
//
// Rejected. A closed flag beside the word, checked after prepare (Go's pollDesc): it needs the
// handshake above on every wait, where a terminal value of the word needs nothing. Leaving kReady
// behind when a parked waiter is woken (also Go): the waiter would pay a second atomic operation to
// consume what it has just been handed.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/check.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class WaitWord {
 public:
  enum class Prepared : std::uint8_t { kPark, kReady, kBusy, kClosed };
  // kConsumed: an event had come, and has been consumed. kDisturbed: the wait was withdrawn or the
  // word closed. In both cases the waiter was not taken.
  enum class Committed : std::uint8_t { kParked, kConsumed, kDisturbed };
  // What publish() or close() found: the waiter it took, if any, and whether the word had been at
  // kReady or kClosed before.
  struct Found {
    Waiter* waiter = nullptr;
    bool ready = false;
    bool closed = false;
  };

  WaitWord() noexcept = default;
  WaitWord(const WaitWord&) = delete;
  WaitWord& operator=(const WaitWord&) = delete;

  // The waiter-to-be announces that it is about to wait, or consumes an event that is there.
  [[nodiscard]] Prepared prepare() noexcept {
    std::uintptr_t old = word_.load(kRelaxed);  // Only a guess; the exchange checks it.
    for (;;) {
      if (old == kIdle) {
        if (word_.compare_exchange_weak(old, kParking, kSeqCst, kRelaxed)) return Prepared::kPark;
      } else if (old == kReady) {
        // Acquire: pairs with the release in publish(); more than that for is_ready().
        if (word_.compare_exchange_weak(old, kIdle, kSeqCst, kRelaxed)) return Prepared::kReady;
      } else {
        return old == kClosed ? Prepared::kClosed : Prepared::kBusy;
      }
    }
  }

  // After prepare() returned kPark and the waiter has left its stack.
  [[nodiscard]] Committed commit(Waiter& waiter) noexcept {
    std::uintptr_t old = kParking;
    // Release: hands the waiter's memory, and its whole stack, to whoever takes it out. Acquire on
    // failure: pairs with the release in publish(), withdraw() and close().
    if (word_.compare_exchange_strong(old, reinterpret_cast<std::uintptr_t>(&waiter), kRelease,
                                      kAcquire)) {
      return Committed::kParked;
    }
    REARM_DCHECK(old == kIdle || old == kReady || old == kClosed,
                 "a second waiter was parked on one direction");
    if (old == kReady && word_.compare_exchange_strong(old, kIdle, kSeqCst, kRelaxed)) {
      return Committed::kConsumed;
    }
    return Committed::kDisturbed;
  }

  // An event came.
  [[nodiscard]] Found publish() noexcept {
    std::uintptr_t old = word_.load(kRelaxed);  // Only a guess; the exchange checks it.
    for (;;) {
      if (old == kClosed) return {.closed = true};
      const bool parked = is_waiter(old);
      // Acquire: pairs with the release in commit(), to own the waiter.
      if (word_.compare_exchange_weak(old, parked ? kIdle : kReady, kAcqRel, kRelaxed)) {
        if (parked) return {.waiter = as_waiter(old)};
        return {.ready = old == kReady};
      }
    }
  }

  // Takes the waiter out if one is parked; changes nothing otherwise. For an event that the one who
  // takes will bring about only afterwards.
  [[nodiscard]] Waiter* take() noexcept {
    std::uintptr_t old = word_.load(kRelaxed);  // Only a guess; the exchange checks it.
    // Acquire: pairs with the release in commit(), to own the waiter.
    if (!is_waiter(old) || !word_.compare_exchange_strong(old, kIdle, kAcqRel, kRelaxed)) {
      return nullptr;
    }
    return as_waiter(old);
  }

  // Whether an event is there that was not consumed: then the next publish() would add nothing that
  // a system call made after the consumption does not find out by itself. Sequentially consistent:
  // pairs with the consumption in prepare() and commit(), so that what was stored before this call
  // (also sequentially consistent) is seen by whoever consumes the event after it.
  [[nodiscard]] bool is_ready() const noexcept { return word_.load(kSeqCst) == kReady; }

  // Whether somebody waits here, or has decided to. Sequentially consistent: of two who prepare on
  // each other's words and then look at their own, one sees the other.
  [[nodiscard]] bool is_awaited() const noexcept {
    const std::uintptr_t word = word_.load(kSeqCst);
    return word == kParking || is_waiter(word);
  }

  // Ends a wait that is under way without leaving a trace for the next one: a deadline,
  // a cancellation, a changed deadline. Returns the waiter if one was parked.
  [[nodiscard]] Waiter* withdraw() noexcept {
    std::uintptr_t old = word_.load(kSeqCst);  // The load is the handshake's when nothing waits.
    for (;;) {
      if (old == kIdle || old == kReady || old == kClosed) return nullptr;
      if (word_.compare_exchange_weak(old, kIdle, kSeqCst, kSeqCst)) {
        return is_waiter(old) ? as_waiter(old) : nullptr;
      }
    }
  }

  // The same, for one who does not know whether the wait is still the one that is meant: a waiter
  // that is parked is taken out only if it lies in this memory. One that has not parked yet looks
  // again, whoever it is.
  [[nodiscard]] Waiter* withdraw_within(const void* begin, const void* end) noexcept {
    const auto from = reinterpret_cast<std::uintptr_t>(begin);
    const auto to = reinterpret_cast<std::uintptr_t>(end);
    std::uintptr_t old = word_.load(kSeqCst);
    for (;;) {
      const bool is_meant = old == kParking || (is_waiter(old) && old >= from && old < to);
      if (!is_meant) return nullptr;
      if (word_.compare_exchange_weak(old, kIdle, kSeqCst, kSeqCst)) {
        return is_waiter(old) ? as_waiter(old) : nullptr;
      }
    }
  }

  // Nothing is published or parked from here on.
  [[nodiscard]] Found close() noexcept {
    const std::uintptr_t old = word_.exchange(kClosed, kSeqCst);
    if (is_waiter(old)) return {.waiter = as_waiter(old)};
    return {.ready = old == kReady, .closed = old == kClosed};
  }

  // Whether close() has been called; once true, it stays true until reset().
  [[nodiscard]] bool is_closed() const noexcept {
    return word_.load(kAcquire) == kClosed;  // Pairs with close().
  }

  // Asks the processor for the memory of the waiter, if there is one. Only a hint, and no access.
  void prefetch_waiter() const noexcept {
    __builtin_prefetch(reinterpret_cast<const void*>(word_.load(kRelaxed)));
  }

  // Undoes the consumption of an event that will not come again. REQUIRES: nobody else uses the
  // word.
  void put_back() noexcept { word_.store(kReady, kRelease); }

  // For a new life. REQUIRES: nobody waits, and nobody else uses the word but a late publisher,
  // whose kReady is then merely stale.
  void reset() noexcept { word_.store(kIdle, kRelease); }

 private:
  static constexpr std::uintptr_t kIdle = 0;
  static constexpr std::uintptr_t kReady = 1;
  static constexpr std::uintptr_t kParking = 2;
  static constexpr std::uintptr_t kClosed = 3;
  static_assert(alignof(Waiter) > kClosed, "a waiter's address must not collide with a state");

  static bool is_waiter(std::uintptr_t word) noexcept { return word > kClosed; }
  static Waiter* as_waiter(std::uintptr_t word) noexcept { return reinterpret_cast<Waiter*>(word); }

  Atomic<std::uintptr_t> word_{kIdle};
};

}  // namespace rearm::detail
