// SeccompFilter: which system calls a child may make (seccomp(2)). Linux.
//
// It is built and checked once, in the parent, and is then plain bytes: a child loads it with one
// system call, as the last step before its exec. Nothing of libseccomp runs in a child.
//
//   auto filter = rearm::SeccompFilter::Builder(rearm::SeccompAction::allow())
//                     .rule("socket", rearm::SeccompAction::error(EPERM))
//                     .rule("kill", rearm::SeccompAction::kill_process())
//                     .build();
//
// The filter is in force when the child calls execve(), so a filter that cannot let that pass is
// refused here. What the program does to start (its loader's mmap() and openat(), exit_group()) is
// the caller's to allow.
//
// Thread safety: a filter is immutable and cheap to copy; a builder is one thread's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rearm/os/step_error.h"

namespace rearm {

// What the kernel does with a call.
class SeccompAction {
 public:
  [[nodiscard]] static constexpr SeccompAction allow() noexcept {
    return SeccompAction(0x7fff0000U);
  }
  // Allows it, and has the kernel log it.
  [[nodiscard]] static constexpr SeccompAction log() noexcept { return SeccompAction(0x7ffc0000U); }
  [[nodiscard]] static constexpr SeccompAction kill_process() noexcept {
    return SeccompAction(0x80000000U);
  }
  [[nodiscard]] static constexpr SeccompAction kill_thread() noexcept {
    return SeccompAction(0x00000000U);
  }
  // The call fails with this errno, 0 to 4095.
  [[nodiscard]] static constexpr SeccompAction error(int number) noexcept {
    return SeccompAction(0x00050000U | (static_cast<std::uint32_t>(number) & 0xffffU));
  }
  // SIGSYS, which the program may handle.
  [[nodiscard]] static constexpr SeccompAction trap() noexcept {
    return SeccompAction(0x00030000U);
  }
  // An event for a tracer; ENOSYS where there is none.
  [[nodiscard]] static constexpr SeccompAction trace(std::uint16_t data) noexcept {
    return SeccompAction(0x7ff00000U | data);
  }

  // As the kernel has it: SECCOMP_RET_….
  [[nodiscard]] constexpr std::uint32_t value() const noexcept { return value_; }
  [[nodiscard]] friend constexpr bool operator==(SeccompAction, SeccompAction) noexcept = default;

 private:
  explicit constexpr SeccompAction(std::uint32_t value) noexcept : value_(value) {}
  std::uint32_t value_;
};

// A condition on one argument of the call, as an unsigned 64-bit number. Pointers can be compared,
// but what they point to cannot be looked at.
struct SeccompArgument {
  enum class Compare : std::uint8_t {
    kNotEqual,
    kLess,
    kLessOrEqual,
    kEqual,
    kGreaterOrEqual,
    kGreater,
    kMaskedEqual,  // (argument & mask) == value
  };

  unsigned index = 0;  // 0 to 5.
  Compare compare = Compare::kEqual;
  std::uint64_t value = 0;
  std::uint64_t mask = 0;  // Of kMaskedEqual.
};

class SeccompFilter {
 public:
  // One instruction of classic BPF, laid out as the kernel's struct sock_filter.
  struct Instruction {
    std::uint16_t code;
    std::uint8_t if_true;
    std::uint8_t if_false;
    std::uint32_t operand;
  };

  class Builder;

  // A program made elsewhere. It is checked as the kernel would: 1 to 4096 instructions, each
  // known, aligned loads inside of struct seccomp_data, jumps that stay inside, a return at the
  // end. Errors: kInvalidArgument, with the instruction's number in the step; or "forbids its own
  // execve".
  [[nodiscard]] static StepResult<SeccompFilter> from_bpf(std::span<const Instruction> program);

  [[nodiscard]] std::span<const Instruction> program() const noexcept { return *program_; }

 private:
  explicit SeccompFilter(std::vector<Instruction> program);
  std::shared_ptr<const std::vector<Instruction>> program_;
};

// Rules by name, through libseccomp. Nothing is checked before build(), which names the first rule
// that is wrong.
class SeccompFilter::Builder {
 public:
  // What happens to a call that no rule is about.
  explicit Builder(SeccompAction otherwise) : otherwise_(otherwise) {}

  // `call` by its name on this system ("openat"). With conditions: if all of them hold. Rules of
  // one call with different conditions add up.
  Builder& rule(std::string_view call, SeccompAction action,
                std::initializer_list<SeccompArgument> conditions = {});
  Builder& rules(std::initializer_list<std::string_view> calls, SeccompAction action);

  // Another architecture whose calls this machine runs, too, by libseccomp's name: "x86", "x32".
  // Calls of an architecture that is not in the filter end the process.
  Builder& architecture(std::string_view name);

  // Errors, each with the rule in the step: kInvalidArgument (an unknown name, an argument beyond
  // the sixth, an action equal to `otherwise`, a filter that forbids its own execve); kNotSupported
  // (this build has no libseccomp, or this system no seccomp).
  [[nodiscard]] StepResult<SeccompFilter> build() const;

 private:
  struct Rule {
    std::string call;
    SeccompAction action;
    std::vector<SeccompArgument> conditions;
  };

  SeccompAction otherwise_;
  std::vector<Rule> rules_;
  std::vector<std::string> architectures_;
};

}  // namespace rearm
