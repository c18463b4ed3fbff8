#include "sched/control.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "sched/acts.h"
#include "sched/scheduler.h"

namespace rearm::detail {
namespace {

// A sleep for ever has a timer, too (this_fiber::sleep_until): time does not pass for it.
constexpr std::int64_t kForEver = Timers::kNever - 1;

}  // namespace

Control::Control(Scheduler& scheduler, Chooser& chooser, const Options& options)
    : scheduler_(scheduler), chooser_(chooser), options_(options), clock_(options.start_ns) {
  scheduler_.set_control(this);
}

Control::~Control() { scheduler_.set_control(nullptr); }

void Control::begin_run() {
  clock_.set(options_.start_ns);
  fibers_.clear();
  line_.clear();
  ran_ = nullptr;
  stopped_ = false;
  steps_since_stop_ = 0;
}

// --- What the worker asks. ---

Fiber* Control::next(Processor& processor) {
  for (;;) {
    look_around(processor);
    const std::int64_t timer_ns = processor.timers.earliest_ns();
    const bool may_time_pass = timer_ns < kForEver;
    if (line_.empty() && !may_time_pass) {
      scheduler_.finish_if_all_ended();
      if (scheduler_.finished()) return nullptr;
      if (something_comes(processor)) continue;
      if (stopped_) chooser_.cannot_stop();
      chooser_.deadlock();
      stop();
      continue;
    }
    const std::optional<std::size_t> chosen = choose(may_time_pass);
    if (!chosen) {
      stop();
    } else if (*chosen < line_.size()) {
      return take_out(*chosen);
    } else {
      clock_.set(std::max(clock_.now_ns(), timer_ns));
    }
  }
}

std::optional<std::size_t> Control::choose(bool may_time_pass) {
  if (!stopped_) {
    return chooser_.choose(
        {.line = line_, .may_time_pass = may_time_pass, .now_ns = clock_.now_ns()});
  }
  if (++steps_since_stop_ > options_.stop_steps) chooser_.cannot_stop();
  return 0;
}

// Who is passed over goes to the end of the line.
Fiber* Control::take_out(std::size_t chosen) {
  std::ranges::rotate(line_, line_.begin() + static_cast<std::ptrdiff_t>(chosen));
  ran_ = line_.front();
  line_.erase(line_.begin());
  ran_->state = Controlled::State::kRunning;
  return ran_->fiber;
}

void Control::stop() {
  stopped_ = true;
  scheduler_.request_stop();
}

// Everybody who can go on by now comes into the line.
void Control::look_around(Processor& processor) {
  if (scheduler_.poller().stats().descriptors != 0) {
    WaiterList ready = scheduler_.poller().collect(Deadline::at_ns(0));
    Worker::wake(ready);
  }
  WaiterList expired = scheduler_.expire_timers();
  Worker::wake(expired);
  while (scheduler_.has_injected()) {
    FiberList injected = scheduler_.take_injected();
    while (Fiber* const fiber = injected.pop_front()) take_in(*fiber);
  }
  for (;;) {
    FiberList spilled = scheduler_.take_spilled();
    if (spilled.empty()) break;
    while (Fiber* const fiber = spilled.pop_front()) take_in(*fiber);
  }
  while (Fiber* const fiber = processor.queue.pop()) take_in(*fiber);
  while (Fiber* const fiber = processor.queue.pop_next()) take_in(*fiber);
  if (ran_ != nullptr && std::ranges::find(line_, ran_) == line_.end()) {
    ran_->state = Controlled::State::kParked;
    see_wait(*ran_);
  }
  ran_ = nullptr;
}

void Control::take_in(Fiber& fiber) {
  Controlled& self = of(fiber);
  using enum Controlled::State;
  if (self.state == kParked || self.state == kRunning) {
    // A fiber that is still running for us has parked and was woken at once, or did not get to it.
    const bool parked = fiber.leave.committed == WaitWord::Committed::kParked;
    self.reason = parked ? fiber.leave.waiter->reason() : WakeReason::kReady;
    self.state = kWoken;
    see_wait(self);
  } else if (&self == ran_ && self.state != kYielded && !stopped_) {
    line_.insert(line_.begin(), &self);  // It merely gave way.
    return;
  }
  line_.push_back(&self);
}

bool Control::something_comes(Processor& processor) {
  const VirtualClock::Suspended real;
  const std::int64_t start_ns = now_ns();
  const std::int64_t until_ns =
      options_.patience_ns > kForEver - start_ns ? kForEver : start_ns + options_.patience_ns;
  do {
    // There is one worker, so the poll turn is nobody else's.
    WaiterList ready = scheduler_.kernel_wait(until_ns);
    Worker::wake(ready);
    if (scheduler_.has_injected() || processor.has_work()) return true;
  } while (now_ns() < until_ns);
  return false;
}

// --- The hooks. ---

Controlled& Control::of(Fiber& fiber) {
  if (fiber.control_number == 0) {
    fiber.control_number = static_cast<std::uint32_t>(fibers_.size() + 1);
    fibers_.push_back({.number = fiber.control_number,
                       .fiber = &fiber,
                       .id = fiber.id,
                       .name = std::string(fiber.name()),
                       .site = fiber.site});
  }
  return fibers_[fiber.control_number - 1];
}

// Its record stays as it is until it goes on.
void Control::see_wait(Controlled& self) {
  const auto wait = self.fiber->waits.read();
  if (!wait) return;
  self.act = wait->what.act;
  self.object = wait->what.object;
  if (self.act != &act::kJoin) return;
  // The run numbers its fibers anew; one of another runtime has no number in it.
  const auto joined =
      std::ranges::find(fibers_, static_cast<std::uint64_t>(self.object), &Controlled::id);
  self.object = joined == fibers_.end() ? 0 : joined->number;
}

Controlled* Control::running() {
  Worker* const worker = Worker::current();
  Fiber* const fiber = worker == nullptr ? nullptr : worker->fiber();
  if (fiber == nullptr || fiber->control_number == 0) return nullptr;
  return &fiber->scheduler.control()->of(*fiber);
}

void Control::pass(Controlled& self, Controlled::State state) {
  self.state = state;
  Worker::current()->yield();  // Always leaves: see Worker::find_work().
}

void Control::pass_before(const Act& act, const int* object) {
  Controlled* const self = running();
  if (self == nullptr) return;
  self->act = &act;
  self->object = object == nullptr ? 0 : *object;
  pass(*self, Controlled::State::kBefore);
}

void Control::pass_after(const Act& act) {
  Controlled* const self = running();
  if (self == nullptr) return;
  if (std::exchange(self->act, &act) != &act) self->object = 0;
  pass(*self, Controlled::State::kAfter);
  self->act = nullptr;
}

void Control::announce_yield() {
  if (Controlled* const self = running()) self->state = Controlled::State::kYielded;
}

void Control::pass_before_join(const Fiber& fiber) {
  const auto number = static_cast<int>(fiber.control_number);
  pass_before(act::kJoin, &number);
}

void Control::pass_after_join(const Fiber& fiber) {
  Controlled* const self = running();
  if (self == nullptr) return;
  self->act = &act::kJoin;
  self->object = fiber.control_number;
  pass_after(act::kJoin);
}

void Control::spawned(Fiber& fiber) {
  Control* const control = fiber.scheduler.control();
  Controlled* const self = running();
  if (self == nullptr || self->fiber->scheduler.control() != control) return;
  self->act = &act::kSpawn;
  self->object = control->of(fiber).number;
  pass_after(act::kSpawn);
}

bool Control::ended(Fiber& fiber) {
  if (fiber.control_number == 0) return false;
  Control& control = *fiber.scheduler.control();
  Controlled& self = control.of(fiber);
  self.state = Controlled::State::kEnded;
  self.fiber = nullptr;
  control.ran_ = nullptr;
  return true;
}

bool Control::is_stopped(const Fiber& fiber) {
  return fiber.control_number != 0 && fiber.scheduler.control()->stopped_;
}

}  // namespace rearm::detail
