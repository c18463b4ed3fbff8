// SeccompFilter::Builder::build() through libseccomp.
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "base/errno.h"
#include "os/command_spec.h"
#include "os/owned_number.h"
#include "rearm/os/seccomp_filter.h"

namespace rearm {
namespace {

using detail::step_failed;
using Instruction = SeccompFilter::Instruction;

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

[[nodiscard]] scmp_compare comparison(SeccompArgument::Compare compare) {
  switch (compare) {
    case SeccompArgument::Compare::kNotEqual: return SCMP_CMP_NE;
    case SeccompArgument::Compare::kLess: return SCMP_CMP_LT;
    case SeccompArgument::Compare::kLessOrEqual: return SCMP_CMP_LE;
    case SeccompArgument::Compare::kEqual: return SCMP_CMP_EQ;
    case SeccompArgument::Compare::kGreaterOrEqual: return SCMP_CMP_GE;
    case SeccompArgument::Compare::kGreater: return SCMP_CMP_GT;
    case SeccompArgument::Compare::kMaskedEqual: return SCMP_CMP_MASKED_EQ;
  }
  return SCMP_CMP_EQ;
}

[[nodiscard]] scmp_arg_cmp compared(const SeccompArgument& argument) {
  const bool is_masked = argument.compare == SeccompArgument::Compare::kMaskedEqual;
  return {.arg = argument.index,
          .op = comparison(argument.compare),
          .datum_a = is_masked ? argument.mask : argument.value,
          .datum_b = is_masked ? argument.value : 0};
}

// libseccomp returns a negative errno.
[[nodiscard]] std::error_code code_of(int result) {
  return result == -EINVAL || result == -EACCES ? make_error_code(Errc::kInvalidArgument)
                                                : detail::error_of(result);
}

// An errno beyond 4095 would look like a success.
[[nodiscard]] bool is_absurd(SeccompAction action) {
  constexpr std::uint32_t kErrorAction = 0x0005;
  return action.value() >> 16 == kErrorAction && (action.value() & 0xffffU) > 4095;
}

[[nodiscard]] StepResult<std::vector<Instruction>> export_program(const Context& context) {
  const detail::OwnedNumber file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (file.get() < 0) return step_failed("memfd_create", detail::current_errno());
  if (const int result = seccomp_export_bpf(context.get(), file.get()); result < 0) {
    return step_failed("export the seccomp filter", code_of(result));
  }
  const off_t bytes = ::lseek(file.get(), 0, SEEK_END);
  std::vector<Instruction> program(static_cast<std::size_t>(bytes) / sizeof(Instruction));
  static_assert(sizeof(Instruction) == 8);
  if (::pread(file.get(), program.data(), static_cast<std::size_t>(bytes), 0) != bytes) {
    return step_failed("export the seccomp filter", EIO);
  }
  return program;
}

}  // namespace

StepResult<SeccompFilter> SeccompFilter::Builder::build() const {
  if (is_absurd(otherwise_)) {
    return step_failed("seccomp default: an errno beyond 4095", Errc::kInvalidArgument);
  }
  const Context context(seccomp_init(otherwise_.value()));
  if (!context) return step_failed("seccomp_init", Errc::kInvalidArgument);
  static_cast<void>(
      seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  for (const std::string& name : architectures_) {
    const std::uint32_t token = seccomp_arch_resolve_name(name.c_str());
    const int result = token == 0 ? -EINVAL : seccomp_arch_add(context.get(), token);
    if (result < 0 && result != -EEXIST) {
      return step_failed("seccomp architecture " + name, code_of(result));
    }
  }
  std::string about_execve = "no rule is about it";
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Rule& rule = rules_[i];
    const std::string step = "seccomp rule " + std::to_string(i + 1) + ": " + rule.call;
    const int call = seccomp_syscall_resolve_name(rule.call.c_str());
    // Numbers below zero are of calls that other architectures have.
    if (call == __NR_SCMP_ERROR || (call < 0 && architectures_.empty())) {
      return step_failed(step + ": no such system call here", Errc::kInvalidArgument);
    }
    if (is_absurd(rule.action)) {
      return step_failed(step + ": an errno beyond 4095", Errc::kInvalidArgument);
    }
    if (rule.action == otherwise_) {
      return step_failed(step + ": its action is what happens anyway", Errc::kInvalidArgument);
    }
    std::vector<scmp_arg_cmp> conditions;
    for (const SeccompArgument& argument : rule.conditions) {
      if (argument.index > 5) {
        return step_failed(step + ": argument " + std::to_string(argument.index),
                           Errc::kInvalidArgument);
      }
      conditions.push_back(compared(argument));
    }
    const int result =
        seccomp_rule_add_array(context.get(), rule.action.value(), call,
                               static_cast<unsigned>(conditions.size()), conditions.data());
    if (result < 0) return step_failed(step, code_of(result));
    if (rule.call == "execve") about_execve = "rule " + std::to_string(i + 1);
  }
  auto program = export_program(context);
  if (!program) return std::unexpected(program.error());
  auto filter = from_bpf(*program);
  if (!filter) filter.error().step += " (" + about_execve + ")";
  return filter;
}

}  // namespace rearm
