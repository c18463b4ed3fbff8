// Which worker a simulated thread is: the thread-local of src/sched/worker.cc, for a program to
// exchange when another simulated thread goes on.
#pragma once

namespace rearm::detail {
class Worker;
}

namespace rearm::explore {

[[nodiscard]] detail::Worker*& current_worker_slot() noexcept;

}  // namespace rearm::explore
