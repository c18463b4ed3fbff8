// launch() by posix_spawn(), for systems whose children we do not make ourselves.
//
// What it cannot do. Descriptors that are not close-on-exec are inherited, but on macOS, which has
// an attribute for it; those of this library are close-on-exec. Which step failed, posix_spawn()
// does not tell: the step is "posix_spawn".
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/errno.h"
#include "os/child_state.h"
#include "os/exec_text.h"
#include "os/launch.h"
#include "os/owned_number.h"
#include "rearm/runtime.h"

namespace rearm::detail {
namespace {

class SpawnActions {
 public:
  SpawnActions() {
    error_ = ::posix_spawn_file_actions_init(&actions_);
    if (error_ == 0) error_ = ::posix_spawnattr_init(&attributes_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }

  // Keeps the first error.
  void note(int error) {
    if (error_ == 0) error_ = error;
  }
  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] posix_spawn_file_actions_t* actions() { return &actions_; }
  [[nodiscard]] posix_spawnattr_t* attributes() { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  int error_ = 0;
};

// All sources above all numbers first, so that the order of the rest is of no account.
[[nodiscard]] std::error_code place(ChildFds& fds, SpawnActions& spawn) {
  int above = 3;
  for (const auto& one : fds.placed) above = std::max(above, one.number + 1);
  for (auto& one : fds.placed) {
    const int moved = ::fcntl(one.source, F_DUPFD_CLOEXEC, above);
    if (moved < 0) return error_of(-current_errno());
    fds.child_ends.emplace_back(moved);
    spawn.note(::posix_spawn_file_actions_adddup2(spawn.actions(), moved, one.number));
  }
  return {};
}

void set_attributes(const CommandSpec& spec, SpawnActions& spawn) {
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  sigset_t none;
  sigemptyset(&none);
  spawn.note(::posix_spawnattr_setsigmask(spawn.attributes(), &none));
  sigset_t reset;
  sigemptyset(&reset);
  sigaddset(&reset, SIGPIPE);
  spawn.note(::posix_spawnattr_setsigdefault(spawn.attributes(), &reset));
  if (spec.process_group) {
    flags |= POSIX_SPAWN_SETPGROUP;
    spawn.note(::posix_spawnattr_setpgroup(spawn.attributes(), *spec.process_group));
  }
#if defined(POSIX_SPAWN_SETSID)
  if (spec.new_session) flags |= POSIX_SPAWN_SETSID;
#endif
#if defined(POSIX_SPAWN_CLOEXEC_DEFAULT)
  flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
  spawn.note(::posix_spawnattr_setflags(spawn.attributes(), flags));
}

[[nodiscard]] StepResult<void> check_supported(const CommandSpec& spec) {
  if (const auto name = spec.first_of_linux(); !name.empty()) {
    return step_failed(std::string(name), Errc::kNotSupported);
  }
  if (spec.working_directory) return step_failed("working directory", Errc::kNotSupported);
#if !defined(POSIX_SPAWN_SETSID)
  if (spec.new_session) return step_failed("make session", Errc::kNotSupported);
#endif
  return {};
}

}  // namespace

StepResult<Child> launch_portably(const CommandSpec& spec, Runtime& runtime) {
  if (auto supported = check_supported(spec); !supported) {
    return std::unexpected(supported.error());
  }
  ExecText text;
  if (auto built = text.build(spec); !built) return std::unexpected(built.error());
  auto fds = ChildFds::open(spec, runtime);
  if (!fds) return std::unexpected(fds.error());
  SpawnActions spawn;
  if (const auto error = place(*fds, spawn)) return step_failed("pass fd", error);
  set_attributes(spec, spawn);
  if (spawn.error() != 0) return step_failed("posix_spawn", spawn.error());

  pid_t pid = -1;
  int failed = ENOENT;
  for (const char* const program : text.programs()) {
    if (program == nullptr) break;
    // What is not const for historical reasons is not written to.
    failed = ::posix_spawn(&pid, program, spawn.actions(), spawn.attributes(),
                           const_cast<char* const*>(text.arguments().data()),
                           const_cast<char* const*>(text.environment().data()));
    if (failed != ENOENT && failed != ENOTDIR && failed != EACCES) break;
  }
  if (failed != 0) return step_failed("posix_spawn " + spec.program, failed);
  auto state = ChildState::take(runtime, static_cast<int>(pid), -1);
  if (!state) return step_failed("watch the child", state.error());
  (*state)->has_own_group = spec.new_session || (spec.process_group && *spec.process_group == 0);
  return ChildState::make_child(std::move(*state), std::move(fds->parents_ends[0]),
                                std::move(fds->parents_ends[1]), std::move(fds->parents_ends[2]));
}

}  // namespace rearm::detail
