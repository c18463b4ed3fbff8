#include "rearm/sync/barrier.h"

#include "base/check.h"
#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/line.h"

namespace rearm {
namespace detail {

struct BarrierState {
  explicit BarrierState(std::int64_t number) : expected(number) {}
  BarrierState(const BarrierState&) = delete;
  BarrierState& operator=(const BarrierState&) = delete;
  ~BarrierState() {
    MutexLock lock(line.mu);
    REARM_CHECK(line.queue.empty(), "a Barrier was destroyed that is waited at");
  }

  // Whether all are there: then they go.
  [[nodiscard]] bool let_go(WaiterList& woken) noexcept REARM_REQUIRES(line.mu) {
    if (arrived < expected) return false;
    arrived = 0;
    ++turn;
    while (line.queue.give(woken)) {
    }
    return true;
  }

  [[nodiscard]] Ended arrive(Deadline deadline, const void* where) noexcept {
    LineWait wait(Cancellable::kYes);
    std::uint64_t came = 0;
    WaiterList woken;
    bool is_last = false;
    {
      MutexLock lock(line.mu);
      REARM_CHECK(expected > 0, "a Barrier was waited at that expects nobody any more");
      came = turn;
      ++arrived;
      is_last = let_go(woken);
      if (!is_last) {
        if (deadline.is_immediate() || !wait.begin()) {
          --arrived;
          return deadline.is_immediate() ? Ended::kTimedOut : Ended::kCancelled;
        }
        line.queue.push_back(wait);
      }
    }
    Worker::wake(woken);
    if (is_last) return Ended::kGiven;
    const Ended ended = wait.wait(line, deadline, {.act = &act::kWaitForOthers, .where = where});
    if (ended != Ended::kGiven) {
      MutexLock lock(line.mu);
      // The others may have gone since it left the line: it was among those who had come.
      if (turn != came) return Ended::kGiven;
      --arrived;
    }
    return ended;
  }

  void drop() noexcept {
    WaiterList woken;
    {
      MutexLock lock(line.mu);
      REARM_CHECK(expected > 0, "a Barrier was dropped more often than it expects anybody");
      --expected;
      static_cast<void>(let_go(woken));
    }
    Worker::wake(woken);
  }

  WaitLine line;
  std::int64_t expected REARM_GUARDED_BY(line.mu);
  std::int64_t arrived REARM_GUARDED_BY(line.mu) = 0;
  std::uint64_t turn REARM_GUARDED_BY(line.mu) = 0;
};

}  // namespace detail

namespace act = detail::act;

Barrier::Barrier(std::int64_t expected) : state_(std::in_place, expected) {
  REARM_CHECK(expected >= 1, "a Barrier must expect somebody");
}
Barrier::~Barrier() = default;

Result<void> Barrier::arrive_and_wait(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kWaitForOthers);
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  return detail::result_of(state_->arrive(deadline, __builtin_return_address(0)));
}

void Barrier::arrive_and_drop() noexcept {
  const detail::ChoicesAround choices(act::kCount);
  state_->drop();
}

}  // namespace rearm
