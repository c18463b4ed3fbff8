// Worker: a thread that holds a processor and runs fibers.
//
// What this is. The loop of one thread (run), the two ways out of a fiber (park and yield; its end
// is in fiber.cc), and the doorway where waiters become runnable fibers (wake).
//
// How a switch works. A fiber that leaves picks the next one itself and switches to it directly,
// one jump; only with nothing to run, or at the end of a time slice (pace.h), it switches to the
// worker's own context, which looks further: injected fibers, timers, the poller, other workers'
// queues.
// Whoever arrives settles the one that left: commits it to the wait word it parks on, puts it back
// into a queue, or buries it. Not before, because from that moment another thread may run it.
//
// Finding work, in this order: the next-slot (but not too often in a row), what arrived from
// outside, the own queue, the injection queue, timers, other processors' queues; then one idle
// worker takes the poll turn and waits in the kernel until the next timer, and the others sleep. A
// worker with nobody to steal from goes straight from its empty queue to the waiting poll: one
// system call for each batch.
//
// Who goes first. What arrives from outside (reports, expired timers, injected fibers) goes before
// the queue, so that it is not late by as much as there is in the queue; but when it has taken a
// whole slice, and there is still more of it, the queue has the next one. What a look outside finds
// first goes at once, before anything that arrived earlier.
//
// Who polls. The worker that leaves the kernel with work gives the poll turn back and runs the
// work, and nobody polls meanwhile: to wake another one costs more than most runs take. But where a
// fiber begins that ran long the last time, and the turn is free, a sleeping worker is woken; it
// finds nothing and takes the turn. The monitor sees to long runs that could not be foreseen.
//
// Who never waits. A fiber whose reads and writes never have to wait, because its peer keeps up,
// would never leave; so it may make so many of them in one run (spend()) and then yields.
//
// Who may call. Everything but wake() and make_ready(): the worker's own thread.
//
// Rejected. A jump to the worker's context at every switch, from where the next fiber is entered:
// two jumps for one, 39 ns a yield against 22. Waking another worker for each fiber that becomes
// runnable: on few cores the wake-up costs more than the fiber (25 us against 1).
#pragma once

#include <cstdint>

#include "sched/fiber.h"
#include "sched/idle.h"
#include "sched/pace.h"
#include "sched/processor.h"

namespace rearm::detail {

class Scheduler;

class Worker {
 public:
  Worker(Scheduler& scheduler, Processor& processor) noexcept;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The worker of the calling thread, or nullptr. Never inlined: a fiber may continue on another
  // thread, and a compiler may keep the address of a thread-local across the switch. For the same
  // reason the result must not be kept across anything that may park.
  [[nodiscard, gnu::noinline]] static Worker* current() noexcept;

  [[nodiscard]] Scheduler& scheduler() noexcept { return scheduler_; }
  [[nodiscard]] Processor& processor() noexcept { return processor_; }
  [[nodiscard]] IdleWorkers::Sleeper& sleeper() noexcept { return sleeper_; }
  // The fiber that runs, or nullptr.
  [[nodiscard]] Fiber* fiber() noexcept { return fiber_; }

  // What time it was when this worker last looked for work beyond its own queue: late by what has
  // run since. For what need not be exact, and must not cost a look at the clock.
  [[nodiscard]] std::int64_t known_ns() const noexcept { return known_ns_; }

  // Runs fibers on the calling thread until the scheduler has finished.
  void run();

  // Parks the running fiber on a word, after prepare() has returned kPark. Returns when the fiber
  // continues, at once if something came in between.
  [[nodiscard]] WaitWord::Committed park(WaitWord& word, Waiter& waiter);

  // Lets others run, if there are any.
  void yield();

  // Counts an act that may have to wait, and mostly does not: a read, a join. True after as many of
  // them in one run as the budget allows: before this one the fiber gives way, or refuse_way().
  [[nodiscard]] bool spend() noexcept { return --budget_left_ < 0; }
  // Lets others run, after spend() has said so; the budget is full again. Only for an act that is
  // allowed to wait: one that is not may be made while holding a lock of the program's own.
  static void give_way();
  // The fiber that spend() told to give way is not allowed to wait now: the next act is asked.
  void refuse_way() noexcept { budget_left_ = 0; }
  // spend() and give_way(); nothing on a plain thread.
  static void spend_here();

