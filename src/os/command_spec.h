// CommandSpec: what a Command was told, as it was told.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rearm/os/command.h"

namespace rearm::detail {

struct CommandSpec {
  struct Variable {
    std::string name;
    std::optional<std::string> value;  // None: it is taken out.
  };
  struct PassedFd {
    int fd;
    int number;
  };
  struct ResourceLimit {
    Limit resource;
    std::uint64_t soft;
    std::uint64_t hard;
  };
  struct Signals {
    std::vector<int> ignored;
    bool default_all;
  };
  struct Entered {
    Namespace kind;
    int fd;
  };
  struct UserMaps {
    IdMap uid;
    IdMap gid;
  };
  struct NewRoot {
    std::string path;
    Command::Root how;
  };

  std::string program;
  std::optional<std::string> argument_zero;
  std::vector<std::string> arguments;

  bool inherits_environment = true;
  std::vector<Variable> environment;

  std::optional<std::string> working_directory;
  Stdio streams[3] = {Stdio::inherit(), Stdio::inherit(), Stdio::inherit()};
  std::vector<PassedFd> passed;
  std::optional<int> process_group;
  bool new_session = false;

  std::optional<unsigned> umask;
  std::optional<int> controlling_terminal;
  std::vector<ResourceLimit> limits;
  std::optional<int> nice;
  std::vector<unsigned> cpus;
  std::optional<Signals> signals;
  std::optional<int> cgroup;
  std::optional<std::uint32_t> user;
  std::optional<std::uint32_t> group;
  std::optional<std::vector<std::uint32_t>> groups;
  std::optional<Capabilities> capabilities;
  std::optional<unsigned> securebits;
  std::optional<int> parent_death_signal;
  bool no_new_privileges = false;
  std::vector<Namespace> new_namespaces;
  std::optional<UserMaps> user_maps;
  std::vector<Entered> entered;
  std::optional<std::string> hostname;
  std::vector<Mount> mounts;
  std::optional<NewRoot> root;
  std::function<StepResult<void>(const Newborn&)> before_exec;
  std::optional<SeccompFilter> seccomp;

  // The name of the first option that only Linux has, or "".
  [[nodiscard]] std::string_view first_of_linux() const;
};

[[nodiscard]] inline std::unexpected<StepError> step_failed(std::string step,
                                                            std::error_code code) {
  return std::unexpected(StepError{.code = code, .step = std::move(step)});
}
[[nodiscard]] inline std::unexpected<StepError> step_failed(std::string step, int error) {
  return step_failed(std::move(step), std::error_code(error, std::system_category()));
}

}  // namespace rearm::detail
