#include "rearm/sync/wait_group.h"

#include "sched/control.h"
#include "sync/acts.h"
#include "sync/count_gate.h"

namespace rearm {

namespace act = detail::act;

WaitGroup::WaitGroup() : gate_(std::in_place, 0) {}
WaitGroup::~WaitGroup() = default;

void WaitGroup::add(std::int64_t n) noexcept {
  const detail::ChoicesAround choices(act::kCount);
  REARM_CHECK(n >= -detail::CountGate::kMax && n <= detail::CountGate::kMax && gate_->add(n),
              "a WaitGroup was counted below zero, or beyond what it can count");
}

void WaitGroup::done() noexcept {
  const detail::ChoicesAround choices(act::kCount);
  REARM_CHECK(gate_->add(-1), "a WaitGroup was told more often that something is done than added");
}

Result<void> WaitGroup::wait(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kWaitForCount);
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  return detail::result_of(
      gate_->wait(deadline, {.act = &act::kWaitForCount, .where = __builtin_return_address(0)}));
}

}  // namespace rearm
