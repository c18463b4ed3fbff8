#include "sched/options.h"

#include <string>
#include <system_error>

namespace rearm::detail {
namespace {

void check_at_most(const char* name, std::uint64_t value, std::uint64_t limit) {
  if (value <= limit) return;
  throw std::system_error(make_error_code(Errc::kInvalidArgument),
                          "rearm: Runtime::Options::" + std::string(name) + " is " +
                              std::to_string(value) + "; at most " + std::to_string(limit));
}

}  // namespace

const Runtime::Options& checked(const Runtime::Options& options) {
  check_at_most("workers", options.workers, kMaxWorkers);
  check_at_most("stack_bytes", options.stack_bytes, kMaxStackBytes);
  check_at_most("guard_bytes", options.guard_bytes, kMaxStackBytes);
  return options;
}

}  // namespace rearm::detail
