// UserNamespace::create(): a child that shares this process's memory and descriptors, waits to be
// killed, and is killed in every case.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include <array>
#include <cerrno>

#include "os/child_stack.h"
#include "os/child_state.h"
#include "os/command_spec.h"
#include "os/id_map_file.h"
#include "os/kernel_names.h"
#include "os/plan.h"
#include "os/user_namespace_steps.h"
#include "rearm/os/user_namespace.h"

namespace rearm {
namespace {

using detail::ChildDirectory;
using detail::Op;
using detail::OwnedNumber;
using detail::step_failed;

[[nodiscard]] long address(const void* p) { return reinterpret_cast<long>(p); }

// What the child does: it ends with the thread that made it, and in any case after a minute, in
// which its parent must have come to kill it.
constexpr timespec kMinute{.tv_sec = 60, .tv_nsec = 0};

[[nodiscard]] std::array<Op, 2> steps_of_child() {
  std::array<Op, 2> ops{};
  ops[0].number = SYS_prctl;
  ops[0].arguments[0] = PR_SET_PDEATHSIG;
  ops[0].arguments[1] = SIGKILL;
  ops[1].number = SYS_ppoll;
  ops[1].arguments[2] = address(&kMinute);
  return ops;
}

[[nodiscard]] StepResult<OwnedNumber> make(int pid, int pidfd, std::span<const IdRange> uid_map,
                                           std::span<const IdRange> gid_map,
                                           const detail::UserNamespaceHooks& hooks) {
  if (hooks.cloned) hooks.cloned(pid);
  const auto directory = ChildDirectory::open(pid, pidfd);
  if (!directory) return std::unexpected(directory.error());
  auto opened = directory->open_user_namespace();
  if (!opened) return std::unexpected(opened.error());
  if (hooks.opened) hooks.opened(pid);
  if (auto written = directory->write_id_maps(uid_map, gid_map); !written) {
    return std::unexpected(written.error());
  }
  if (hooks.written) hooks.written(pid);
  return opened;
}

}  // namespace

StepResult<UserNamespace> UserNamespace::create(std::span<const IdRange> uid_map,
                                                std::span<const IdRange> gid_map) {
  auto opened = detail::create_user_namespace(uid_map, gid_map, {});
  if (!opened) return std::unexpected(opened.error());
  return UserNamespace(opened->release());
}

StepResult<OwnedNumber> detail::create_user_namespace(std::span<const IdRange> uid_map,
                                                      std::span<const IdRange> gid_map,
                                                      const UserNamespaceHooks& hooks) {
  if (auto good = check_id_map(uid_map, "uid map"); !good) return std::unexpected(good.error());
  if (auto good = check_id_map(gid_map, "gid map"); !good) return std::unexpected(good.error());

  const std::array<Op, 2> ops = steps_of_child();
  Report report;
  unsigned calls = 0;
  Plan plan;
  plan.ops = ops.data();
  plan.op_count = static_cast<unsigned>(ops.size());
  plan.report = &report;
  plan.calls = &calls;
  ChildStack stack;
  const CloneOptions options{.namespaces = clone_flag(Namespace::kUser),
                             .cgroup = -1,
                             .shares_memory = true,
                             .shares_files = true,
                             .waits = false};
  const Cloned cloned = clone_child(plan, options, stack.lowest(), ChildStack::kBytes);
  if (cloned.pid < 0) return step_failed("clone", static_cast<int>(-cloned.pid));
  const int pid = static_cast<int>(cloned.pid);
  const OwnedNumber pidfd(cloned.pidfd);
  // Killed and reaped before its stack goes.
  const UnclaimedChild child(pid, pidfd.get());
  if (pidfd.get() < 0) return step_failed("pidfd", Errc::kNotSupported);
  return make(pid, pidfd.get(), uid_map, gid_map, hooks);
}

}  // namespace rearm
