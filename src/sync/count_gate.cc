#include "sync/count_gate.h"

#include "sched/worker.h"

namespace rearm::detail {

bool CountGate::is_open() noexcept {
  const std::int64_t word = word_.load(kAcquire);  // Pairs with what made it zero.
  if (word >= kOne) return false;
  if ((word & kOpenedSlowly) != 0) MutexLock lock(line_.mu);
  return true;
}

Ended CountGate::wait(Deadline deadline, const WaitingFor& what, Cancellable cancellable) noexcept {
  if (is_open()) [[likely]]
    return Ended::kGiven;
  if (deadline.is_immediate()) return Ended::kTimedOut;
  LineWait wait(cancellable);
  {
    MutexLock lock(line_.mu);
    std::int64_t old = word_.load(kAcquire);
    do {
      if (old < kOne) return Ended::kGiven;
    } while (!word_.compare_exchange_weak(old, old | kWaiters, kAcqRel, kAcquire));
    if (!wait.begin()) return Ended::kCancelled;
    line_.queue.push_back(wait);
  }
  return wait.wait(line_, deadline, what);
}

bool CountGate::try_case(const CaseTurn& turn) noexcept {
  MutexLock lock(line_.mu);
  if (!turn.claim.begin_to_try()) return true;
  std::int64_t old = word_.load(kAcquire);
  do {
    if (old < kOne) {
      turn.claim.take(turn.place);
      return true;
    }
  } while (!word_.compare_exchange_weak(old, old | kWaiters, kAcqRel, kAcquire));
  turn.stand_in(line_.queue);
  return false;
}

bool CountGate::add(std::int64_t n) noexcept {
  std::int64_t old = word_.load(kRelaxed);
  for (;;) {
    const std::int64_t count = old / kOne + n;
    if (count < 0 || count > kMax) return false;
    if (count == 0 && (old & kWaiters) != 0) {
      if (open_slowly(old)) return true;
    } else if (word_.compare_exchange_weak(old, old + n * kOne, kAcqRel, kRelaxed)) {
      return true;
    }
  }
}

void CountGate::open() noexcept {
  std::int64_t old = word_.load(kAcquire);
  while (old >= kOne) {
    if ((old & kWaiters) != 0) {
      if (open_slowly(old)) return;
    } else if (word_.compare_exchange_weak(old, 0, kAcqRel, kAcquire)) {
      return;
    }
  }
}

void CountGate::close() noexcept {
  std::int64_t old = word_.load(kAcquire);
  while (old < kOne && !word_.compare_exchange_weak(old, old + kOne, kAcqRel, kAcquire)) {
  }
}

bool CountGate::open_slowly(std::int64_t& old) noexcept {
  WaiterList woken;
  {
    MutexLock lock(line_.mu);
    if (!word_.compare_exchange_strong(old, kOpenedSlowly, kAcqRel, kAcquire)) return false;
    while (line_.queue.give(woken)) {
    }
  }
  Worker::wake(woken);
  return true;
}

}  // namespace rearm::detail
