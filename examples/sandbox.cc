// Sandbox: runs a program that nobody trusts, and says how it ended.
//
//   ./sandbox /usr/bin/python3 -c 'print(6 * 7)'
//   ok: exit code 0, 18 ms of CPU, 9 MiB
//   42
//
// The program has two seconds, 256 MiB of address space and 64 KiB of output; no network, no other
// process to see, nothing to write to but 1 MiB of /tmp; it is nobody outside and root of nothing
// inside, and cannot trace, mount or change what it is. Needs a kernel that lets its caller make
// user namespaces; with one that does not, the step says so and the exit status is 2.
//
// Exit status: 0 if the program ended with 0, 1 if it did not, 2 if it could not be started.
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "rearm/rearm.h"

using namespace std::chrono_literals;
using rearm::Command;
using rearm::Mount;
using rearm::Namespace;
using rearm::SeccompAction;
using rearm::SeccompFilter;

namespace {

// What a program that computes has no use for. Refused and not ended, so that one that only tries
// can go on.
rearm::StepResult<SeccompFilter> filter() {
  return SeccompFilter::Builder(SeccompAction::allow())
      .rules({"ptrace", "process_vm_readv", "process_vm_writev", "bpf", "perf_event_open",
              "userfaultfd", "keyctl", "add_key", "request_key", "mount", "umount2", "pivot_root",
              "unshare", "setns", "open_by_handle_at", "kexec_load"},
             SeccompAction::error(EPERM))
      .build();
}

// A directory to become the program's root: empty but for where the system's are bound.
class Root {
 public:
  Root() : path_((std::filesystem::temp_directory_path() / "rearm-sandbox-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
    for (const char* name : {"/usr", "/bin", "/lib", "/lib64", "/proc", "/tmp"}) {
      std::filesystem::create_directory(path_ + name);
    }
  }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  ~Root() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Command confine(Command command, const Root& root) {
  constexpr std::uint64_t kMemory = std::uint64_t{256} << 20;
  command.clear_environment()
      .environment("PATH", "/usr/bin:/bin")
      .user_namespace({{.inside = 0, .outside = ::getuid(), .count = 1}},
                      {{.inside = 0, .outside = ::getgid(), .count = 1}})
      .new_namespaces(
          {Namespace::kMount, Namespace::kPid, Namespace::kNet, Namespace::kIpc, Namespace::kUts})
      .hostname("sandbox")
      .root(root.path(), Command::Root::kPivot)
      .mount(Mount::proc("/proc"))
      .mount(Mount::tmpfs("/tmp", "size=1m"))
      .working_directory("/tmp")
      .standard_input(rearm::Stdio::null())
      .limit(rearm::Limit::kCpuSeconds, 2, 3)
      .limit(rearm::Limit::kAddressSpaceBytes, kMemory, kMemory)
      .limit(rearm::Limit::kOpenFiles, 64, 64)
      .limit(rearm::Limit::kCoreBytes, 0, 0)
      .capabilities({.effective = {},
                     .permitted = {},
                     .inheritable = {},
                     .bounding = rearm::CapabilitySet::none(),
                     .ambient = {}});
  for (const char* name : {"/usr", "/bin", "/lib", "/lib64"}) {
    if (std::filesystem::exists(name)) command.mount(Mount::bind(name, name, /*read_only=*/true));
  }
  return command;
}

int report(const rearm::StepResult<rearm::Output>& output) {
  if (!output) {
    const std::error_code code = output.error().code;
    if (code == rearm::Errc::kTimedOut) std::puts("time limit");
    if (code == std::errc::message_size) std::puts("output limit");
    if (code == rearm::Errc::kTimedOut || code == std::errc::message_size) return 1;
    std::printf("not started: %s\n", rearm::to_string(output.error()).c_str());
    return 2;
  }
  const rearm::ExitStatus& status = output->status;
  const auto cpu = std::chrono::duration_cast<std::chrono::milliseconds>(status.usage.user_time +
                                                                         status.usage.system_time);
  std::printf("%s: %s, %lld ms of CPU, %llu MiB\n", status.success() ? "ok" : "failed",
              rearm::to_string(status).c_str(), static_cast<long long>(cpu.count()),
              static_cast<unsigned long long>(status.usage.peak_resident_bytes >> 20));
  std::fputs(output->standard_output.c_str(), stdout);
  std::fputs(output->standard_error.c_str(), stderr);
  return status.success() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: sandbox PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  const Root root;
  Command command = confine(Command(argv[1], {argv + 2, argv + argc}), root);
  if (auto forbidden = filter()) {
    command.seccomp(*forbidden);
  } else {
    std::fprintf(stderr, "without a filter: %s\n", rearm::to_string(forbidden.error()).c_str());
  }
  rearm::Runtime runtime;
  return runtime.run([&] {
    return report(command.output({.deadline = rearm::Deadline::after(2s), .max_bytes = 64 * 1024}));
  });
}
