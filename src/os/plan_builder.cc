#include "os/plan_builder.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include "os/kernel_names.h"

namespace rearm::detail {
namespace {

constexpr long kMountSetattr = 442;
constexpr long kRecursive = 0x8000;  // AT_RECURSIVE

// struct mount_attr, for all that is to be read-only.
struct MountAttributes {
  std::uint64_t set;
  std::uint64_t clear;
  std::uint64_t propagation;
  std::uint64_t user_namespace;
};
constexpr MountAttributes kReadOnly{.set = 1, .clear = 0, .propagation = 0, .user_namespace = 0};

[[nodiscard]] bool has_nul(const std::string& text) { return text.find('\0') != text.npos; }

}  // namespace

Op& PlanBuilder::add(const char* step, long number, long a, long b, long c, long d, long e) {
  Op& op = ops_.emplace_back();
  op.step = step;
  op.number = number;
  op.arguments[0] = a;
  op.arguments[1] = b;
  op.arguments[2] = c;
  op.arguments[3] = d;
  op.arguments[4] = e;
  return op;
}

const char* PlanBuilder::keep(std::string text) {
  return kept_text_.emplace_back(std::move(text)).c_str();
}

bool PlanBuilder::may_share_memory() const noexcept {
  const bool enters_user = std::ranges::any_of(
      spec_.entered, [](const auto& entered) { return entered.kind == Namespace::kUser; });
  return !spec_.user && !spec_.group && !enters_user;
}

std::string PlanBuilder::describe(unsigned op) const {
  const Op& failed = ops_[op];
  std::string text = failed.step;
  if (failed.object != nullptr) text += std::string(" ") + failed.object;
  if (failed.object_number >= 0) text += " " + std::to_string(failed.object_number);
  return text;
}

StepResult<void> PlanBuilder::build(std::vector<Placed> placed, int await_fd) {
  ops_.reserve(16);
  if (auto built = text_.build(spec_); !built) return built;
  if (auto added = add_namespaces(await_fd); !added) return added;
  if (auto added = add_mounts(); !added) return added;
  if (spec_.working_directory) {
    if (has_nul(*spec_.working_directory)) {
      return step_failed("working directory: a NUL", Errc::kInvalidArgument);
    }
    const char* const path = spec_.working_directory->c_str();
    add("change to directory", SYS_chdir, address(path)).object = path;
  }
  if (auto added = add_descriptors(std::move(placed)); !added) return added;
  add_session();
  if (auto added = add_limits(); !added) return added;
  add_privileges();
  add_signals();
  add_last();

  plan_.ops = ops_.data();
  plan_.op_count = static_cast<unsigned>(ops_.size());
  plan_.programs = text_.programs().data();
  plan_.arguments = text_.arguments().data();
  plan_.environment = text_.environment().data();
  plan_.kept = kept_fds_.data();
  plan_.kept_count = static_cast<unsigned>(kept_fds_.size());
  return {};
}

StepResult<void> PlanBuilder::add_namespaces(int await_fd) {
  if (spec_.cgroup) {
    Op& op = add("join cgroup", 0, *spec_.cgroup);
    op.kind = Op::Kind::kJoinCgroup;
  }
  bool time = false;
  for (const Namespace kind : spec_.new_namespaces) {
    if (kind == Namespace::kTime) {
      time = true;  // Its flag is taken for a signal by clone().
    } else {
      clone_flags_ |= clone_flag(kind);
    }
  }
  if (spec_.user_maps) clone_flags_ |= clone_flag(Namespace::kUser);
  for (const CommandSpec::Entered& entered : spec_.entered) {
    const auto flag = static_cast<long>(clone_flag(entered.kind));
    add("enter namespace", SYS_setns, entered.fd, flag).object = name_of(entered.kind);
  }
  if (await_fd >= 0) {
    add("wait for the parent", 0, await_fd).kind = Op::Kind::kAwait;
  }
  if (time) {
    add("make namespace", SYS_unshare, static_cast<long>(clone_flag(Namespace::kTime))).object =
        name_of(Namespace::kTime);
  }
  if (spec_.hostname) {
    const std::string& name = *spec_.hostname;
    const auto bytes = static_cast<long>(name.size());
    add("set host name", SYS_sethostname, address(name.c_str()), bytes).object = name.c_str();
  }
  return {};
}

StepResult<void> PlanBuilder::add_mounts() {
  const bool makes_one = (clone_flags_ & clone_flag(Namespace::kMount)) != 0;
  const bool enters_one = std::ranges::any_of(
      spec_.entered, [](const auto& entered) { return entered.kind == Namespace::kMount; });
  const bool pivots = spec_.root && spec_.root->how == Command::Root::kPivot;
  if (!makes_one && !enters_one && (!spec_.mounts.empty() || pivots)) {
    return step_failed("mount: without a mount namespace it would be the parent's",
                       Errc::kInvalidArgument);
  }
  if (makes_one) {
    add("make mounts private", SYS_mount, 0, address("/"), 0, MS_REC | MS_PRIVATE);
  }
  std::string root;
  if (spec_.root) {
    root = spec_.root->path;
    if (root.empty() || has_nul(root)) {
      return step_failed("root: empty or with a NUL", Errc::kInvalidArgument);
    }
    if (pivots) {
      const char* const path = spec_.root->path.c_str();
      add("bind root", SYS_mount, address(path), address(path), 0, MS_BIND | MS_REC).object = path;
    }
  }
  for (const Mount& mount : spec_.mounts) {
    if (mount.target.empty() || has_nul(mount.target) || has_nul(mount.source) ||
        has_nul(mount.options)) {
      return step_failed("mount: a target that is empty, or a NUL", Errc::kInvalidArgument);
    }
    add_mount(mount, root);
  }
  if (spec_.root) add_root(spec_.root->path.c_str());
  return {};
}

void PlanBuilder::add_mount(const Mount& mount, const std::string& root) {
  const bool needs_slash = !root.empty() && !mount.target.starts_with('/');
  const char* const target = keep(root + (needs_slash ? "/" : "") + mount.target);
  switch (mount.kind) {
    case Mount::Kind::kBind: {
      const long flags = MS_BIND | (mount.recursive ? MS_REC : 0);
      add("bind", SYS_mount, address(mount.source.c_str()), address(target), 0, flags).object =
          target;
      break;
    }
    case Mount::Kind::kProc:
      add("mount proc on", SYS_mount, address("proc"), address(target), address("proc"),
          MS_NOSUID | MS_NODEV | MS_NOEXEC)
          .object = target;
      break;
    case Mount::Kind::kTmpfs:
      add("mount tmpfs on", SYS_mount, address("tmpfs"), address(target), address("tmpfs"),
          MS_NOSUID | MS_NODEV, address(mount.options.c_str()))
          .object = target;
      break;
  }
  // Not by MS_REMOUNT, which leaves what is mounted below it writable.
  if (mount.read_only) {
    add("make read-only", kMountSetattr, AT_FDCWD, address(target),
        mount.recursive ? kRecursive : 0, address(&kReadOnly), sizeof(kReadOnly))
        .object = target;
  }
}

void PlanBuilder::add_root(const char* root) {
  if (spec_.root->how == Command::Root::kChroot) {
    add("chroot to", SYS_chroot, address(root)).object = root;
  } else {
    add("change to root", SYS_chdir, address(root)).object = root;
    // The old root lies on top of the new one then, and is taken off.
    add("pivot_root to", SYS_pivot_root, address("."), address(".")).object = root;
    add("unmount the old root of", SYS_umount2, address("."), MNT_DETACH).object = root;
  }
  add("change to the new root", SYS_chdir, address("/"));
}

// Which numbers are wanted may be anybody's in the parent. A source whose number is wanted by
// another is moved out of the way first, in the parent, so that the order of the rest is of no
// account.
StepResult<void> PlanBuilder::add_descriptors(std::vector<Placed> placed) {
  for (const Placed& one : placed) kept_fds_.push_back(one.number);
  std::ranges::sort(kept_fds_);
  const int above = kept_fds_.empty() ? 3 : kept_fds_.back() + 1;
  for (Placed& one : placed) {
    if (one.source != one.number && std::ranges::binary_search(kept_fds_, one.source)) {
      const int moved = ::fcntl(one.source, F_DUPFD_CLOEXEC, above);
      if (moved < 0) return step_failed("pass fd " + std::to_string(one.source), errno);
      moved_.emplace_back(moved);
      one.source = moved;
    }
  }
  for (const Placed& one : placed) {
    Op& op = one.source == one.number ? add("pass fd as", SYS_fcntl, one.number, F_SETFD, 0)
                                      : add("pass fd as", SYS_dup3, one.source, one.number, 0);
    op.object_number = one.number;
  }
  add("close other descriptors", 0).kind = Op::Kind::kCloseOthers;
  return {};
}

void PlanBuilder::add_session() {
  if (spec_.new_session) add("make session", SYS_setsid);
  if (spec_.process_group) add("set process group", SYS_setpgid, 0, *spec_.process_group);
  if (spec_.controlling_terminal) {
    add("set controlling terminal", SYS_ioctl, *spec_.controlling_terminal, TIOCSCTTY, 0)
        .object_number = *spec_.controlling_terminal;
  }
}

}  // namespace rearm::detail
