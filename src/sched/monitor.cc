#include "sched/monitor.h"

#include <algorithm>

#include "sched/scheduler.h"

namespace rearm::detail {

void Monitor::start() {
  stop_.store(false, kRelaxed);
  resting_.store(0, kRelaxed);
  switches_.assign(scheduler_.processors().size(), 0);
  thread_ = std::thread([this] { run(); });
}

void Monitor::stop() {
  if (!thread_.joinable()) return;
  stop_.store(true, kSeqCst);
  parker_.unpark();
  thread_.join();
}

void Monitor::kick() {
  if (asleep_.exchange(false, kSeqCst)) parker_.unpark();
}

void Monitor::run() {
  while (!stop_.load(kSeqCst)) {
    asleep_.store(true, kSeqCst);
    if (resting_.load(kSeqCst) == scheduler_.processors().size()) {
      parker_.park();
    }
    asleep_.store(false, kSeqCst);
    if (stop_.load(kSeqCst)) return;  // The token of stop() and that of a kick may have been one.
    if (parker_.park(Deadline::after(period_))) continue;
    period_ = look() ? kShortestPeriod : std::min(2 * period_, kLongestPeriod);
  }
}

// Whether there was something to wake a worker for.
bool Monitor::look() {
  bool stuck = false;
  const std::uint64_t poll_turns = scheduler_.poll_turns();
  if (scheduler_.poll_turn_is_free() && poll_turns == poll_turns_) stuck = true;
  poll_turns_ = poll_turns;
  const auto processors = scheduler_.processors();
  for (std::size_t i = 0; i < processors.size(); ++i) {
    const std::uint64_t switches = processors[i]->switches.load(kRelaxed);
    if (processors[i]->has_work() && switches == switches_[i]) {
      processors[i]->note_standstill(switches);
      stuck = true;
    }
    switches_[i] = switches;
  }
  if (stuck) scheduler_.wake_one();
  return stuck;
}

}  // namespace rearm::detail
