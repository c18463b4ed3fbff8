#include "sched/worker.h"

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "sched/control.h"
#include "sched/scheduler.h"

namespace rearm::detail {
namespace {

using State = Fiber::State;

thread_local constinit Worker* current_worker = nullptr;

// Out of line, like current(): see there.
[[gnu::noinline]] void set_current(Worker* worker) noexcept { current_worker = worker; }

// Out of a queue.
void begin_to_run(Fiber& fiber) noexcept {
  fiber.state.change(State::kQueued, State::kRunning, "a fiber was run that was in no queue");
}

// Out of the word that it was parked on.
void unpark(Fiber& fiber) noexcept {
  fiber.state.change(State::kParked, State::kQueued, "a fiber was woken that was not parked");
}

}  // namespace

Worker::Worker(Scheduler& scheduler, Processor& processor) noexcept
    : scheduler_(scheduler),
      processor_(processor),
      pace_(scheduler.time_slice_ns()),
      first_(&processor.arrivals),
      second_(&processor.queue),
      budget_(scheduler.budget()),
      budget_left_(scheduler.budget()) {}

Worker* Worker::current() noexcept { return current_worker; }

void Worker::run() {
  StackContext::Thread thread;
  thread_ = &thread;
  set_current(this);
  begin_slice();
  while (Fiber* const fiber = find_work()) {
    begin_to_run(*fiber);
    fiber_ = fiber;
    begin(*fiber);
    settle(StackContext::switch_to(context_, fiber->context, thread, nullptr));
  }
  set_current(nullptr);
  thread_ = nullptr;
}

// --- Leaving a fiber. ---

void Worker::settle(void* message) {
  if (message == nullptr) return;
  Fiber& left = *static_cast<Fiber*>(message);
  left.leave.settle(left);
}

void Worker::leave_fiber(Fiber* next, void (*settle_it)(Fiber&)) {
  Fiber& self = *fiber_;
  self.leave.settle = settle_it;
  if (next != nullptr) begin_to_run(*next);
  fiber_ = next;
  StackContext& to = next == nullptr ? context_ : next->context;
  // From here on `this` may belong to another thread.
  settle(StackContext::switch_to(self.context, to, *thread_, &self));
}

WaitWord::Committed Worker::park(WaitWord& word, Waiter& waiter) {
  Fiber& self = *fiber_;
  REARM_DCHECK(self.stop.reaches(waiter),
               "a fiber parks as a waiter that does not lie on its stack, where a request to stop "
               "looks for it");
  self.leave.word = &word;
  self.leave.waiter = &waiter;
  self.leave.committed = WaitWord::Committed::kParked;
  leave_fiber(take_next(), [](Fiber& left) {
    left.state.change(State::kRunning, State::kParked, "a fiber parked that did not run");
    const WaitWord::Committed committed = left.leave.word->commit(*left.leave.waiter);
    // After a successful commit the fiber may already be running elsewhere.
    if (committed == WaitWord::Committed::kParked) return;
    left.leave.committed = committed;
    unpark(left);
    current()->push_ready(left);
  });
  return self.leave.committed;
}

void Worker::yield() {
  Fiber* next = nullptr;
  if (!has_to_look_outside()) [[likely]] {
    next = take_local();
    // Others may be where everybody finds them, and to wait for the end of the slice would be idle.
    if (next == nullptr && take_injected()) next = take_local();
    if (next == nullptr) return;
    begin(*next);
  }
  leave_fiber(next, [](Fiber& left) {
    left.state.change(State::kRunning, State::kQueued, "a fiber yielded that did not run");
    current()->push_back(left);
  });
}

void Worker::give_way() {
  Worker* worker = current();
  if (worker == nullptr || worker->fiber_ == nullptr) return;
  announce_yield();
  worker->yield();
  worker = current();
  worker->budget_left_ = worker->budget_ - 1;  // What it gave way for is the first of its next run.
}

void Worker::spend_here() {
  Worker* const worker = current();
  if (worker != nullptr && worker->spend()) give_way();
}

StackContext::Exit Worker::exit(Fiber& fiber, Fiber* next, void (*settle_it)(Fiber&)) {
  fiber.leave.settle = settle_it;
  if (next != nullptr) {
    next->state.change(State::kParked, State::kRunning, "a joiner goes on that was not parked");
    begin(*next);
  } else {
    next = take_next();
    if (next != nullptr) begin_to_run(*next);
  }
  fiber_ = next;
  return {.to = next == nullptr ? &context_ : &next->context, .thread = thread_, .message = &fiber};
}

// --- Finding work. ---

void Worker::begin_long_run() {
  pace_.begin_exact_run();
  if (scheduler_.poll_turn_is_free()) scheduler_.work_added();
}

bool Worker::read_clock() noexcept {
  const Pace::Reading reading = pace_.read();
  if (reading.is_one_run && fiber_ != nullptr) fiber_->leave.was_long = reading.was_long;
  return reading.slice_is_over;
}

// Besides, what time it is on the clock of deadlines: reckoned from the quick one, which is good to
// a few percent, and so not for longer than a millisecond.
void Worker::begin_slice() noexcept {
  constexpr std::uint64_t kReckonNs = 1'000'000;
  const std::int64_t quick = pace_.begin_slice();
  if (static_cast<std::uint64_t>(quick - quick_ns_) >= kReckonNs) {
    quick_ns_ = quick;
    clock_ns_ = now_ns();
  }
  known_ns_ = clock_ns_ + (quick - quick_ns_);
}

Fiber* Worker::take_next() {
  if (has_to_look_outside()) [[unlikely]]
    return nullptr;
  Fiber* const fiber = take_local();
  if (fiber != nullptr) begin(*fiber);
  return fiber;
}

Fiber* Worker::take_local() {
  if (next_slot_streak_ < kNextSlotStreak) {
    if (Fiber* const fiber = processor_.queue.pop_next()) {
      ++next_slot_streak_;
      return fiber;
    }
  }
  next_slot_streak_ = 0;
  Fiber* fiber = first_->pop();
  if (fiber == nullptr) {
    fiber = second_->pop();
    if (fiber == nullptr) return processor_.queue.pop_next();
    std::swap(first_, second_);
  }
  if (first_->peek(kFewQueued) != nullptr) prefetch_queued();
  return fiber;
}

// With many in the queue, those that will run next were parked a whole round of others ago. While
// this one runs, the processor fetches what waking the next one touches, and the head of the one
// after it.
void Worker::prefetch_queued() noexcept {
#if !REARM_TSAN
  // It would report the look at a fiber that a thief has just taken away. The memory of a fiber is
  // mapped for as long as its runtime lives, and what is read there is not used but to prefetch.
  if (const Fiber* const fiber = first_->peek(0)) fiber->context.prefetch();
  if (const Fiber* const fiber = first_->peek(1)) __builtin_prefetch(fiber);
#endif
}

Fiber* Worker::find_work() {
  if (Control* const control = scheduler_.control()) [[unlikely]] {
    pace_.never_wait();  // So that every fiber that leaves comes here.
    return control->next(processor_);
  }
  for (;;) {
    if (pace_.slice_is_over()) {
      if (Fiber* const fiber = look_outside()) return found(fiber);
    }
    if (Fiber* const fiber = take_local()) return found(fiber);
    if (take_injected()) continue;
    if (expire_timers()) continue;
    if (Fiber* const fiber = steal()) return found(fiber);
    scheduler_.finish_if_all_ended();
    if (scheduler_.finished()) return nullptr;
    if (scheduler_.trim_stacks(processor_)) continue;
    if (scheduler_.processors().size() > 1) pace_.end_runs();
    scheduler_.worker_rests();
    processor_.stacks.lend();
    rest();
    processor_.stacks.take_back();
    scheduler_.worker_runs();
    begin_slice();
  }
}

// A searching worker that has found something passes the search on if there is more to find.
Fiber* Worker::found(Fiber* fiber) {
  if (searching_) {
    searching_ = false;
    scheduler_.idle().done_searching();
    if (scheduler_.has_work()) scheduler_.wake_one();
  }
  return fiber;
}

// A next-slot goes last: the fiber in it shares data with the one that runs before it.
Fiber* Worker::steal() {
  const auto processors = scheduler_.processors();
  const std::size_t count = processors.size();
  for (std::size_t i = 0; i < 2 * count; ++i) {
    Processor& victim = *processors[(victim_ + i) % count];
    if (&victim == &processor_) continue;
    Fiber* const fiber = i < count ? steal_from(victim) : steal_next_from(victim);
    if (fiber == nullptr) continue;
    Processor::count(processor_.steals);
    return fiber;
  }
  ++victim_;  // So that not everybody starts with the same neighbour.
  return nullptr;
}

Fiber* Worker::steal_from(Processor& victim) noexcept {
  Fiber* const fiber = victim.arrivals.steal_into(processor_.arrivals);
  return fiber != nullptr ? fiber : victim.queue.steal_into(processor_.queue);
}

Fiber* Worker::steal_next_from(Processor& victim) noexcept {
  return victim.stands_still() ? victim.queue.steal_next() : nullptr;
}

// Timers, the kernel, injected fibers. Returns what is to go first, if anything was there.
Fiber* Worker::look_outside() {
  const bool arrivals_had_it = first_ == &processor_.arrivals && !processor_.arrivals.is_empty();
  first_ = arrivals_had_it ? &processor_.queue : &processor_.arrivals;
  second_ = arrivals_had_it ? &processor_.arrivals : &processor_.queue;
  WaiterList expired = scheduler_.expire_timers();
  Fiber* first = take_fiber(expired);
  std::size_t pushed = push_arrivals(expired);
  if (scheduler_.take_poll_turn()) {
    WaiterList ready = scheduler_.poller().collect(Deadline::at_ns(0));
    scheduler_.give_poll_turn();
    if (first == nullptr) first = take_fiber(ready);
    pushed += push_arrivals(ready);
  }
  FiberList injected = scheduler_.take_injected();
  if (first == nullptr) first = injected.pop_front();
  for (; Fiber* const fiber = injected.pop_front(); ++pushed) push_arrival(*fiber);
  (void)put_in_queue(scheduler_.take_spilled(kSpilledAfterSlice));
  if (pushed != 0) scheduler_.work_added();
  (void)scheduler_.trim_stacks(processor_);
  begin_slice();
  return first;
}

bool Worker::take_injected() {
  FiberList injected = scheduler_.take_injected();
  const bool any = !injected.empty();
  while (Fiber* const fiber = injected.pop_front()) push_arrival(*fiber);
  return put_in_queue(scheduler_.take_spilled()) || any;
}

bool Worker::put_in_queue(FiberList spilled) {
  const bool any = !spilled.empty();
  while (Fiber* const fiber = spilled.pop_front()) push_back(*fiber);
  return any;
}

bool Worker::expire_timers() {
  WaiterList expired = scheduler_.expire_timers();
  if (expired.empty()) return false;
  enqueue(expired);
  return true;
}

void Worker::rest() {
  if (searching_) {
    searching_ = false;
    scheduler_.idle().done_searching();
  }
  if (scheduler_.take_poll_turn()) {
    WaiterList ready = scheduler_.kernel_wait();
    scheduler_.give_poll_turn();
    enqueue(ready);
    return;
  }
  IdleWorkers& idle = scheduler_.idle();
  idle.enter(sleeper_);
  // The poll turn may have been given back after it was refused, and nobody would wait in the
  // kernel; so look at it again, too.
  if ((scheduler_.has_work() || scheduler_.poll_turn_is_free()) && idle.leave(sleeper_)) return;
  sleeper_.parker.park();
  searching_ = true;
}

// --- Waiters become runnable fibers. ---

void Worker::wake(Waiter& waiter) {
  check_no_lock_held();
  auto& parked = static_cast<Parked&>(waiter);
  if (parked.fiber() != nullptr) {
    unpark(*parked.fiber());
    make_ready(*parked.fiber());
  } else if (parked.thread() != nullptr) {
    parked.thread()->unpark();
  } else if (Waiter* const chosen = parked.place()->arrive(parked.reason())) {
    wake(*chosen);
  }
}

void Worker::wake(WaiterList& waiters) {
  while (Waiter* const waiter = waiters.pop_front()) wake(*waiter);
}

void Worker::make_ready(Fiber& fiber) {
  Worker* const worker = current();
  if (worker != nullptr && &worker->scheduler_ == &fiber.scheduler) {
    worker->push_ready(fiber);
  } else {
    fiber.scheduler.inject(fiber);
  }
}

void Worker::push_ready(Fiber& fiber) {
  if (Fiber* const displaced = processor_.queue.push_next(fiber)) push_back(*displaced);
}

void Worker::push_back(Fiber& fiber) {
  if (!processor_.queue.push(fiber)) {
    // Half of the ring goes where everybody finds it, and the newcomer behind it.
    FiberList overflow;
    while (overflow.size() < RunQueue::kCapacity / 2) {
      Fiber* const oldest = processor_.queue.pop();
      if (oldest == nullptr) break;
      overflow.push_back(*oldest);
    }
    overflow.push_back(fiber);
    scheduler_.spill(overflow);
  }
  scheduler_.work_added();
}

// Behind all that arrived before; where there is no room, behind the queue.
void Worker::push_arrival(Fiber& fiber) {
  if (!processor_.arrivals.push(fiber)) [[unlikely]]
    push_back(fiber);
}

// The first waiter of a batch, if it is a fiber's.
Fiber* Worker::take_fiber(WaiterList& waiters) {
  while (Waiter* const waiter = waiters.pop_front()) {
    auto& parked = static_cast<Parked&>(*waiter);
    if (parked.fiber() != nullptr) {
      unpark(*parked.fiber());
      return parked.fiber();
    }
    wake(parked);
  }
  return nullptr;
}

// Returns how many.
std::size_t Worker::push_arrivals(WaiterList& waiters) {
  std::size_t pushed = 0;
  for (; Fiber* const fiber = take_fiber(waiters); ++pushed) push_arrival(*fiber);
  return pushed;
}

// A batch from the poller or the timers, in order. One fiber alone is for this worker.
void Worker::enqueue(WaiterList& waiters) {
  if (push_arrivals(waiters) > 1) scheduler_.work_added();
}

}  // namespace rearm::detail
