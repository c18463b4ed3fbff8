// The word of a SharedMutex: kWriter while a writer has it, kReader for each reader, and kWaiters
// while somebody may stand in line; as long as that is there, nobody comes in but through the line,
// and only readers who leave change the word without the line's lock.
//
// The last to leave hands the lock to the first in line: a writer, or all readers up to the next
// writer. One who gives up may have kept those behind it waiting for nothing, so it looks, too.
#include "rearm/sync/shared_mutex.h"

#include <cstdint>

#include "base/atomic.h"
#include "base/check.h"
#include "base/noted_owner.h"
#include "sched/control.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/line.h"

namespace rearm {
namespace detail {
namespace {

enum class Kind : bool { kWriter, kReader };

class SharedWait : public LineWait {
 public:
  SharedWait(Cancellable cancellable, Kind of) noexcept : LineWait(cancellable), kind(of) {}
  const Kind kind;
};

}  // namespace

struct SharedMutexState {
  static constexpr std::uint32_t kWaiters = 1;
  static constexpr std::uint32_t kWriter = 2;
  static constexpr std::uint32_t kReader = 4;

  SharedMutexState() = default;
  SharedMutexState(const SharedMutexState&) = delete;
  SharedMutexState& operator=(const SharedMutexState&) = delete;
  ~SharedMutexState() {
    MutexLock lock(line.mu);  // One who handed it over may be inside still.
    REARM_CHECK(word.load(kAcquire) == 0,
                "a SharedMutex was destroyed that is locked or waited for");
  }

  // Whether the lock could be had at once, and is now.
  [[nodiscard]] bool try_take(Kind kind) noexcept {
    std::uint32_t old = word.load(kRelaxed);
    for (;;) {
      if (!is_free_for(kind, old)) return false;
      if (word.compare_exchange_weak(old, old + part_of(kind), kAcquire, kRelaxed)) return true;
    }
  }

  [[nodiscard]] Ended wait(Kind kind, Deadline deadline, Cancellable cancellable,
                           const void* where) noexcept {
    if (deadline.is_immediate()) return Ended::kTimedOut;
    SharedWait wait(cancellable, kind);
    bool is_refused = false;
    WaiterList woken;
    {
      MutexLock lock(line.mu);
      std::uint32_t old = word.load(kRelaxed);
      for (;;) {
        if (is_free_for(kind, old)) {
          if (word.compare_exchange_weak(old, old + part_of(kind), kAcquire, kRelaxed)) {
            return Ended::kGiven;
          }
        } else if (word.compare_exchange_weak(old, old | kWaiters, kAcqRel, kRelaxed)) {
          break;
        }
      }
      is_refused = !wait.begin();
      if (is_refused) {
        hand_over(woken);  // Takes kWaiters away again.
      } else {
        line.queue.push_back(wait);
      }
    }
    if (is_refused) {
      Worker::wake(woken);
      return Ended::kCancelled;
    }
    const Act& act = kind == Kind::kWriter ? act::kLock : act::kLockShared;
    const Ended ended = wait.wait(line, deadline, {.act = &act, .where = where});
    if (ended == Ended::kGiven) return ended;
    {
      MutexLock lock(line.mu);
      hand_over(woken);
    }
    Worker::wake(woken);
    return ended;
  }

  void leave(Kind kind) noexcept {
    const std::uint32_t part = part_of(kind);
    std::uint32_t old = word.load(kRelaxed);
    for (;;) {
      REARM_CHECK(kind == Kind::kWriter ? (old & kWriter) != 0 : old >= kReader,
                  "a SharedMutex was unlocked that was not locked so");
      if (old == (part | kWaiters)) break;
      if (word.compare_exchange_weak(old, old - part, kRelease, kRelaxed)) return;
    }
    WaiterList woken;
    {
      MutexLock lock(line.mu);
      static_cast<void>(word.fetch_sub(part, kAcqRel));
      hand_over(woken);
    }
    Worker::wake(woken);
  }

