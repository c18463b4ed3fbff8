#include "os/exec_text.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

extern char** environ;

namespace rearm::detail {
namespace {

[[nodiscard]] bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

// Whether `entry` ("NAME=value") sets `name`.
[[nodiscard]] bool sets(const char* entry, std::string_view name) {
  return std::strncmp(entry, name.data(), name.size()) == 0 && entry[name.size()] == '=';
}

}  // namespace

StepResult<void> ExecText::build(const CommandSpec& spec) {
  if (spec.program.empty()) return step_failed("program: empty", Errc::kInvalidArgument);
  if (has_nul(spec.program)) return step_failed("program: a NUL", Errc::kInvalidArgument);
  if (spec.argument_zero && has_nul(*spec.argument_zero)) {
    return step_failed("argument 0: a NUL", Errc::kInvalidArgument);
  }
  arguments_.reserve(spec.arguments.size() + 2);
  arguments_.push_back(spec.argument_zero ? spec.argument_zero->c_str() : spec.program.c_str());
  for (const std::string& argument : spec.arguments) {
    if (has_nul(argument)) {
      return step_failed("argument " + std::to_string(arguments_.size()) + ": a NUL",
                         Errc::kInvalidArgument);
    }
    arguments_.push_back(argument.c_str());
  }
  arguments_.push_back(nullptr);
  if (auto built = build_environment(spec); !built) return built;
  build_programs(spec);
  return {};
}

StepResult<void> ExecText::build_environment(const CommandSpec& spec) {
  if (spec.inherits_environment) {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
      environment_.push_back(*entry);
    }
  }
  for (const CommandSpec::Variable& variable : spec.environment) {
    const std::string& name = variable.name;
    if (name.empty() || has_nul(name) || name.find('=') != name.npos) {
      return step_failed("environment: a name that is empty or has a '=' or a NUL",
                         Errc::kInvalidArgument);
    }
    if (variable.value && has_nul(*variable.value)) {
      return step_failed("environment " + name + ": a NUL", Errc::kInvalidArgument);
    }
    set_variable(variable);
  }
  environment_.push_back(nullptr);
  return {};
}

void ExecText::set_variable(const CommandSpec::Variable& variable) {
  std::erase_if(environment_, [&](const char* entry) { return sets(entry, variable.name); });
  if (!variable.value) return;
  environment_.push_back(text_.emplace_back(variable.name + "=" + *variable.value).c_str());
}

void ExecText::build_programs(const CommandSpec& spec) {
  if (spec.program.find('/') != spec.program.npos) {
    programs_ = {spec.program.c_str(), nullptr};
    return;
  }
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const char* const entry : environment_) {
    if (entry != nullptr && sets(entry, "PATH")) path = entry + std::strlen("PATH=");
  }
  for (;;) {
    const std::size_t end = std::min(path.find(':'), path.size());
    // An empty directory is the working directory.
    std::string directory(end == 0 ? "." : path.substr(0, end));
    programs_.push_back(text_.emplace_back(std::move(directory) + "/" + spec.program).c_str());
    if (end == path.size()) break;
    path.remove_prefix(end + 1);
  }
  programs_.push_back(nullptr);
}

}  // namespace rearm::detail
