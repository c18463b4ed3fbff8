// launch: how a command becomes a child, by this system's means.
#pragma once

#include <array>
#include <vector>

#include "os/command_spec.h"
#include "os/owned_number.h"
#include "rearm/net/fd.h"
#include "rearm/os/child.h"
#include "rearm/os/step_error.h"
#include "rearm/runtime.h"

namespace rearm::detail {

// The one that Command::spawn() takes: of the two below, the first on Linux.
[[nodiscard]] StepResult<Child> launch(const CommandSpec& spec, Runtime& runtime);

// For tests: with a system call of the child that does not do as it should. Linux.
struct Injection;
[[nodiscard]] StepResult<Child> launch_injected(const CommandSpec& spec, Runtime& runtime,
                                                const Injection& injection);

// By posix_spawn(). Errors: kNotSupported, with the name of an option that it does not have.
[[nodiscard]] StepResult<Child> launch_portably(const CommandSpec& spec, Runtime& runtime);

// The descriptors of a child: which number of the parent's becomes which of its own.
struct ChildFds {
  struct Placed {
    int source;
    int number;
  };

  std::vector<Placed> placed;           // Each number once; 0 to 2 among them.
  std::array<Stream, 3> parents_ends;   // Of the streams that are pipes.
  std::vector<OwnedNumber> child_ends;  // What is the child's alone.

  // Opens what the streams need. Errors by step: "standard output: open /x", "pass fd".
  [[nodiscard]] static StepResult<ChildFds> open(const CommandSpec& spec, Runtime& runtime);
};

}  // namespace rearm::detail
