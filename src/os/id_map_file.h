// ChildDirectory: a child's directory in /proc, and the files of its user namespace. Linux.
//
// A pid in a path names whatever has it when the path is looked up. The descriptor of the directory
// names one process for ever: that of then. So it is opened once, and the pidfd, which names the
// child, must say afterwards that the child had not been reaped: then the directory is the child's,
// and so is each file that is opened in it, whatever becomes of the child later.
#pragma once

#include <span>

#include "os/owned_number.h"
#include "rearm/os/id_map.h"
#include "rearm/os/step_error.h"

namespace rearm::detail {

class ChildDirectory {
 public:
  // Errors: "open /proc/PID"; "is the child alive" with ESRCH.
  [[nodiscard]] static StepResult<ChildDirectory> open(int pid, int pidfd);

  // Writes both, and denies setgroups() first if the kernel asks for it. The maps must be good
  // (check_id_map). Blocks for six system calls.
  [[nodiscard]] StepResult<void> write_id_maps(std::span<const IdRange> uid_map,
                                               std::span<const IdRange> gid_map) const;

  [[nodiscard]] StepResult<OwnedNumber> open_user_namespace() const;

 private:
  explicit ChildDirectory(OwnedNumber directory) : directory_(std::move(directory)) {}
  [[nodiscard]] StepResult<OwnedNumber> open_file(const char* name, int flags) const;
  [[nodiscard]] StepResult<void> write_file(const char* name, std::string_view text) const;

  OwnedNumber directory_;
};

}  // namespace rearm::detail