  void note_writer() noexcept { writer.note(noted_waiter()); }
  void forget_writer() noexcept {
    writer.forget(noted_waiter(), "a SharedMutex was unlocked by one who does not hold it");
  }
  void check_not_writer() const noexcept {
    writer.check_not(noted_waiter(), "a SharedMutex was locked by one who holds it");
  }

  Atomic<std::uint32_t> word{0};
  WaitLine line;
  [[no_unique_address]] NotedOwner writer;

 private:
  static constexpr std::uint32_t part_of(Kind kind) noexcept {
    return kind == Kind::kWriter ? kWriter : kReader;
  }
  static constexpr bool is_free_for(Kind kind, std::uint32_t old) noexcept {
    return kind == Kind::kWriter ? old == 0 : (old & (kWaiters | kWriter)) == 0;
  }

  // Lets in those at the front who can be, and takes kWaiters away if nobody is left in line. The
  // word has kWaiters, so that meanwhile others can only leave; or nobody is there.
  void hand_over(WaiterList& woken) noexcept REARM_REQUIRES(line.mu) {
    for (;;) {
      const std::uint32_t old = word.load(kAcquire);
      auto* const first = static_cast<SharedWait*>(line.queue.first());
      if (first == nullptr) {
        if ((old & kWaiters) != 0) static_cast<void>(word.fetch_sub(kWaiters, kAcqRel));
        return;
      }
      const bool may_enter = first->kind == Kind::kWriter ? old == kWaiters : (old & kWriter) == 0;
      if (!may_enter) return;
      static_cast<void>(word.fetch_add(part_of(first->kind), kAcqRel));
      line.queue.give_to(*first, woken);
    }
  }
};

}  // namespace detail

namespace act = detail::act;
using detail::Cancellable;
using detail::Kind;

SharedMutex::SharedMutex() : state_(std::in_place) {}
SharedMutex::~SharedMutex() = default;

void SharedMutex::lock() noexcept {
  const detail::ChoicesAround choices(act::kLock);
  state_->check_not_writer();
  if (!state_->try_take(Kind::kWriter)) {
    static_cast<void>(state_->wait(Kind::kWriter, Deadline::never(), Cancellable::kNo,
                                   __builtin_return_address(0)));
  }
  state_->note_writer();
}

bool SharedMutex::try_lock() noexcept {
  const detail::ChoicesAround choices(act::kLock);
  if (!state_->try_take(Kind::kWriter)) return false;
  state_->note_writer();
  return true;
}

Result<void> SharedMutex::lock(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kLock);
  state_->check_not_writer();
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  if (!state_->try_take(Kind::kWriter)) {
    const detail::Ended ended =
        state_->wait(Kind::kWriter, deadline, Cancellable::kYes, __builtin_return_address(0));
    if (ended != detail::Ended::kGiven) return detail::result_of(ended);
  }
  state_->note_writer();
  return {};
}

void SharedMutex::unlock() noexcept {
  const detail::ChoicesAround choices(act::kUnlock);
  state_->forget_writer();
  state_->leave(Kind::kWriter);
}

void SharedMutex::lock_shared() noexcept {
  const detail::ChoicesAround choices(act::kLockShared);
  state_->check_not_writer();
  if (!state_->try_take(Kind::kReader)) {
    static_cast<void>(state_->wait(Kind::kReader, Deadline::never(), Cancellable::kNo,
                                   __builtin_return_address(0)));
  }
}

bool SharedMutex::try_lock_shared() noexcept {
  const detail::ChoicesAround choices(act::kLockShared);
  return state_->try_take(Kind::kReader);
}

Result<void> SharedMutex::lock_shared(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kLockShared);
  state_->check_not_writer();
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  if (state_->try_take(Kind::kReader)) return {};
  return detail::result_of(
      state_->wait(Kind::kReader, deadline, Cancellable::kYes, __builtin_return_address(0)));
}

void SharedMutex::unlock_shared() noexcept {
  const detail::ChoicesAround choices(act::kUnlock);
  state_->leave(Kind::kReader);
}

}  // namespace rearm
