#include "rearm/sync/channel.h"

#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/channel_core.h"

namespace rearm::detail {

ChannelCore::Tried ChannelCore::try_send(const void* value, WaiterList& woken,
                                         const Claim* self) noexcept {
  if (is_closed_) return Tried::kClosed;
  // A receiver that was passed over looks again by itself; what came meanwhile is the first.
  if (size_ == 0 && !senders_.has_one_without_claim()) {
    if (WaitQueue::Node* const receiver = receivers_.choose(self)) {
      copy(receiver->bytes, value);
      receivers_.give_to(*receiver, woken);
      return Tried::kDone;
    }
  }
  if (size_ == capacity) return Tried::kMustWait;
  push(value);
  return Tried::kDone;
}

ChannelCore::Tried ChannelCore::try_receive(void* value, WaiterList& woken,
                                            const Claim* self) noexcept {
  const bool has_value = size_ != 0;
  if (has_value) pop(value);
  // A sender that was passed over, by a receiver who waits now or by close(), looks again by
  // itself.
  const bool may_choose = !is_closed_ && !receivers_.has_one_without_claim();
  if (WaitQueue::Node* const sender = may_choose ? senders_.choose(self) : nullptr) {
    if (has_value) {
      push(sender->bytes);  // Behind those that came before it.
    } else {
      copy(value, sender->bytes);
    }
    senders_.give_to(*sender, woken);
    return Tried::kDone;
  }
  if (has_value) return Tried::kDone;
  return is_closed_ ? Tried::kClosed : Tried::kMustWait;
}

Result<void> ChannelCore::wait(ChannelWait& wait, WaitQueue ChannelCore::* in, Deadline deadline,
                               const WaitingFor& what) noexcept {
  const Ended ended = wait.wait(mu_, this->*in, deadline, what);
  if (ended == Ended::kGiven && wait.is_closed) return std::unexpected(Errc::kClosed);
  return result_of(ended);
}

Result<void> ChannelCore::send(const void* value, Deadline deadline, const void* where) noexcept {
  ChannelWait self(const_cast<void*>(value));  // Which is only read.
  WaiterList woken;
  Tried tried = Tried::kDone;
  {
    MutexLock lock(mu_);
    tried = try_send(value, woken);
    if (tried == Tried::kMustWait) {
      if (deadline.is_immediate()) return std::unexpected(Errc::kTimedOut);
      if (!self.begin()) return std::unexpected(Errc::kCancelled);
      senders_.push_back(self);
    }
  }
  Worker::wake(woken);
  if (tried == Tried::kClosed) return std::unexpected(Errc::kClosed);
  if (tried == Tried::kDone) return {};
  return wait(self, &ChannelCore::senders_, deadline, {.act = &act::kSend, .where = where});
}

Result<void> ChannelCore::receive(void* value, Deadline deadline, const void* where) noexcept {
  ChannelWait self(value);
  WaiterList woken;
  Tried tried = Tried::kDone;
  {
    MutexLock lock(mu_);
    tried = try_receive(value, woken);
    if (tried == Tried::kMustWait) {
      if (deadline.is_immediate()) return std::unexpected(Errc::kTimedOut);
      if (!self.begin()) return std::unexpected(Errc::kCancelled);
      receivers_.push_back(self);
    }
  }
  Worker::wake(woken);
  if (tried == Tried::kClosed) return std::unexpected(Errc::kClosed);
  if (tried == Tried::kDone) return {};
  return wait(self, &ChannelCore::receivers_, deadline, {.act = &act::kReceive, .where = where});
}

bool ChannelCore::try_case(bool sends, void* bytes, bool& is_closed, WaiterList& woken,
                           const CaseTurn* turn) noexcept {
  MutexLock lock(mu_);
  if (turn != nullptr && !turn->claim.begin_to_try()) return true;
  const Claim* const self = turn == nullptr ? nullptr : &turn->claim;
  const Tried tried = sends ? try_send(bytes, woken, self) : try_receive(bytes, woken, self);
  if (tried == Tried::kMustWait) {
    if (turn != nullptr) turn->stand_in(sends ? senders_ : receivers_);
    return false;
  }
  is_closed = tried == Tried::kClosed;
  if (turn != nullptr) turn->claim.take(turn->place);
  return true;
}

bool ChannelCore::close() noexcept {
  WaiterList woken;
  {
    MutexLock lock(mu_);
    if (is_closed_) return false;
    is_closed_ = true;
    for (WaitQueue* const queue : {&senders_, &receivers_}) {
      while (WaitQueue::Node* const one = queue->choose()) {
        one->is_closed = true;
        queue->give_to(*one, woken);
      }
    }
  }
  Worker::wake(woken);
  return true;
}

void ChannelDeleter::operator()(ChannelCore* core) const noexcept { delete core; }

ChannelPointer make_channel(std::size_t capacity, std::size_t value_bytes) {
  if (capacity > SIZE_MAX / 2 / value_bytes) throw std::bad_alloc();
  return ChannelPointer(new ChannelCore(capacity, value_bytes));
}

Result<void> send(ChannelCore& core, const void* value, Deadline deadline) noexcept {
  const ChoicesAround choices(act::kSend);
  if (has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  return core.send(value, deadline, __builtin_return_address(0));
}

Result<void> receive(ChannelCore& core, void* value, Deadline deadline) noexcept {
  const ChoicesAround choices(act::kReceive);
  if (has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  return core.receive(value, deadline, __builtin_return_address(0));
}

Result<void> close(ChannelCore& core) noexcept {
  const ChoicesAround choices(act::kCloseChannel);
  if (!core.close()) return std::unexpected(Errc::kClosed);
  return {};
}

std::size_t size_of(ChannelCore& core) noexcept { return core.size(); }
std::size_t capacity_of(const ChannelCore& core) noexcept { return core.capacity; }
bool take_left(ChannelCore& core, void* value) noexcept { return core.take_left(value); }

}  // namespace rearm::detail
