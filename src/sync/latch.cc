#include "rearm/sync/latch.h"

#include "sched/control.h"
#include "sync/acts.h"
#include "sync/count_gate.h"

namespace rearm {

namespace act = detail::act;

static_assert(Latch::max() == detail::CountGate::kMax);

Latch::Latch(std::int64_t count) : gate_(std::in_place, count) {
  REARM_CHECK(count >= 0 && count <= max(), "a Latch cannot begin with such a count");
}
Latch::~Latch() = default;

void Latch::count_down(std::int64_t n) noexcept {
  const detail::ChoicesAround choices(act::kCount);
  REARM_CHECK(n >= 0 && n <= max() && gate_->add(-n), "a Latch was counted down below zero");
}

bool Latch::try_wait() const noexcept {
  const detail::ChoicesAround choices(act::kWaitForCount);
  return gate_->count() == 0;
}

Result<void> Latch::wait(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kWaitForCount);
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  return detail::result_of(
      gate_->wait(deadline, {.act = &act::kWaitForCount, .where = __builtin_return_address(0)}));
}

Result<void> Latch::arrive_and_wait(Deadline deadline) noexcept {
  count_down();
  return wait(deadline);
}

}  // namespace rearm
