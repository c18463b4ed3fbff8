#include "sched/wait.h"

#include "base/clock.h"
#include "base/sanitizer.h"
#include "base/this_thread.h"
#include "base/thread_parker.h"
#include "sched/fiber.h"
#include "sched/scheduler.h"
#include "sched/timers.h"
#include "sched/worker.h"

namespace rearm::detail {
namespace {

std::optional<WakeReason> outcome(WaitWord::Committed committed, const Waiter& waiter) {
  switch (committed) {
    case WaitWord::Committed::kParked: return waiter.reason();
    case WaitWord::Committed::kConsumed: return WakeReason::kReady;
    case WaitWord::Committed::kDisturbed: break;
  }
  return std::nullopt;
}

[[gnu::noinline]] std::optional<WakeReason> wait_as_thread(WaitWord& word, Deadline deadline) {
  ThreadParker parker;
  Parked waiter(parker);
  const WaitWord::Committed committed = word.commit(waiter);
  if (committed == WaitWord::Committed::kParked && !parker.park(deadline)) {
    if (word.withdraw() != nullptr) return WakeReason::kTimedOut;
    parker.park();  // Somebody has taken the waiter already and is about to unpark.
  }
  return outcome(committed, waiter);
}

// Apart, so that the frame of a wait without a deadline, which is what most fibers park in, has no
// room for a timer: what a park touches, waking touches again, long after it has left the cache.
[[gnu::noinline]] REARM_ON_ITS_STACK std::optional<WakeReason> wait_with_timer(
    Worker& worker, WaitWord& word, Deadline deadline, Cancellable cancellable) {
  Parked waiter(*worker.fiber());
  Timer timer(word);
  Timers& timers = worker.processor().timers;
  timers.start(timer, deadline.ns());
  worker.scheduler().timer_started(deadline.ns());
  // Start first, then look: pairs with request_stop(), which asks and then ends timers.
  if (cancellable == Cancellable::kYes && worker.scheduler().run_state().is_stopping()) {
    static_cast<void>(word.withdraw());  // The park below fails, and the caller looks again.
  }
  const WaitWord::Committed committed = worker.park(word, waiter);
  timers.stop(timer);  // Of the processor where it was started, whoever holds that now.
  return outcome(committed, waiter);
}

REARM_ON_ITS_STACK std::optional<WakeReason> wait_without_timer(Worker& worker, WaitWord& word) {
  Parked waiter(*worker.fiber());
  return outcome(worker.park(word, waiter), waiter);
}

// The fiber that a request to stop is to find: in its run's list.
Fiber* listed_fiber(Cancellable cancellable) noexcept {
  Worker* const worker = Worker::current();
  if (cancellable == Cancellable::kNo || worker == nullptr || worker->fiber() == nullptr) {
    return nullptr;
  }
  StopState& stop = worker->fiber()->stop;
  if (stop.list() == nullptr) worker->processor().stops.add(stop);
  return worker->fiber();
}

}  // namespace

const void* this_waiter() noexcept {
  Worker* const worker = Worker::current();
  if (worker == nullptr || worker->fiber() == nullptr) return this_thread();
  return worker->fiber();
}

StopWord* this_stop_word() noexcept {
  Worker* const worker = Worker::current();
  if (worker == nullptr || worker->fiber() == nullptr) return nullptr;
  return &worker->fiber()->stop.word();
}

OwnWait::OwnWait(Cancellable cancellable) noexcept
    : fiber_(listed_fiber(cancellable)),
      word_(fiber_ == nullptr ? frame_word_ : fiber_->stop.own_word()),
      cancellable_(cancellable) {}

OwnWait::Begun OwnWait::begin() noexcept {
  Fiber* const self = cancellable_ == Cancellable::kYes ? fiber_ : nullptr;
  if (self != nullptr) self->stop.word().announce(word_);
  if (word_.prepare() == WaitWord::Prepared::kReady) return Begun::kReady;
  if (self == nullptr) return Begun::kPark;
  // After prepare(): pairs with both request_stop(), which store first and then withdraw.
  if (!self->stop.word().is_requested() && !self->scheduler.run_state().is_stopping()) {
    return Begun::kPark;
  }
  static_cast<void>(word_.withdraw());
  return Begun::kRefused;
}

std::optional<WakeReason> wait_on(WaitWord& word, Deadline deadline, Cancellable cancellable,
                                  const WaitingFor& what) {
  Worker* const worker = Worker::current();
  if (worker == nullptr || worker->fiber() == nullptr) return wait_as_thread(word, deadline);
  Fiber& self = *worker->fiber();
  self.waits.begin(what, worker->known_ns());
  const auto reason = deadline.is_never() ? wait_without_timer(*worker, word)
                                          : wait_with_timer(*worker, word, deadline, cancellable);
  self.waits.end();
  return reason;
}

}  // namespace rearm::detail
