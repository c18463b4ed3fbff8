// The word of a semaphore is twice the number of permits, plus one while somebody may stand in line
// (kWaiters; then there are no permits, because each is given to the first one there).
//
// Lifetime. The last that release() touches is an exchange of the word, where nobody stands in
// line, or the line's lock, where somebody does; who was given a permit goes on after that. So
// whoever was given one may destroy the semaphore. For the same reason one who gives up takes
// kWaiters away if it was the last: otherwise a permit could be seen before the lock is gone.
#include "rearm/sync/semaphore.h"

#include "base/atomic.h"
#include "base/check.h"
#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/line.h"

namespace rearm {
namespace detail {

struct SemaphoreState {
  static constexpr std::int64_t kWaiters = 1;
  static constexpr std::int64_t kPermit = 2;

  explicit SemaphoreState(std::int64_t permits) : word(permits * kPermit) {}
  SemaphoreState(const SemaphoreState&) = delete;
  SemaphoreState& operator=(const SemaphoreState&) = delete;
  ~SemaphoreState() {
    MutexLock lock(line.mu);  // One who gave the last permit may be inside still.
    REARM_CHECK((word.load(kAcquire) & kWaiters) == 0,
                "a Semaphore was destroyed that is waited on");
  }

  [[nodiscard]] bool try_take() noexcept {
    std::int64_t old = word.load(kRelaxed);
    while (old >= kPermit) {
      if (word.compare_exchange_weak(old, old - kPermit, kAcquire, kRelaxed)) return true;
    }
    return false;
  }

  [[nodiscard]] Ended wait(Deadline deadline, const void* where) noexcept {
    LineWait wait(Cancellable::kYes);
    {
      MutexLock lock(line.mu);
      std::int64_t old = word.load(kRelaxed);
      for (;;) {
        if (old >= kPermit) {
          if (word.compare_exchange_weak(old, old - kPermit, kAcquire, kRelaxed)) {
            return Ended::kGiven;
          }
        } else if (word.compare_exchange_weak(old, kWaiters, kRelaxed, kRelaxed)) {
          break;
        }
      }
      if (!wait.begin()) {
        forget_waiters();
        return Ended::kCancelled;
      }
      line.queue.push_back(wait);
    }
    const Ended ended = wait.wait(line, deadline, {.act = &act::kAcquire, .where = where});
    if (ended != Ended::kGiven) {
      MutexLock lock(line.mu);
      forget_waiters();
    }
    return ended;
  }

  void forget_waiters() noexcept REARM_REQUIRES(line.mu) {
    // With kWaiters in it, nobody else changes the word but under the lock.
    if (line.queue.empty() && word.load(kRelaxed) == kWaiters) word.store(0, kRelaxed);
  }

  void give(std::int64_t permits) noexcept {
    std::int64_t old = word.load(kRelaxed);
    while ((old & kWaiters) == 0) {
      REARM_CHECK(permits <= Semaphore::max() - old / kPermit,
                  "a Semaphore was released more often than it can count");
      // Release: what was done before is seen by whoever takes the permit.
      if (word.compare_exchange_weak(old, old + permits * kPermit, kRelease, kRelaxed)) return;
    }
    WaiterList woken;
    {
      MutexLock lock(line.mu);
      while (permits > 0 && line.queue.give(woken)) --permits;
      // Those who wait, and no permits; or nobody, and what is left.
      if (line.queue.empty()) {
        if (word.load(kRelaxed) == kWaiters) word.store(0, kRelaxed);
        if (permits != 0) static_cast<void>(word.fetch_add(permits * kPermit, kRelease));
      }
    }
    Worker::wake(woken);
  }

  Atomic<std::int64_t> word;
  WaitLine line;
};

}  // namespace detail

namespace act = detail::act;

Semaphore::Semaphore(std::int64_t permits) : state_(std::in_place, permits) {
  REARM_CHECK(permits >= 0 && permits <= max(), "a Semaphore cannot begin with so many permits");
}
Semaphore::~Semaphore() = default;

Result<void> Semaphore::acquire(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kAcquire);
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  if (state_->try_take()) [[likely]]
    return {};
  if (deadline.is_immediate()) return std::unexpected(Errc::kTimedOut);
  return detail::result_of(state_->wait(deadline, __builtin_return_address(0)));
}

bool Semaphore::try_acquire() noexcept {
  const detail::ChoicesAround choices(act::kAcquire);
  return state_->try_take();
}

void Semaphore::release(std::int64_t permits) noexcept {
  REARM_CHECK(permits >= 0 && permits <= max(), "a Semaphore cannot be released so many times");
  const detail::ChoicesAround choices(act::kRelease);
  state_->give(permits);
}

}  // namespace rearm
