// StackTrimmer: gives the memory of stacks back that nobody has needed for a while.
//
// What this is. At the end of each period the pool's mark halves, down to the number of stacks that
// were taken at once in that period (StackPool); what is beyond it goes. So does what lies in the
// cache of a processor that has run nothing in the period; one that is busy gives half of its cache
// to the pool, whose mark decides. So an hour of steady load has no system call of stacks in it,
// and after a burst at most a tenth of its memory is left when kPeriodNs has passed five times, or
// eight where the burst was small and the caches of busy processors have much of it: half of it
// goes by the end of the second period, and half of the rest in each other. When nothing is left
// that could be given back, no more periods end, and an idle runtime sleeps without a timer.
//
// Who does the work. A worker between two fibers that finds a batch due: one that has nothing else
// to do, or a busy one when it looks outside of its own queue. The worker that waits in the kernel
// waits no longer than until due_ns(). A batch takes kBatchNs and at most one slab more (a quarter
// of a millisecond or so), and the next one begins no earlier than kPauseNs later: so much later
// may a fiber be that becomes runnable meanwhile. Between two runs there is no worker; run() leaves
// nothing behind to be given back, and Runtime::trim() is there for what plain threads do then.
//
// Who may call. Any worker of the scheduler. One at a time does the work, and the others go on.
//
// Rejected. A thread of its own: one more for each runtime. The monitor: with one worker there is
// none. To give back when a stack leaves its cache, as it was: 33 system calls in a row, in the way
// of a fiber, of which most are for nothing because the next fiber comes at once.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>

#include "base/atomic.h"
#include "sched/processor.h"
#include "sched/stacks.h"

namespace rearm::detail {

class StackTrimmer {
 public:
  static constexpr std::int64_t kPeriodNs = 1'000'000'000;
  static constexpr std::int64_t kPauseNs = 1'000'000;
  static constexpr std::int64_t kBatchNs = 200'000;

  using Processors = std::span<const std::unique_ptr<Processor>>;

  enum class Outcome : std::uint8_t {
    kNothing,  // There is nothing to be done now.
    kSet,      // due_ns() has become earlier: whoever waits in the kernel must know.
    kWorked,   // A batch was done. It took some time; look for other work.
  };

  explicit StackTrimmer(Stacks& stacks) noexcept : stacks_(stacks) {}
  StackTrimmer(const StackTrimmer&) = delete;
  StackTrimmer& operator=(const StackTrimmer&) = delete;

  // When the next batch is due; the end of time if there is none.
  [[nodiscard]] std::int64_t due_ns() const noexcept { return due_ns_.load(kSeqCst); }

  // By the worker of `own`, between two fibers.
  [[nodiscard]] Outcome step(Processors processors, Processor& own) {
    if (due_ns_.load(kRelaxed) == kNever && !has_something(own)) return Outcome::kNothing;
    return step_now(processors, own);
  }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  [[nodiscard]] bool has_something(const Processor& own) const noexcept {
    return stacks_.has_warm() || own.stacks.size() > StackCache::kFew;
  }
  Outcome step_now(Processors processors, Processor& own);
  void end_period(Processors processors, Processor& own);
  [[nodiscard]] bool trim_until(std::int64_t end_ns);

  Stacks& stacks_;
  Atomic<std::int64_t> due_ns_{kNever};
  Atomic<bool> is_busy_{false};
  Atomic<std::uint64_t> periods_{0};  // That have ended. Written by who is busy.
  bool is_in_period_ = false;         // There is more to do before the next one ends. Who is busy.
};

}  // namespace rearm::detail