  // Whether the fiber that runs has to leave for the worker's context: the slice is over. Asked
  // once for each switch that does not ask by itself.
  [[nodiscard]] bool has_to_look_outside() noexcept { return pace_.clock_is_due() && read_clock(); }

  // Where the fiber that has just ended goes for good: to `next`, or else to what is there to run.
  // Its stack is not left yet.
  [[nodiscard]] StackContext::Exit exit(Fiber& fiber, Fiber* next, void (*settle)(Fiber&));

  // Settles the fiber that left for this context, if it was one. First thing after every switch.
  static void settle(void* message);

  // Continues whoever waits here. From any thread.
  static void wake(Waiter& waiter);
  static void wake(WaiterList& waiters);
  // Puts a fiber into this thread's next-slot or, from outside, into its scheduler's queue.
  static void make_ready(Fiber& fiber);

 private:
  // So often in a row the next-slot goes before the queue, so that two fibers which wake each other
  // do not starve the rest.
  static constexpr std::uint32_t kNextSlotStreak = 8;

  // So many of the spilled ones change places with queued ones after each slice. Each is cold, and
  // costs about a microsecond.
  static constexpr std::size_t kSpilledAfterSlice = 32;

  // So few queued fibers are still in the cache from the last time.
  static constexpr std::uint32_t kFewQueued = 8;

  [[gnu::always_inline]] inline void leave_fiber(Fiber* next, void (*settle)(Fiber&));
  [[nodiscard]] Fiber* take_next();
  [[nodiscard]] Fiber* take_local();
  void begin_slice() noexcept;
  void prefetch_queued() noexcept;
  void begin(Fiber& fiber) {
    Processor::count(processor_.switches);
    budget_left_ = budget_;
    if (fiber.leave.was_long) [[unlikely]]
      begin_long_run();
  }
  [[gnu::cold, gnu::noinline]] void begin_long_run();
  [[gnu::noinline]] bool read_clock() noexcept;
  [[nodiscard]] Fiber* find_work();
  [[nodiscard]] Fiber* steal();
  [[nodiscard]] Fiber* steal_from(Processor& victim) noexcept;
  [[nodiscard]] static Fiber* steal_next_from(Processor& victim) noexcept;
  [[nodiscard]] Fiber* found(Fiber* fiber);
  [[nodiscard]] Fiber* look_outside();
  [[nodiscard]] bool take_injected();
  bool put_in_queue(FiberList spilled);
  [[nodiscard]] bool expire_timers();
  void rest();

  void push_ready(Fiber& fiber);
  void push_back(Fiber& fiber);
  [[gnu::always_inline]] inline void push_arrival(Fiber& fiber);
  [[gnu::always_inline, nodiscard]] static inline Fiber* take_fiber(WaiterList& waiters);
  std::size_t push_arrivals(WaiterList& waiters);
  void enqueue(WaiterList& waiters);

  Scheduler& scheduler_;
  Processor& processor_;
  IdleWorkers::Sleeper sleeper_;

  StackContext::Thread* thread_ = nullptr;  // While run() is in progress.
  StackContext context_;
  Fiber* fiber_ = nullptr;
  Pace pace_;
  // The two queues of the processor, in the order in which they are taken from.
  RunQueue* first_;
  RunQueue* second_;
  const std::int32_t budget_;
  std::int32_t budget_left_;
  std::uint32_t next_slot_streak_ = 0;
  std::uint32_t victim_ = 0;
  std::int64_t known_ns_ = 0;
  // Both clocks at one instant (begin_slice).
  std::int64_t clock_ns_ = 0;
  std::int64_t quick_ns_ = 0;
  bool searching_ = false;  // Woken by somebody, and has not found anything yet.
};

}  // namespace rearm::detail
