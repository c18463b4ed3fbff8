// StopState: what a fiber needs so that it can be asked to stop, and StopList, those who are asked
// when a whole run is to stop.
//
// What this is. The StopWord (stop_word.h) of one fiber, and a wait word that stays where it is for
// as long as the fiber does, for waits that have no word of their own: sleeps, locks, channels.
//
// Which waits a stop of the run finds how. Those on descriptors through the poller, those with a
// timer through the timers; the rest through this list. A fiber enters it at the first such wait of
// its life and leaves it at its end: two locks of its processor's list in a life, none in a wait.
//
// A stop of the run changes the state of the run (run_state.h), and nothing here: whoever asks may
// be held up until another run is in progress, and must leave nothing in its fibers. So waits are
// made to look again, and ears are told only while the state says that this run is to stop.
//
// Who may call. request(): any thread that keeps the fiber alive. StopList::disturb(), next_ear():
// any thread that keeps the scheduler alive. The rest: the fiber itself.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "base/atomic.h"
#include "base/linked_list.h"
#include "base/mutex.h"
#include "base/run_state.h"
#include "base/stop_word.h"
#include "base/wait_word.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class StopList;

// Somebody to be told of a request beside the wait. Told more than once, it hears once.
class StopEar {
 public:
  StopEar() = default;
  StopEar(const StopEar&) = delete;
  StopEar& operator=(const StopEar&) = delete;
  virtual ~StopEar() = default;
  // By any thread, which holds no lock: this runs code of the program's.
  virtual void hear() noexcept = 0;
  // Kept beyond the fiber's end. REQUIRES: the fiber cannot end meanwhile.
  [[nodiscard]] std::shared_ptr<StopEar> share() const noexcept { return self_; }

 private:
  friend class StopState;
  friend class StopList;
  std::shared_ptr<StopEar> self_;  // Until the fiber's end.
};

class StopState : public LinkedList<StopState>::Link {
 public:
  // `stack`: where the fiber's stack begins. Its frames, and so those who wait for it, lie between
  // there and this.
  explicit StopState(const void* stack) noexcept : stack_(stack) {}
  ~StopState() {
    if (StopEar* const ear = ear_.load(kAcquire)) std::exchange(ear->self_, nullptr).reset();
  }

  [[nodiscard]] StopWord& word() noexcept { return stop_; }

  // For one wait at a time. Nobody refers to it any more from the one before.
  [[nodiscard]] WaitWord& own_word() noexcept {
    own_word_.reset();
    return own_word_;
  }

  // Returns the waiter whose wait was ended, for the caller to wake. REQUIRES: the fiber has not
  // been buried.
  [[nodiscard]] Waiter* request() noexcept { return stop_.request(memory()); }

  // Whether a request finds this waiter while it is parked.
  [[nodiscard]] bool reaches(const Waiter& waiter) const noexcept {
    return &waiter >= stack_ && static_cast<const void*>(&waiter) < this;
  }

  // Whether the fiber itself was asked; not with its run.
  [[nodiscard]] bool was_requested() const noexcept { return stop_.was_requested(); }

  // --- Who else is told. ---

  // By the fiber, once, after it has entered the list. A request that was before it or comes at the
  // same time may find it or not: the caller looks for one afterwards.
  void set_ear(std::shared_ptr<StopEar> ear) {
    StopEar& one = *ear;
    one.self_ = std::move(ear);
    ear_.store(&one, kSeqCst);
  }
  // Null: there is none. It is there for as long as the fiber is not buried.
  [[nodiscard]] StopEar* ear() const noexcept { return ear_.load(kSeqCst); }

  // Null: it is in none.
  [[nodiscard]] StopList* list() const noexcept { return list_; }
  void leave_list() noexcept;

 private:
  friend class StopList;
  [[nodiscard]] StopWord::Within memory() const noexcept { return {.begin = stack_, .end = this}; }

  StopWord stop_;
  WaitWord own_word_;
  StopList* list_ = nullptr;
  Atomic<StopEar*> ear_{nullptr};
  const void* const stack_;
};

class StopList {
 public:
  StopList() = default;
  StopList(const StopList&) = delete;
  StopList& operator=(const StopList&) = delete;

  void add(StopState& one) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    states_.push_back(one);
    one.list_ = this;
  }

  void remove(StopState& one) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    states_.remove(one);
    one.list_ = nullptr;
  }

  // Who is to be told of a stop of the run, each once; the caller tells it. Null after the last,
  // and if the run in progress is not to stop. A fiber does not outlive its run: so those in the
  // list belong to the run that the state speaks of, as long as they are there. After disturb().
  [[nodiscard]] std::shared_ptr<StopEar> next_ear(const RunState& run) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!run.is_stopping()) unheard_ = 0;
    while (unheard_ > 0 && !states_.empty()) {
      StopState& one = *states_.first();
      states_.remove(one);
      states_.push_back(one);
      --unheard_;
      if (StopEar* const ear = one.ear()) return ear->share();  // It may end as soon as we leave.
    }
    return nullptr;
  }

  // Appends the waiters that are to look again to `out`, for the caller to wake.
  void disturb(WaiterList& out) REARM_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (StopState* one = states_.first(); one != nullptr;
         one = LinkedList<StopState>::after(*one)) {
      if (Waiter* const waiter = one->stop_.disturb(one->memory())) out.push_back(*waiter);
      ++unheard_;
    }
  }

 private:
  Mutex mu_;
  LinkedList<StopState> states_ REARM_GUARDED_BY(mu_);
  std::size_t unheard_ REARM_GUARDED_BY(mu_) = 0;  // At the front.
};

inline void StopState::leave_list() noexcept {
  if (list_ != nullptr) list_->remove(*this);
}

}  // namespace rearm::detail
