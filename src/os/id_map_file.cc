#include "os/id_map_file.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "base/errno.h"
#include "os/command_spec.h"
#include "os/kernel_names.h"

namespace rearm::detail {
StepResult<ChildDirectory> ChildDirectory::open(int pid, int pidfd) {
  const std::string path = "/proc/" + std::to_string(pid);
  const int number =
      system_call([&] { return ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); });
  if (number < 0) return step_failed("open " + path, error_of(number));
  ChildDirectory directory{OwnedNumber(number)};
  // Without a pidfd there is no proof; but a child that nobody reaped keeps its pid.
  if (pidfd >= 0) {
    const long alive =
        system_call([&] { return ::syscall(kPidfdSendSignal, pidfd, 0, nullptr, 0); });
    if (alive < 0) return step_failed("is the child alive", error_of(alive));
  }
  return directory;
}

StepResult<OwnedNumber> ChildDirectory::open_file(const char* name, int flags) const {
  const int number =
      system_call([&] { return ::openat(directory_.get(), name, flags | O_CLOEXEC); });
  if (number < 0) return step_failed(std::string("open ") + name, error_of(number));
  return OwnedNumber(number);
}

// In one write: the kernel takes no second one of a map.
StepResult<void> ChildDirectory::write_file(const char* name, std::string_view text) const {
  const auto file = open_file(name, O_WRONLY);
  if (!file) return std::unexpected(file.error());
  const auto n = system_call([&] { return ::write(file->get(), text.data(), text.size()); });
  if (n < 0) return step_failed(std::string("write ") + name, error_of(n));
  return {};
}

StepResult<void> ChildDirectory::write_id_maps(std::span<const IdRange> uid_map,
                                               std::span<const IdRange> gid_map) const {
  if (auto written = write_file("uid_map", to_string(uid_map)); !written) return written;
  const std::string groups = to_string(gid_map);
  auto written = write_file("gid_map", groups);
  if (written || written.error().code != std::errc::operation_not_permitted) return written;
  // Without CAP_SETGID outside: a process that could drop a group could get at what is denied to
  // that group.
  if (auto denied = write_file("setgroups", "deny"); !denied) return denied;
  return write_file("gid_map", groups);
}

StepResult<OwnedNumber> ChildDirectory::open_user_namespace() const {
  return open_file("ns/user", O_RDONLY);
}

}  // namespace rearm::detail
