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
  return options;
}

}  // namespace rearm::detail
