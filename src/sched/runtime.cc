#include "rearm/runtime.h"

#include "base/process_exit.h"
#include "sched/acts.h"
#include "sched/control.h"
#include "sched/scheduler.h"
#include "sched/worker.h"

namespace rearm {

Runtime::Runtime(const Options& options) : scheduler_(new detail::Scheduler(*this, options)) {}

Runtime::~Runtime() {
  // exit() destroys a static runtime while its fibers run, perhaps on the stack of one of them, and
  // its workers go on until the process is gone.
  if (!detail::ProcessExit::has_begun()) delete scheduler_;
}

void Runtime::start_threads() { scheduler_->start_threads(); }
void Runtime::stop_threads() { scheduler_->stop_threads(); }
void Runtime::run_until_idle(const detail::Fiber& first) { scheduler_->run(first); }

void Runtime::request_stop() noexcept {
  const detail::ChoicesAround choices(detail::act::kStop);
  scheduler_->request_stop();
}

void Runtime::trim() noexcept { scheduler_->trim_all(); }

Runtime* Runtime::current() noexcept {
  detail::Worker* const worker = detail::Worker::current();
  return worker == nullptr ? nullptr : &worker->scheduler().runtime();
}

std::size_t Runtime::workers() const noexcept { return scheduler_->processors().size(); }
std::string_view Runtime::backend_name() const noexcept {
  return scheduler_->poller().backend_name();
}
Runtime::Stats Runtime::stats() const noexcept { return scheduler_->stats(); }

}  // namespace rearm
