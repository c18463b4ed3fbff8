#include "rearm/net/fd.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/clock.h"
#include "base/stop_word.h"
#include "net/acts.h"
#include "net/fd_access.h"
#include "net/look.h"
#include "net/no_sigpipe.h"
#include "poller/fd_flags.h"
#include "sched/scheduler.h"
#include "sched/wait.h"
#include "sched/worker.h"

namespace rearm {
namespace detail {

// --- The loop's parts. (Waiting in turns is in turn.cc.) ---

FdAccess::Operation::Operation(const Fd& fd, Direction direction, bool exclusive) noexcept
    : descriptor_(fd.descriptor_), direction_(direction), exclusive_(exclusive) {
  if (descriptor_ == nullptr) return;
  if (VirtualClock::anywhere()) [[unlikely]]
    give_way_before();
  switch (exclusive ? descriptor_->lifetime.enter(fd.generation_, direction)
                    : descriptor_->lifetime.enter(fd.generation_)) {
    case Lifetime::Entered::kClosed: break;
    case Lifetime::Entered::kBusy: error_ = Errc::kBusy; break;
    case Lifetime::Entered::kYes: {
      Worker* const worker = Worker::current();
      if (worker == nullptr) return;
      if (&worker->scheduler().poller() == descriptor_->poller.load(kRelaxed)) [[likely]] {
        is_over_budget_ = worker->spend();
        return;
      }
      error_ = Errc::kWrongRuntime;
      leave();
    }
  }
  descriptor_ = nullptr;
}

void FdAccess::Operation::leave() noexcept {
  Waiter* next = nullptr;
  if (exclusive_ || has_turn_) next = PollerCore::leave(*descriptor_, direction_);
  if (!exclusive_) PollerCore::leave(*descriptor_);
  if (next != nullptr) [[unlikely]]
    Worker::wake(*next);
  if (VirtualClock::anywhere()) [[unlikely]]
    give_way_after();
}

void FdAccess::Operation::give_way(Deadline deadline) {
  is_over_budget_ = false;
  const std::int64_t until_ns = until_ns_of(deadline);
  const bool may_wait = until_ns == Deadline::never().ns() ||
                        (until_ns != Deadline::immediate().ns() && !has_passed(until_ns));
  if (!may_wait) {
    Worker::current()->refuse_way();
    return;
  }
  Worker::give_way();
  looked_at_ns_ = kNotLooked;
}

void FdAccess::Operation::count_again() noexcept {
  Worker* const worker = Worker::current();
  is_over_budget_ = worker != nullptr && worker->spend();
}

void FdAccess::Operation::give_way_before() const {
  choice_before(direction_ == Direction::kRead ? act::kRead : act::kWrite, &descriptor_->fd);
}

void FdAccess::Operation::give_way_after() const {
  choice_after(direction_ == Direction::kRead ? act::kRead : act::kWrite);
}

bool FdAccess::Operation::has_passed(std::int64_t until_ns) noexcept {
  if (until_ns == Deadline::immediate().ns()) return false;
  if (until_ns <= 0) return true;  // An instant that has surely passed costs no look at the clock.
  looked_at_ns_ = now_ns();
  return until_ns <= looked_at_ns_;
}

std::error_code FdAccess::Operation::refusal(const StopWord* stop, Deadline deadline,
                                             Deadline& until) noexcept {
  // After prepare(), sequentially consistent: pairs with set_deadline() and both request_stop(),
  // which store first and then withdraw.
  until = deadline.is_standing()
              ? Deadline::at_ns(descriptor_->standing_deadline_ns(direction_).load(kSeqCst))
              : deadline;
  if (!until.is_never() && until.ns() > 0 && looked_at_ns_ == kNotLooked) looked_at_ns_ = now_ns();
  if (until.ns() <= std::max<std::int64_t>(looked_at_ns_, 0)) return Errc::kTimedOut;
  looked_at_ns_ = kNotLooked;
  if (poller_of(*this).run_state().refuses_waits()) return Errc::kCancelled;
  if (stop != nullptr && stop->is_requested()) return Errc::kCancelled;
  return {};
}

std::error_code FdAccess::Operation::wait_exclusively(Deadline deadline) {
  Descriptor& descriptor = *descriptor_;
  WaitWord& word = descriptor.word(direction_);
  StopWord* const stop = this_stop_word();
  // This wait may take the report of what comes; see the short-read rule.
  if (direction_ == Direction::kRead) descriptor.read_drained = false;
  for (;;) {
    if (stop != nullptr) stop->announce(word);
    switch (word.prepare()) {
      case WaitWord::Prepared::kReady: return {};
      case WaitWord::Prepared::kClosed: return Errc::kClosed;
      case WaitWord::Prepared::kBusy: return Errc::kBusy;
      case WaitWord::Prepared::kPark: break;
    }
    Deadline until;
    std::error_code refused = refusal(stop, deadline, until);
    if (!refused) {
      refused = poller_of(*this).arm(descriptor, descriptor.generation, direction_);
    }
    if (refused) {
      static_cast<void>(word.withdraw());  // Our own kParking, or what has come instead.
      return refused;
    }
    const auto reason = wait_on(word, until, Cancellable::kYes,
                                {.act = direction_ == Direction::kRead ? &act::kRead : &act::kWrite,
                                 .object = descriptor.fd,
                                 .where = __builtin_return_address(0)});
    if (reason) return wake_error(*reason);
  }
}

Runtime& FdAccess::current_runtime() {
  Runtime* const runtime = Runtime::current();
  REARM_CHECK(runtime != nullptr, "a descriptor was opened on a plain thread; open it on a fiber");
  return *runtime;
}

Fd FdAccess::make(Descriptor& descriptor, std::uint8_t traits) {
  raise_no_sigpipe(descriptor.fd);
  Fd fd;
  fd.descriptor_ = &descriptor;
  fd.generation_ = descriptor.generation;
  fd.traits_ = traits;
  return fd;
}

Result<Fd> FdAccess::adopt_own(PollerCore& poller, int number, std::uint8_t traits) {
  const auto descriptor = poller.add(number);
  if (descriptor) return make(**descriptor, traits);
  ::close(number);
  return std::unexpected(descriptor.error());
}

Result<Fd> FdAccess::adopt(Runtime& runtime, int number, std::uint8_t traits) {
  std::uint8_t set = 0;
  const auto descriptor = runtime.scheduler().poller().add_from_outside(number, set);
  if (!descriptor) return std::unexpected(descriptor.error());
  return make(**descriptor, static_cast<std::uint8_t>(traits | (set << kFlagsShift)));
}

Result<Fd> FdAccess::adopt_own(Runtime& runtime, int number, std::uint8_t traits) {
  return adopt_own(runtime.scheduler().poller(), number, traits);
}

// Looks first: a report of what is there may have been taken long ago. A report that comes after
// the look is in the word.
Result<void> FdAccess::wait_until_ready(const Fd& fd, Direction direction, Deadline deadline) {
  Operation operation(fd, direction);
  if (operation.refused()) return operation.error();
  operation.give_way_if_due(deadline);
  if (operation.is_late(deadline)) return std::unexpected(Errc::kTimedOut);
  for (;;) {
    const auto ready = is_ready(operation.fd(), direction, Deadline::immediate());
    if (!ready) return std::unexpected(ready.error());
    if (*ready) return {};
    if (const std::error_code error = operation.wait(deadline)) return std::unexpected(error);
  }
}

Result<void> FdAccess::set_deadline(const Fd& fd, Direction direction, Deadline deadline) {
  WaiterList waiters;
  {
    const Operation operation = Operation::shared(fd, direction);
    if (operation.refused()) return operation.error();
    Descriptor& descriptor = operation.descriptor();
    if (deadline.is_standing()) deadline = Deadline::never();
    // Store first, then withdraw: pairs with Operation::wait().
    descriptor.standing_deadline_ns(direction).store(deadline.ns(), kSeqCst);
    if (Waiter* const waiter = descriptor.withdraw(direction, WakeReason::kReady)) {
      waiters.push_back(*waiter);
    }
    if (descriptor.lifetime.has_line()) {
      descriptor.disturb_line(direction, WakeReason::kReady, waiters);
    }
  }
  // Whoever waits looks at the deadline again. After the operation has left: the fiber that is
  // woken may be the last one, and its runtime be destroyed with all of its descriptors.
  Worker::wake(waiters);
  return {};
}

}  // namespace detail

using detail::FdAccess;

// --- Opening and closing. ---

Result<Fd> Fd::adopt(int fd) noexcept { return adopt(fd, FdAccess::current_runtime()); }

Result<Fd> Fd::adopt(int fd, Runtime& runtime) noexcept {
  int type = 0;
  socklen_t size = sizeof(type);
  const bool is_socket = ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  return FdAccess::adopt(runtime, fd, is_socket ? FdAccess::kIsSocket : std::uint8_t{0});
}

bool Fd::is_open() const noexcept {
  if (descriptor_ == nullptr) return false;
  detail::choice_before(detail::act::kLook, &descriptor_->fd);
  return descriptor_->lifetime.is_open(generation_);
}

int Fd::native_handle() const noexcept {
  const auto operation = FdAccess::Operation::shared(*this, Direction::kRead);
  if (operation.refused()) return -1;
  FdAccess::stop_short_read_rule(operation);
  return operation.fd();
}

Result<void> Fd::close() noexcept {
  if (descriptor_ == nullptr) return std::unexpected(Errc::kClosed);
  const detail::ChoicesAround choices(detail::act::kClose, &descriptor_->fd);
  auto waiters = detail::PollerCore::close(*descriptor_, generation_);
  if (!waiters) return std::unexpected(waiters.error());
  detail::Worker::wake(*waiters);
  return {};
}

Result<int> Fd::release(Flags flags) noexcept {
  if (descriptor_ == nullptr) return std::unexpected(Errc::kClosed);
  const detail::ChoicesAround choices(detail::act::kLetGo, &descriptor_->fd);
  const auto number = detail::PollerCore::remove(*descriptor_, generation_);
  if (number && flags == Flags::kRestore) {
    detail::FdFlags::restore(*number, static_cast<std::uint8_t>(traits_ >> FdAccess::kFlagsShift));
  }
  return number;
}

// --- Waiting and deadlines. ---

Result<void> Fd::wait_readable(Deadline deadline) noexcept {
  return FdAccess::wait_until_ready(*this, Direction::kRead, deadline);
}

Result<void> Fd::wait_writable(Deadline deadline) noexcept {
  return FdAccess::wait_until_ready(*this, Direction::kWrite, deadline);
}

Result<void> Fd::set_deadline(Deadline deadline) noexcept {
  if (const auto set = set_read_deadline(deadline); !set) return set;
  return set_write_deadline(deadline);
}

Result<void> Fd::set_read_deadline(Deadline deadline) noexcept {
  return FdAccess::set_deadline(*this, Direction::kRead, deadline);
}

Result<void> Fd::set_write_deadline(Deadline deadline) noexcept {
  return FdAccess::set_deadline(*this, Direction::kWrite, deadline);
}

}  // namespace rearm
