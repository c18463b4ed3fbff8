// ExecText: the arguments, the environment and the paths of an exec, as execve(2) takes them.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "os/command_spec.h"
#include "rearm/os/step_error.h"

namespace rearm::detail {

class ExecText {
 public:
  // Points into `spec`, into the environment of this process and into this object. Errors:
  // kInvalidArgument (an empty program, a NUL, a name with '=').
  [[nodiscard]] StepResult<void> build(const CommandSpec& spec);

  // Each ended by nullptr.
  [[nodiscard]] const std::vector<const char*>& programs() const noexcept { return programs_; }
  [[nodiscard]] const std::vector<const char*>& arguments() const noexcept { return arguments_; }
  [[nodiscard]] const std::vector<const char*>& environment() const noexcept {
    return environment_;
  }

 private:
  [[nodiscard]] StepResult<void> build_environment(const CommandSpec& spec);
  void set_variable(const CommandSpec::Variable& variable);
  void build_programs(const CommandSpec& spec);

  std::vector<const char*> programs_;
  std::vector<const char*> arguments_;
  std::vector<const char*> environment_;
  std::deque<std::string> text_;
};

}  // namespace rearm::detail
