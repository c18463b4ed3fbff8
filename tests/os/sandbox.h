// A child with everything that Linux has, for the tests that may make namespaces.
#pragma once

#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "os/os_fixture.h"

namespace rearm::test {

// Why namespaces cannot be tested here, or "".
[[nodiscard]] inline std::string no_namespaces() {
  // Not by unshare(): the child of a fork under a sanitizer has a second thread.
  const long pid = ::syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | SIGCHLD,
                             nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::syscall(SYS_exit_group, 0);
  int status = 1;
  if (pid > 0) (void)::waitpid(static_cast<pid_t>(pid), &status, 0);
  return status == 0 ? "" : "this system lets the tests make no user namespace";
}

[[nodiscard]] inline std::size_t mounts_below(const std::string& path) {
  std::ifstream mounts("/proc/self/mounts");
  std::string line;
  std::size_t count = 0;
  while (std::getline(mounts, line)) count += line.find(path) != std::string::npos;
  return count;
}

// A root with the system's directories bound into it, below `path`.
class Sandbox {
 public:
  explicit Sandbox(std::string path) : root_(std::move(path)) {
    for (const char* name : {"", "/bin", "/usr", "/lib", "/lib64", "/etc", "/proc", "/tmp"}) {
      ::mkdir((root_ + name).c_str(), 0755);
    }
  }
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  [[nodiscard]] const std::string& root() const { return root_; }

  // The user of the tests as root inside.
  [[nodiscard]] static IdMap users() { return {{.inside = 0, .outside = ::getuid(), .count = 1}}; }
  [[nodiscard]] static IdMap groups() { return {{.inside = 0, .outside = ::getgid(), .count = 1}}; }

  // Users, mounts and processes of its own, and this root.
  [[nodiscard]] Command confine(Command command) const {
    command.user_namespace(users(), groups())
        .new_namespaces({Namespace::kMount, Namespace::kPid})
        .root(root_, Command::Root::kPivot)
        .mount(Mount::proc("/proc"))
        .mount(Mount::tmpfs("/tmp", "size=1m"));
    for (const char* name : {"/bin", "/usr", "/lib", "/lib64"}) {
      if (std::filesystem::exists(name)) command.mount(Mount::bind(name, name, true));
    }
    return command;
  }

  [[nodiscard]] Command everything() const {
    Command command = confine(Command("/bin/true"));
    Capabilities capabilities{.effective = {Capability::kKill},
                              .permitted = {Capability::kKill},
                              .inheritable = {Capability::kKill},
                              .bounding = {Capability::kKill},
                              .ambient = {Capability::kKill}};
    command.new_namespaces({Namespace::kNet, Namespace::kIpc, Namespace::kUts, Namespace::kCgroup})
        .hostname("box")
        .working_directory("/tmp")
        .standard_input(Stdio::null())
        .new_session()
        .cpus({0})
        .nice(5)
        .umask(077)
        .limit(Limit::kOpenFiles, 64, 64)
        .securebits(0)
        .user(0)
        .group(0)
        .capabilities(capabilities)
        .parent_death_signal(9)
        .seccomp(expect_value(allow_all()));
    if (::getuid() == 0) command.groups({0});
    return command;
  }

  [[nodiscard]] static StepResult<SeccompFilter> allow_all() {
    constexpr SeccompFilter::Instruction kAllow{
        .code = 0x06, .if_true = 0, .if_false = 0, .operand = 0x7fff0000};
    return SeccompFilter::from_bpf({&kAllow, 1});
  }

 private:
  std::string root_;
};

}  // namespace rearm::test
