#include "sched/stack_trimmer.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace rearm::detail {

StackTrimmer::Outcome StackTrimmer::step_now(Processors processors, Processor& own) {
  const std::uint64_t periods = periods_.load(kRelaxed);
  if (std::exchange(own.stack_periods_seen, periods) != periods) own.stacks.shrink();
  const std::int64_t now = now_ns();
  const std::int64_t due = due_ns_.load(kRelaxed);
  if (due > now && due != kNever) return Outcome::kNothing;
  if (is_busy_.exchange(true, kAcquire)) return Outcome::kNothing;
  Outcome outcome = Outcome::kSet;
  std::int64_t next = now + kPeriodNs;
  if (due != kNever) {
    outcome = Outcome::kWorked;
    if (!is_in_period_) end_period(processors, own);
    is_in_period_ = trim_until(now + kBatchNs);
    const bool any_lent =
        std::ranges::any_of(processors, [](const auto& p) { return p->stacks.has_lent(); });
    if (is_in_period_) {
      next = now_ns() + kPauseNs;
    } else if (!any_lent && !has_something(own)) {
      next = kNever;
    }
  }
  due_ns_.store(next, kSeqCst);  // Pairs with Scheduler::kernel_wait().
  is_busy_.store(false, kRelease);
  return outcome;
}

void StackTrimmer::end_period(Processors processors, Processor& own) {
  for (const auto& processor : processors) {
    const std::uint64_t switches = processor->switches.load(kRelaxed);
    if (switches != std::exchange(processor->switches_of_last_period, switches)) continue;
    processor.get() == &own ? own.stacks.flush() : processor->stacks.reclaim();
  }
  stacks_.end_period();
  periods_.store(periods_.load(kRelaxed) + 1, kRelaxed);
}

// Whether there is more.
bool StackTrimmer::trim_until(std::int64_t end_ns) {
  while (stacks_.trim_surplus()) {
    if (now_ns() >= end_ns) return true;
  }
  return false;
}

}  // namespace rearm::detail
