#include "rearm/sync/mutex.h"

#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/mutex_state.h"

namespace rearm {
namespace detail {

bool MutexState::try_barge(bool was_called) noexcept {
  std::uint32_t old = word.load(kRelaxed);
  while ((old & kLocked) == 0) {
    const std::uint32_t mine = (old | kLocked) & ~(was_called ? kWoken : 0);
    if (word.compare_exchange_weak(old, mine, kAcquire, kRelaxed)) return true;
  }
  return false;
}

// At the end of the line or, for one who was called in vain, at its front.
MutexState::Stood MutexState::stand(LockWait& wait, bool was_called) noexcept {
  const std::uint32_t done = was_called ? kWoken : 0;  // It is not on its way any more.
  bool has_begun = false;
  bool is_refused = false;
  MutexLock lock(line.mu);
  std::uint32_t old = word.load(kRelaxed);
  for (;;) {
    if ((old & kLocked) == 0) {
      if (word.compare_exchange_weak(old, (old | kLocked) & ~done, kAcquire, kRelaxed)) {
        return Stood::kTaken;
      }
      continue;
    }
    if (!has_begun) {
      has_begun = true;
      is_refused = !wait.begin();
    }
    // Acquire and release: with the owner's look at the word in release().
    const std::uint32_t stands = (is_refused ? old : old | kWaiters) & ~done;
    if (word.compare_exchange_weak(old, stands, kAcqRel, kRelaxed)) break;
  }
  if (is_refused) return Stood::kRefused;
  wait.insists_ = was_called;
  if (was_called) {
    line.queue.push_front(wait);
  } else {
    line.queue.push_back(wait);
  }
  return Stood::kInLine;
}

Ended MutexState::come(LockWait& wait, Deadline deadline, const WaitingFor& what) noexcept {
  while (!wait.is_handed_ && !try_barge(/*was_called=*/true)) {
    switch (stand(wait, /*was_called=*/true)) {
      case Stood::kTaken: return Ended::kGiven;
      case Stood::kRefused: return Ended::kCancelled;
      case Stood::kInLine: break;
    }
    if (const Ended ended = wait.wait(line, deadline, what); ended != Ended::kGiven) return ended;
  }
  return Ended::kGiven;
}

Ended MutexState::wait(Deadline deadline, Cancellable cancellable, const void* where) noexcept {
  if (try_barge()) return Ended::kGiven;
  if (deadline.is_immediate()) return Ended::kTimedOut;
  LockWait wait(cancellable);
  switch (stand(wait, /*was_called=*/false)) {
    case Stood::kTaken: return Ended::kGiven;
    case Stood::kRefused: return Ended::kCancelled;
    case Stood::kInLine: break;
  }
  const WaitingFor what{.act = &act::kLock, .where = where};
  const Ended ended = wait.wait(line, deadline, what);
  return ended == Ended::kGiven ? come(wait, deadline, what) : ended;
}

void MutexState::release_and_call(std::uint32_t old) noexcept {
  WaiterList called;
  for (;;) {
    if ((old & kWaiters) == 0 || (old & kWoken) != 0) {
      if (word.compare_exchange_weak(old, old & ~kLocked, kRelease, kRelaxed)) break;
      continue;
    }
    MutexLock lock(line.mu);
    auto* const first = static_cast<LockWait*>(line.queue.first());
    std::uint32_t flags = kLocked;
    bool is_handed = false;
    if (first != nullptr) {
      is_handed = first->insists_;
      first->is_handed_ = is_handed;
      if (!is_handed) flags |= kWoken;
      line.queue.give_to(*first, called);
    }
    if (!line.queue.empty()) flags |= kWaiters;
    // While it is locked, and kWaiters there without kWoken, nobody else changes the word but under
    // the line's lock. Release: with a lock that is handed over goes what it protects.
    word.store(flags, kRelease);
    if (is_handed) break;
    old = flags;
  }
  Worker::wake(called);
}

void MutexState::pass_on(LockWait& wait, WaitQueue& from, WaiterList& out) {
  MutexLock lock(line.mu);
  std::uint32_t old = word.load(kRelaxed);
  for (;;) {
    const bool is_free = (old & kLocked) == 0;
    if (word.compare_exchange_weak(old, old | (is_free ? kLocked : kWaiters), kAcqRel, kRelaxed)) {
      wait.is_handed_ = is_free;
      break;
    }
  }
  if (wait.is_handed_) {
    from.give_to(wait, out);
  } else {
    static_cast<void>(from.remove(wait));
    line.queue.push_back(wait);
  }
}

}  // namespace detail

namespace act = detail::act;

Mutex::Mutex() : state_(std::in_place) {}
Mutex::~Mutex() = default;

void Mutex::lock() noexcept {
  const detail::ChoicesAround choices(act::kLock);
  state_->check_not_owner();
  if (!state_->try_take()) [[unlikely]] {
    static_cast<void>(
        state_->wait(Deadline::never(), detail::Cancellable::kNo, __builtin_return_address(0)));
  }
  state_->note_owner();
}

bool Mutex::try_lock() noexcept {
  const detail::ChoicesAround choices(act::kLock);
  if (!state_->try_take() && !state_->try_barge()) return false;
  state_->note_owner();
  return true;
}

Result<void> Mutex::lock(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kLock);
  state_->check_not_owner();
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  if (!state_->try_take()) [[unlikely]] {
    const detail::Ended ended =
        state_->wait(deadline, detail::Cancellable::kYes, __builtin_return_address(0));
    if (ended != detail::Ended::kGiven) return detail::result_of(ended);
  }
  state_->note_owner();
  return {};
}

void Mutex::unlock() noexcept {
  const detail::ChoicesAround choices(act::kUnlock);
  state_->forget_owner();
  state_->release();
}

}  // namespace rearm
