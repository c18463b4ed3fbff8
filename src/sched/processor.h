// Processor: what it takes to run fibers, apart from a thread: a run queue, timers and caches.
//
// A worker holds one while it runs fibers. The run queue and the timers may be touched by other
// workers (they say how); the rest belongs to the worker that holds the processor.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "sched/run_queue.h"
#include "sched/stack.h"
#include "sched/stop_state.h"
#include "sched/timers.h"

namespace rearm::detail {

class alignas(64) Processor {
 public:
  Processor(StackPool& pool, RunQueue::Thieves thieves) noexcept
      : queue(thieves), arrivals(thieves), stacks(pool) {}

  RunQueue queue;     // What fibers made runnable.
  RunQueue arrivals;  // What came from outside: reports, timers, injected fibers.
  Timers timers;
  StackCache stacks;
  StopList stops;  // Fibers that wait for what only a request to stop finds.

  // Numbers for fibers, taken from the process's counter a block at a time.
  [[nodiscard]] std::uint64_t next_fiber_id() noexcept {
    if (id_next_ == id_end_) {
      id_next_ = reserve_fiber_ids(kIdBlock);
      id_end_ = id_next_ + kIdBlock;
    }
    return id_next_++;
  }

  // Written by the holder alone, read by anybody; the last two tell when all fibers have ended.
  Atomic<std::uint64_t> switches{0};
  Atomic<std::uint64_t> steals{0};
  Atomic<std::uint64_t> spawned{0};
  Atomic<std::uint64_t> ended{0};

  // As they were when the last period of the stacks ended (stack_trimmer.h, whoever is busy there).
  std::uint64_t switches_of_last_period = 0;
  // How many of those periods had ended when the holder last looked.
  std::uint64_t stack_periods_seen = 0;

  // Whether a fiber waits here. A hint to all but the holder.
  [[nodiscard]] bool has_work() const noexcept { return queue.size() != 0 || arrivals.size() != 0; }
  // Whether one waits here that another worker may take.
  [[nodiscard]] bool has_work_for_others() const noexcept {
    return queue.ring_size() != 0 || arrivals.ring_size() != 0 ||
           (stands_still() && queue.size() != 0);
  }

  // Whether the fiber that runs here has run for so long that it was noticed (monitor.h): then
  // others may take what is in the next-slot.
  [[nodiscard]] bool stands_still() const noexcept {
    return stood_still_at_.load(kRelaxed) == switches.load(kRelaxed);
  }
  // By the monitor: after so many switches there was none for a while.
  void note_standstill(std::uint64_t at) noexcept { stood_still_at_.store(at, kRelaxed); }

  static void count(Atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(kRelaxed) + 1, kRelaxed);
  }
  // Release: pairs with Scheduler::alive(), which sees what was counted before.
  static void count_life(Atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(kRelaxed) + 1, kRelease);
  }

 private:
  static constexpr std::uint64_t kIdBlock = 1024;

  std::uint64_t id_next_ = 0;
  std::uint64_t id_end_ = 0;
  Atomic<std::uint64_t> stood_still_at_{~std::uint64_t{0}};
};

}  // namespace rearm::detail
