#include "sched/options.h"

#include <string>
#include <system_error>

#include "sched/worker_thread.h"

namespace rearm::detail {
namespace {

void check_at_most(const char* name, std::uint64_t value, std::uint64_t limit) {
  if (value <= limit) return;
  throw std::system_error(make_error_code(Errc::kInvalidArgument),
                          "rearm: Runtime::Options::" + std::string(name) + " is " +
                              std::to_string(value) + "; at most " + std::to_string(limit));
}

[[noreturn]] void refuse(const std::string& name_and_value, const char* range) {
  throw std::system_error(make_error_code(Errc::kInvalidArgument),
                          "rearm: Runtime::Options::" + name_and_value + "; " + range);
}

}  // namespace

Runtime::Options checked(Runtime::Options options) {
  check_at_most("workers", options.workers, kMaxWorkers);
  check_at_most("stack_bytes", options.stack_bytes, kMaxStackBytes);
  check_at_most("guard_bytes", options.guard_bytes, kMaxStackBytes);
  for (const unsigned cpu : options.cpus) {
    if (bindable_processors() == 0) {
      throw std::system_error(make_error_code(Errc::kNotSupported),
                              "rearm: Runtime::Options::cpus: no thread can be bound here");
    }
    check_at_most("cpus", cpu, bindable_processors() - 1);
  }
  if (options.time_slice < kMinTimeSlice || options.time_slice > kMaxTimeSlice) {
    refuse("time_slice is " + std::to_string(options.time_slice.count()) + " ns",
           "from 1 us to 1 s");
  }
  if (options.budget < 1 || options.budget > kMaxBudget) {
    refuse("budget is " + std::to_string(options.budget), "from 1 to 1000000");
  }
  return options;
}

}  // namespace rearm::detail
