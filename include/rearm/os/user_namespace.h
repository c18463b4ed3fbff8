// UserNamespace: a new user namespace that only a descriptor keeps alive. Linux.
//
// For ID-mapped mounts (mount_setattr(2)) and setns(2): no process lives in it. A short-lived child
// that never executes anything creates it; its maps are written and its namespace is opened while
// it is there, and its pidfd says afterwards that it was still there, so that all of these files
// were its own and not those of a process that has got its number. Then it is killed and reaped.
// It raises no SIGCHLD, and a waitpid(-1) elsewhere in the program does not see it.
#pragma once

#include <span>
#include <utility>

#include "rearm/os/id_map.h"
#include "rearm/os/step_error.h"

namespace rearm {

// A resource: movable, one owner; destroying it closes the descriptor, and the namespace goes when
// nothing else holds it.
class UserNamespace {
 public:
  // Makes one. From any thread or fiber; blocks the thread for the dozen system calls that it takes
  // (about a tenth of a millisecond), and never parks.
  // Where the caller has no CAP_SETGID in its own user namespace, the kernel takes a gid_map only
  // after setgroups() has been denied inside, and so that is done.
  // Errors: of check_id_map(); "clone" with ENOSPC or EAGAIN (limits of namespaces or processes),
  // EPERM; "write uid_map", "write gid_map" with EPERM (the map needs privileges); "open ns/user";
  // ESRCH from "is the child alive" if it was killed and reaped by somebody else meanwhile;
  // kNotSupported (another system, or Linux without pidfds). Nothing is left behind.
  [[nodiscard]] static StepResult<UserNamespace> create(std::span<const IdRange> uid_map,
                                                        std::span<const IdRange> gid_map);

  UserNamespace() noexcept = default;
  UserNamespace(UserNamespace&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UserNamespace& operator=(UserNamespace&& other) noexcept;
  ~UserNamespace();

  // The descriptor, close-on-exec, which stays this object's; -1 if moved from or released.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  // Gives the descriptor to the caller.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

 private:
  explicit UserNamespace(int fd) noexcept : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace rearm
