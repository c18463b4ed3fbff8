// The run queue, the idle workers and the timers.
//
// queue: names such as queue/owner+thief. Actors: owner (pushes five into a ring of four, then pops
// all), swapper (uses the next-slot, too), thief (steals into a queue of its own, or
// from the next-slot, twice, and pops).
// Every fiber must come out exactly once, and a ring that has room must take it. The indices begin
// shortly before they wrap.
//
// idle: names such as idle/sleeper+maker. Actors: sleeper (announces itself, looks once more,
// sleeps, and takes work until it has found some), maker (makes one piece of work and wakes one),
// finisher (says that all is over, and wakes all). Nobody may sleep while there is work that nobody
// is awake to take.
//
// timer: names such as timer/waiter+expire. Actors: waiter (waits with a timer, stops it, and waits
// once more without one), expire, publish, restart (starts and stops an earlier timer beside it).
// A late expiry may not end the second wait.
#include <array>

#include "explore/peek.h"
#include "explore/word_program.h"
#include "sched/fiber.h"
#include "sched/idle.h"
#include "sched/run_queue.h"
#include "sched/timers.h"
#include "sched/worker.h"

namespace rearm::explore {

using detail::Atomic;
using detail::Fiber;
using detail::IdleWorkers;
using detail::kSeqCst;
using detail::Parked;
using detail::RunQueue;
using detail::ThreadParker;
using detail::Timer;
using detail::Timers;
using detail::WaitWord;
using detail::Worker;

struct QueueHead {
  using Type = Atomic<std::uint32_t> RunQueue::*;
  friend constexpr Type member_of(QueueHead);
};
struct QueueTail {
  using Type = Atomic<std::uint32_t> RunQueue::*;
  friend constexpr Type member_of(QueueTail);
};
template struct Peek<&RunQueue::head_, QueueHead>;
template struct Peek<&RunQueue::tail_, QueueTail>;

namespace {

static_assert(RunQueue::kCapacity == 4, "the explorer's build must shrink the ring");

// --- The run queue. ---

constexpr int kFibers = 8;

struct QueueThings {
  QueueThings() {
    for (RunQueue& queue : queues) {
      (queue.*member_of(QueueHead{})).store(0xfffffffe);
      (queue.*member_of(QueueTail{})).store(0xfffffffe);
    }
  }

  std::array<RunQueue, 4> queues;                  // The owner's, and each thief's.
  alignas(64) std::array<char, kFibers> fibers{};  // Only their addresses are used.
  std::array<int, kFibers> taken{};
  std::array<bool, kFibers> pushed{};

  [[nodiscard]] Fiber& fiber(int number) {
    return *reinterpret_cast<Fiber*>(&fibers[static_cast<std::size_t>(number)]);
  }
};

class QueueProgram final : public WordProgram<QueueThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    QueueThings& all = things();
    RunQueue& own = all.queues[static_cast<std::size_t>(index)];
    if (actor_of(index) == "owner") {
      for (int i = 0; i < 5; ++i) push(i);
      while (Fiber* const fiber = own.pop()) take(*fiber);
    } else if (actor_of(index) == "swapper") {
      push(0);
      for (int i = 1; i < 4; ++i) push_next(i);
      while (Fiber* const fiber = own.pop_next()) take(*fiber);
      while (Fiber* const fiber = own.pop()) take(*fiber);
    } else {
      for (int i = 0; i < 2; ++i) {
        Fiber* fiber = all.queues[0].steal_into(own);
        if (fiber == nullptr) fiber = all.queues[0].steal_next();
        if (fiber != nullptr) take(*fiber);
        while (Fiber* const left = own.pop()) take(*left);
      }
    }
  }

  void finish() override {
    for (int i = 0; i < kFibers; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (things().pushed[at] && things().taken[at] == 0) violation("queue", "fiber %d is lost", i);
    }
  }

 private:
  void push(int number) {
    things().pushed[static_cast<std::size_t>(number)] = true;
    if (things().queues[0].push(things().fiber(number))) return;
    // Nobody but the owner pushes, so there is room for four at least.
    if (number < 4) violation("queue", "it has room, and says that it is full");
    take(things().fiber(number));
  }
  void push_next(int number) {
    things().pushed[static_cast<std::size_t>(number)] = true;
    if (Fiber* const displaced = things().queues[0].push_next(things().fiber(number))) {
      if (!things().queues[0].push(*displaced)) {
        violation("queue", "it has room, and says that it is full");
      }
    }
  }
  void take(Fiber& fiber) {
    const auto at =
        static_cast<std::size_t>(reinterpret_cast<char*>(&fiber) - things().fibers.data());
    if (at >= kFibers) violation("queue", "what came out was never put in");
    if (++things().taken[at] > 1) {
      violation("queue", "fiber %d came out twice", static_cast<int>(at));
    }
  }
};

// --- The idle workers. ---

struct IdleThings {
  IdleWorkers idle;
  std::array<IdleWorkers::Sleeper, kMaxThreads> sleepers;
  Atomic<int> work{0};
  Atomic<bool> is_over{false};
  bool finisher_has_begun = false;
};

