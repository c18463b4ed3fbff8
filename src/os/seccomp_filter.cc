#include "rearm/os/seccomp_filter.h"

#include <algorithm>
#include <utility>

#include "os/bpf_check.h"
#include "os/command_spec.h"

namespace rearm {

SeccompFilter::SeccompFilter(std::vector<Instruction> program)
    : program_(std::make_shared<const std::vector<Instruction>>(std::move(program))) {}

StepResult<SeccompFilter> SeccompFilter::from_bpf(std::span<const Instruction> program) {
  if (const std::string fault = detail::fault_of(program); !fault.empty()) {
    return detail::step_failed("seccomp filter: " + fault, Errc::kInvalidArgument);
  }
  if (!detail::may_execute(program)) {
    return detail::step_failed("seccomp filter: forbids its own execve", Errc::kInvalidArgument);
  }
  return SeccompFilter({program.begin(), program.end()});
}

SeccompFilter::Builder& SeccompFilter::Builder::rule(
    std::string_view call, SeccompAction action,
    std::initializer_list<SeccompArgument> conditions) {
  rules_.push_back({.call = std::string(call), .action = action, .conditions = conditions});
  return *this;
}

SeccompFilter::Builder& SeccompFilter::Builder::rules(std::initializer_list<std::string_view> calls,
                                                      SeccompAction action) {
  for (const std::string_view call : calls) rule(call, action);
  return *this;
}

SeccompFilter::Builder& SeccompFilter::Builder::architecture(std::string_view name) {
  architectures_.emplace_back(name);
  return *this;
}

}  // namespace rearm
