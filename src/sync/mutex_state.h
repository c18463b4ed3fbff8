// MutexState: the word and the line of a Mutex, and how the lock changes hands.
//
//   bit        meaning                                    who changes it
//   kLocked    somebody holds the lock                    who takes it; its owner
//   kWaiters   somebody may stand in line                 under the line's lock
//   kWoken     one of them was called, and is on its way  the owner, as it calls; who was called
//
// unlock() is one exchange as long as nobody stands in line, or the one who was called is still on
// its way: there is never more than one, so that no herd runs. Otherwise the owner calls the first
// in line, and frees the lock; unless the first one insists, because it has been called in vain
// before: then it is handed the lock, and kLocked stays.
//
// Lifetime. The exchange that frees the lock is the last that its owner touches of it: whoever
// takes it then may destroy it. So the owner calls first and frees the lock afterwards; if the one
// who was called is too fast and stands in line again, the owner begins anew.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/check.h"
#include "base/noted_owner.h"
#include "rearm/deadline.h"
#include "sync/line.h"

namespace rearm::detail {

// A resource in the frame of one who waits for a Mutex, or for a notice and then for the Mutex.
class LockWait : public LineWait {
 public:
  using LineWait::LineWait;

 private:
  friend struct MutexState;
  friend struct ConditionState;
  // Guarded by the lock of the line where it stands.
  bool insists_ = false;
  bool is_handed_ = false;    // It was given the lock itself, not a call.
  bool is_notified_ = false;  // By a ConditionVariable.
};

struct MutexState {
  MutexState() = default;
  MutexState(const MutexState&) = delete;
  MutexState& operator=(const MutexState&) = delete;
  ~MutexState() {
    MutexLock lock(line.mu);  // One who called another may be inside still.
    REARM_CHECK(word.load(kAcquire) == 0, "a Mutex was destroyed that is locked or waited for");
  }

  [[nodiscard]] bool try_take() noexcept {
    std::uint32_t free = 0;
    return word.compare_exchange_strong(free, kLocked, kAcquire, kRelaxed);
  }
  // Takes it if it is free, although others may stand in line.
  [[nodiscard]] bool try_barge(bool was_called = false) noexcept;
  [[nodiscard]] Ended wait(Deadline deadline, Cancellable cancellable, const void* where) noexcept;
  void release() noexcept {
    std::uint32_t mine = kLocked;
    if (!word.compare_exchange_strong(mine, 0, kRelease, kRelaxed)) release_and_call(mine);
  }

  // Gives `wait`, which stands in the queue `from` under a lock above the line's, the lock or a
  // place in line.
  void pass_on(LockWait& wait, WaitQueue& from, WaiterList& out) REARM_EXCLUDES(line.mu);
  // What remains to be done by one who was given something: a call, or the lock.
  [[nodiscard]] Ended come(LockWait& wait, Deadline deadline, const WaitingFor& what) noexcept;

  void note_owner() noexcept { owner.note(noted_waiter()); }
  void forget_owner() noexcept {
    owner.forget(noted_waiter(), "a Mutex was unlocked by one who does not hold it");
  }
  void check_not_owner() const noexcept {
    owner.check_not(noted_waiter(), "a Mutex was locked by one who holds it");
  }

  static constexpr std::uint32_t kLocked = 1;
  static constexpr std::uint32_t kWaiters = 2;
  static constexpr std::uint32_t kWoken = 4;

  Atomic<std::uint32_t> word{0};
  WaitLine line{Nesting::kBelowAnother};  // A ConditionVariable's is above it.
  [[no_unique_address]] NotedOwner owner;

 private:
  enum class Stood : std::uint8_t { kTaken, kInLine, kRefused };
  [[nodiscard]] Stood stand(LockWait& wait, bool was_called) noexcept;
  void release_and_call(std::uint32_t old) noexcept;
};

}  // namespace rearm::detail