class IdleProgram final : public WordProgram<IdleThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    if (actor_of(index) == "sleeper") {
      work_and_sleep(things().sleepers[static_cast<std::size_t>(index)]);
    } else if (actor_of(index) == "maker") {
      things().work.fetch_add(1, kSeqCst);
      wake_one();
    } else {
      things().is_over.store(true, kSeqCst);
      things().idle.wake_all();
    }
  }

  void finish() override {
    bool anybody_sleeps = false;
    for (int i = 0; i < threads(); ++i) anybody_sleeps = anybody_sleeps || !Machine::has_ended(i);
    if (anybody_sleeps && things().work.load() != 0) {
      violation("G5", "there is work, and everybody sleeps");
    }
    if (anybody_sleeps && things().is_over.load())
      violation("G5", "all is over, and somebody sleeps");
  }

 private:
  void wake_one() {
    if (IdleWorkers::Sleeper* const sleeper = things().idle.pick()) sleeper->parker.unpark();
  }

  bool take_work() {
    int left = things().work.load(kSeqCst);
    while (left != 0) {
      if (things().work.compare_exchange_strong(left, left - 1, kSeqCst)) return true;
    }
    return false;
  }

  // As Worker::find_work() and Worker::rest() do it, one piece of work for each.
  void work_and_sleep(IdleWorkers::Sleeper& sleeper) {
    IdleWorkers& idle = things().idle;
    bool is_searching = false;
    for (;;) {
      if (take_work()) {
        if (!is_searching) return;
        idle.done_searching();
        if (things().work.load(kSeqCst) != 0) wake_one();
        return;
      }
      if (things().is_over.load(kSeqCst)) return;
      if (std::exchange(is_searching, false)) idle.done_searching();
      idle.enter(sleeper);
      const bool has_work = things().work.load(kSeqCst) != 0 || things().is_over.load(kSeqCst);
      if (has_work && idle.leave(sleeper)) continue;
      sleeper.parker.park();
      is_searching = true;
    }
  }
};

// --- The timers. ---

constexpr std::int64_t kWhenNs = 10;

struct TimerThings {
  Timers timers;
  WaitWord word;
  WaitWord other_word;
  int events = 0;
  int wake_ups = 0;
  bool is_second = false;
};

class TimerProgram final : public WordProgram<TimerThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    TimerThings& all = things();
    if (actor_of(index) == "waiter") {
      wait_with_timer();
      all.is_second = true;
      wait(nullptr);
    } else if (actor_of(index) == "expire") {
      WaiterList expired;
      all.timers.expire(kWhenNs, WakeReason::kTimedOut, expired);
      Worker::wake(expired);
    } else if (actor_of(index) == "publish") {
      ++all.events;
      if (Waiter* const waiter = all.word.publish().waiter) {
        waiter->set_reason(WakeReason::kReady);
        Worker::wake(*waiter);
      }
    } else {
      Timer timer(all.other_word);
      all.timers.start(timer, kWhenNs - 5);
      all.timers.stop(timer);
      if (all.timers.earliest_ns() < kWhenNs)
        violation("timers", "a stopped timer is the earliest");
    }
  }

  // Time passes: the first wait ends. Then an event comes for the second.
  [[nodiscard]] bool quiescent() override {
    TimerThings& all = things();
    if (!all.is_second) {
      if (all.timers.earliest_ns() != kWhenNs) violation("timers", "the timer is not the earliest");
      WaiterList expired;
      all.timers.expire(kWhenNs, WakeReason::kTimedOut, expired);
      if (expired.empty()) violation("G2", "the wait has ended for nobody, and sleeps");
      Worker::wake(expired);
      return true;
    }
    if (Machine::has_ended(0)) return false;
    Waiter* const waiter = all.word.publish().waiter;
    if (waiter == nullptr) violation("G5", "the second wait cannot be ended");
    waiter->set_reason(WakeReason::kReady);
    Worker::wake(*waiter);
    return true;
  }

  void finish() override {
    if (things().timers.earliest_ns() != Timers::kNever) violation("leak", "a timer is left");
  }

 private:
  void wait_with_timer() {
    Timer timer(things().word);
    wait(&timer);
  }

  void wait(Timer* timer) {
    TimerThings& all = things();
    ThreadParker parker;
    Parked waiter(parker);
    WakeReason reason = WakeReason::kReady;
    const bool parks = all.word.prepare() == WaitWord::Prepared::kPark;
    if (timer != nullptr) all.timers.start(*timer, kWhenNs);
    if (parks && all.word.commit(waiter) == WaitWord::Committed::kParked) {
      parker.park();
      reason = waiter.reason();
    }
    if (timer != nullptr) {
      all.timers.stop(*timer);
    } else if (reason == WakeReason::kTimedOut) {
      violation("G2", "a late expiry ended the next wait");
    }
  }
};

}  // namespace

std::unique_ptr<Program> make_queue_program(std::vector<std::string> actors) {
  return std::make_unique<QueueProgram>(std::move(actors));
}
std::unique_ptr<Program> make_idle_program(std::vector<std::string> actors) {
  return std::make_unique<IdleProgram>(std::move(actors));
}
std::unique_ptr<Program> make_timer_program(std::vector<std::string> actors) {
  return std::make_unique<TimerProgram>(std::move(actors));
}

}  // namespace rearm::explore
