// Stopping one fiber: what the holder of a handle may ask, and what the fiber may ask of itself.
#include <memory>
#include <utility>

#include "base/check.h"
#include "rearm/fiber.h"
#include "rearm/stop_token.h"
#include "sched/acts.h"
#include "sched/control.h"
#include "sched/scheduler.h"
#include "sched/worker.h"

namespace rearm {
namespace detail {
namespace {

Fiber* running_fiber() noexcept {
  Worker* const worker = Worker::current();
  return worker == nullptr ? nullptr : worker->fiber();
}

}  // namespace

void request_stop(Fiber& fiber) {
  const ChoicesAround choices(act::kStop);
  Waiter* const waiter = fiber.stop.request();
  // Before the wake-up: whose wait was ended finds that its token has heard.
  if (StopEar* const ear = fiber.stop.ear()) ear->hear();
  if (waiter != nullptr) Worker::wake(*waiter);
}

}  // namespace detail

namespace this_fiber {

bool stop_requested() noexcept {
  const detail::Fiber* const self = detail::running_fiber();
  return self != nullptr &&
         (self->stop.was_requested() || self->scheduler.run_state().is_stopping());
}

StopShield::StopShield() noexcept : fiber_(detail::running_fiber()) {
  if (fiber_ != nullptr) fiber_->stop.word().shield();
}

StopShield::~StopShield() {
  REARM_CHECK(fiber_ == detail::running_fiber(),
              "a StopShield was destroyed by another fiber than the one that made it");
  if (fiber_ != nullptr) fiber_->stop.word().unshield();
}

#if defined(__cpp_lib_jthread)

namespace {

class TokenEar final : public detail::StopEar {
 public:
  void hear() noexcept override { source_.request_stop(); }
  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  std::stop_source source_;
};

}  // namespace

std::stop_token stop_token() {
  detail::Fiber* const self = detail::running_fiber();
  if (self == nullptr) return {};
  if (self->stop.ear() == nullptr) {
    if (self->stop.list() == nullptr) {
      detail::Worker::current()->processor().stops.add(self->stop);
    }
    self->stop.set_ear(std::make_shared<TokenEar>());
    if (stop_requested()) self->stop.ear()->hear();
  }
  return static_cast<TokenEar*>(self->stop.ear())->token();
}

#endif

}  // namespace this_fiber
}  // namespace rearm
