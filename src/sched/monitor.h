// Monitor: notices what no worker can, because it is busy running a fiber.
//
// What this is. A thread, in runtimes with several workers, that looks each period while any worker
// runs fibers, and wakes an idle worker if since the last look
//   - nobody has had the poll turn: the one who had it is running a fiber that does not park, and
//     reports and timers wait for it;
//   - a queue has stood still with something in it: its worker is running a fiber that does not
//     park, and the fibers behind it wait for it. From then on others may take the next-slot, too.
// A worker does not wake another for one runnable fiber, because a wake-up costs more than most
// fibers run for; this is what makes that rule safe. A fiber that computes delays others by at most
// two periods while a worker is idle.
//
// The period is 10 ms while nothing is found; 1 ms after something was, and then twice as long each
// time that nothing is.
//
// Cost. Nothing on the way of a request: 100 wake-ups a second while there is work and it flows,
// none while all workers rest; then it sleeps until a worker that leaves its rest kicks it.
//
// No lost kick. The monitor announces that it sleeps, then looks whether all workers rest. A worker
// first says that it no longer rests, then looks whether the monitor sleeps. Both are sequentially
// consistent, so one of them sees the other.
//
// Rejected. Always 1 ms: 1000 wake-ups a second, for nothing where fibers are short. A timed sleep
// of the topmost idle worker: the worker that leaves the kernel with work would have to wake it
// from its untimed one each time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/atomic.h"
#include "base/thread_parker.h"

namespace rearm::detail {

class Scheduler;

class Monitor {
 public:
  static constexpr std::chrono::milliseconds kShortestPeriod{1};
  static constexpr std::chrono::milliseconds kLongestPeriod{10};

  explicit Monitor(Scheduler& scheduler) : scheduler_(scheduler) {}
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  ~Monitor() { stop(); }

  // Throws std::system_error if there is no thread to be had, and std::bad_alloc.
  void start();
  void stop();

  // By a worker, around its rest.
  void worker_rests() noexcept { resting_.fetch_add(1, kSeqCst); }
  void worker_runs() {
    resting_.fetch_sub(1, kSeqCst);
    if (asleep_.load(kSeqCst)) kick();
  }

 private:
  void run();
  [[nodiscard]] bool look();
  void kick();

  Scheduler& scheduler_;
  std::thread thread_;
  ThreadParker parker_;
  Atomic<bool> stop_{false};
  Atomic<bool> asleep_{false};
  Atomic<std::size_t> resting_{0};

  // --- The monitor's own: what it saw at the last look. ---
  std::chrono::milliseconds period_ = kLongestPeriod;
  std::uint64_t poll_turns_ = 0;
  std::vector<std::uint64_t> switches_;
};

}  // namespace rearm::detail
