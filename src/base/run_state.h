// RunState: whether a runtime runs, is to stop, or is between two runs.
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
// Across runs. A fiber does not outlive its run. A plain thread's wait may: the end of the run ends
// it by its reason (kCancelled, in Scheduler::run()), however soon the next run begins.
//
// Rejected. A flag in the scheduler and one in the poller: a request to stop that crossed the end
// of a run set the second one for the next run. The run's number in the word and in each wait: 15
// instructions of a request, for what the reason says.
//
// Who may call. begin_run() and end_run(): who runs; the rest: any thread.
#pragma once

#include <cstdint>

#include "base/atomic.h"

namespace rearm::detail {

class RunState {
 public:
  RunState() noexcept = default;
  RunState(const RunState&) = delete;
  RunState& operator=(const RunState&) = delete;

  [[nodiscard]] bool is_stopping() const noexcept { return (word_.load(kSeqCst) & kStop) != 0; }
  // Whether a wait is to end, or may not begin: a stop is asked for, or no run is in progress.
  [[nodiscard]] bool refuses_waits() const noexcept {
    return (word_.load(kSeqCst) & (kStop | kBetween)) != 0;
  }

  // A stop that was asked for before stays.
  void begin_run() noexcept { word_.fetch_and(~kBetween, kSeqCst); }
  void end_run() noexcept { word_.store(kBetween, kSeqCst); }
  // Of the run in progress, or else of the next one.
  void request_stop() noexcept { word_.fetch_or(kStop, kSeqCst); }

 private:
  static constexpr std::uint32_t kBetween = 1;
  static constexpr std::uint32_t kStop = 2;

  Atomic<std::uint32_t> word_{0};
};

}  // namespace rearm::detail
