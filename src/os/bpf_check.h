// Whether a program of classic BPF is one that seccomp takes, and what it would say to an execve().
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "rearm/os/seccomp_filter.h"

namespace rearm::detail {

// What the kernel would refuse it for ("instruction 3: jumps out of the program"), or "".
[[nodiscard]] std::string fault_of(std::span<const SeccompFilter::Instruction> program);

// Whether some execve() of this architecture could pass the program, as far as that can be told
// without knowing its arguments. REQUIRES: no fault.
[[nodiscard]] bool may_execute(std::span<const SeccompFilter::Instruction> program);

}  // namespace rearm::detail
