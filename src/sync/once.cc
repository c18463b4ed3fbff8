#include "rearm/sync/once.h"

#include "base/atomic.h"
#include "base/check.h"
#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/line.h"

namespace rearm {
namespace detail {

struct OnceState {
  OnceState() = default;
  OnceState(const OnceState&) = delete;
  OnceState& operator=(const OnceState&) = delete;
  ~OnceState() {
    MutexLock lock(line.mu);
    REARM_CHECK(who == nullptr && line.queue.empty(), "a Once was destroyed during a call");
  }

  [[nodiscard]] bool begin(const void* where) noexcept {
    for (;;) {
      LineWait wait(Cancellable::kNo);
      {
        MutexLock lock(line.mu);
        if (is_done.load(kRelaxed)) return false;
        REARM_CHECK(who != this_waiter(), "a Once was called from inside of its own function");
        if (who == nullptr) {
          who = this_waiter();
          return true;
        }
        static_cast<void>(wait.begin());
        line.queue.push_back(wait);
      }
      static_cast<void>(
          wait.wait(line, Deadline::never(), {.act = &act::kCallOnce, .where = where}));
    }
  }

  void end(bool done) noexcept {
    WaiterList woken;
    {
      MutexLock lock(line.mu);
      who = nullptr;
      if (done) is_done.store(true, kRelease);
      // If it is not done, the first one does it, or finds somebody faster who does.
      while (line.queue.give(woken) && done) {
      }
    }
    Worker::wake(woken);
  }

  Atomic<bool> is_done{false};
  WaitLine line;
  const void* who REARM_GUARDED_BY(line.mu) = nullptr;
};

}  // namespace detail

namespace act = detail::act;

Once::Once() : state_(std::in_place) {}
Once::~Once() = default;

bool Once::is_done() const noexcept {
  const detail::ChoicesAround choices(act::kCallOnce);
  return state_->is_done.load(detail::kAcquire);
}

bool Once::begin() noexcept {
  const detail::ChoicesAround choices(act::kCallOnce);
  if (state_->is_done.load(detail::kAcquire)) [[likely]]
    return false;
  return state_->begin(__builtin_return_address(0));
}

void Once::end(bool is_done) noexcept {
  const detail::ChoicesAround choices(act::kCallOnce);
  state_->end(is_done);
}

}  // namespace rearm
