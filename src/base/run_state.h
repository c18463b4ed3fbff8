// RunState: whether a runtime runs, is to stop, or is between two runs; and how many have ended.
//
// What this is. One word, so that each change is one instant, and a request to stop cannot be half
// in one run and half in the next. Who is about to wait looks at it; who ends waits does so after a
// change, and merely makes the waiters look again: a wait is refused or cancelled because of what
// the word says, never because somebody came by.
//
//   state       who waits is refused    leaves it
//   new         no                      begin_run() -> running
//   running     no                      end_run() -> between
//   between     yes                     begin_run() -> running
//   + stop      yes                     end_run(); a stop before a run is that run's
//
// Order. Everything is sequentially consistent: a waiter prepares its word and then looks here; the
// other side changes the state here and then looks at the words (wait_word.h). One of them sees the
// other.
//
// Rejected. A flag in the scheduler and one in the poller: a request to stop that crossed the end
// of a run set the second one for the next run.
//
// Who may call. begin_run() and end_run(): who runs; the rest: any thread.
#pragma once

#include <cstdint>

#include "base/atomic.h"

namespace rearm::detail {

class RunState {
 public:
  // The state at one instant.
  class Snapshot {
   public:
    [[nodiscard]] bool is_stopping() const noexcept { return (word_ & kStop) != 0; }
    // Whether a wait that saw `since` when it began is to end, or may not begin: a stop is asked
    // for, no run is in progress, or a run has ended meanwhile.
    [[nodiscard]] bool refuses_waits(Snapshot since) const noexcept {
      return (word_ & (kStop | kBetween)) != 0 || (word_ ^ since.word_) >= kOneRun;
    }
    [[nodiscard]] std::uint64_t runs_ended() const noexcept { return word_ / kOneRun; }

   private:
    friend class RunState;
    explicit Snapshot(std::uint64_t word) noexcept : word_(word) {}
    std::uint64_t word_;
  };

  RunState() noexcept = default;
  RunState(const RunState&) = delete;
  RunState& operator=(const RunState&) = delete;

  [[nodiscard]] Snapshot now() const noexcept { return Snapshot(word_.load(kSeqCst)); }
  [[nodiscard]] bool is_stopping() const noexcept { return now().is_stopping(); }

  // A stop that was asked for before stays.
  void begin_run() noexcept {
    std::uint64_t old = word_.load(kRelaxed);  // Only a guess; the exchange checks it.
    while (!word_.compare_exchange_weak(old, (old & ~kBetween) | kRunning, kSeqCst, kRelaxed)) {
    }
  }
  void end_run() noexcept {
    std::uint64_t old = word_.load(kRelaxed);  // Only a guess; the exchange checks it.
    while (!word_.compare_exchange_weak(old, (old & ~kFlags) + kOneRun + kBetween, kSeqCst,
                                        kRelaxed)) {
    }
  }
  // Of the run in progress, or else of the next one.
  void request_stop() noexcept { word_.fetch_or(kStop, kSeqCst); }

 private:
  static constexpr std::uint64_t kRunning = 1;
  static constexpr std::uint64_t kBetween = 2;
  static constexpr std::uint64_t kStop = 4;
  static constexpr std::uint64_t kFlags = kRunning | kBetween | kStop;
  static constexpr std::uint64_t kOneRun = 8;

  Atomic<std::uint64_t> word_{0};
};

}  // namespace rearm::detail
