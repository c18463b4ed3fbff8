#include "rearm/sync/event.h"

#include "sched/control.h"
#include "sync/acts.h"
#include "sync/count_gate.h"

namespace rearm {

namespace act = detail::act;

Event::Event() : gate_(std::in_place, 1) {}
Event::~Event() = default;

void Event::set() noexcept {
  const detail::ChoicesAround choices(act::kSet);
  gate_->open();
}

void Event::reset() noexcept {
  const detail::ChoicesAround choices(act::kSet);
  gate_->close();
}

bool Event::is_set() const noexcept {
  const detail::ChoicesAround choices(act::kWaitForEvent);
  return gate_->count() == 0;
}

Result<void> Event::wait(Deadline deadline) noexcept {
  const detail::ChoicesAround choices(act::kWaitForEvent);
  if (detail::has_passed(deadline)) return std::unexpected(Errc::kTimedOut);
  return detail::result_of(
      gate_->wait(deadline, {.act = &act::kWaitForEvent, .where = __builtin_return_address(0)}));
}

}  // namespace rearm
