// The later half of a plan: limits, privileges, signals, and what comes last.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "os/kernel_names.h"
#include "os/plan_builder.h"

namespace rearm::detail {
namespace {

// Newer than the headers of some C libraries.
constexpr long kNoNewPrivileges = 38;
constexpr long kAmbient = 47;
constexpr long kAmbientRaise = 2;
constexpr long kAmbientClearAll = 4;
constexpr unsigned kSecbitKeepCaps = 0x10;
constexpr std::uint32_t kCapabilityVersion3 = 0x20080522;
constexpr long kSetModeFilter = 1;
constexpr long kSigsetBytes = 8;

[[nodiscard]] int number_of(Limit resource) {
  switch (resource) {
    case Limit::kCpuSeconds: return RLIMIT_CPU;
    case Limit::kFileBytes: return RLIMIT_FSIZE;
    case Limit::kDataBytes: return RLIMIT_DATA;
    case Limit::kStackBytes: return RLIMIT_STACK;
    case Limit::kCoreBytes: return RLIMIT_CORE;
    case Limit::kAddressSpaceBytes: return RLIMIT_AS;
    case Limit::kOpenFiles: return RLIMIT_NOFILE;
    case Limit::kProcesses: return RLIMIT_NPROC;
    case Limit::kLockedBytes: return RLIMIT_MEMLOCK;
  }
  return -1;
}

[[nodiscard]] std::uint32_t low(CapabilitySet set) {
  return static_cast<std::uint32_t>(set.bits());
}
[[nodiscard]] std::uint32_t high(CapabilitySet set) {
  return static_cast<std::uint32_t>(set.bits() >> 32);
}

constexpr int kCapabilities = 64;

}  // namespace

StepResult<void> PlanBuilder::add_limits() {
  if (!spec_.cpus.empty()) {
    constexpr unsigned kMostCpus = 1 << 16;
    constexpr unsigned kBits = sizeof(unsigned long) * CHAR_BIT;
    for (const unsigned cpu : spec_.cpus) {
      if (cpu >= kMostCpus) {
        return step_failed("set affinity: processor " + std::to_string(cpu),
                           Errc::kInvalidArgument);
      }
      cpu_mask_.resize(std::max<std::size_t>(cpu_mask_.size(), cpu / kBits + 1));
      cpu_mask_[cpu / kBits] |= 1UL << (cpu % kBits);
    }
    add("set affinity", SYS_sched_setaffinity, 0,
        static_cast<long>(cpu_mask_.size() * sizeof(unsigned long)), address(cpu_mask_.data()));
  }
  if (spec_.nice) add("set nice value", SYS_setpriority, PRIO_PROCESS, 0, *spec_.nice);
  if (spec_.umask) add("set umask", SYS_umask, static_cast<long>(*spec_.umask));
  for (const CommandSpec::ResourceLimit& limit : spec_.limits) {
    const KernelLimit& kept =
        limits_.emplace_back(KernelLimit{.soft = limit.soft, .hard = limit.hard});
    add("limit", SYS_prlimit64, 0, number_of(limit.resource), address(&kept)).object =
        name_of(limit.resource);
  }
  return {};
}

void PlanBuilder::add_privileges() {
  const bool keeps = spec_.capabilities && spec_.user;
  if (spec_.securebits) {
    // Kept until the exec, which clears the bit.
    const unsigned bits = *spec_.securebits | (keeps ? kSecbitKeepCaps : 0U);
    add("set securebits", SYS_prctl, PR_SET_SECUREBITS, static_cast<long>(bits));
  } else if (keeps) {
    add("keep capabilities", SYS_prctl, PR_SET_KEEPCAPS, 1);
  }
  if (spec_.capabilities) {
    for (int number = 0; number < kCapabilities; ++number) {
      if ((spec_.capabilities->bounding.bits() >> number & 1U) != 0) continue;
      if (number > static_cast<int>(Capability::kCheckpointRestore)) break;
      Op& op = add("drop from bounding set", SYS_prctl, PR_CAPBSET_DROP, number);
      op.object_number = number;
      op.ignored_error = EINVAL;  // One that this kernel does not know.
    }
  }
  if (spec_.groups) {
    add("set groups", SYS_setgroups, static_cast<long>(spec_.groups->size()),
        address(spec_.groups->data()));
  }
  if (spec_.group) {
    const long gid = *spec_.group;
    add("set group", SYS_setresgid, gid, gid, gid).object_number = static_cast<int>(gid);
  }
  if (spec_.user) {
    const long uid = *spec_.user;
    add("set user", SYS_setresuid, uid, uid, uid).object_number = static_cast<int>(uid);
  }
  if (spec_.capabilities) add_capabilities(*spec_.capabilities);
}

void PlanBuilder::add_capabilities(const Capabilities& sets) {
  capability_header_ = {.version = kCapabilityVersion3, .pid = 0};
  capability_data_[0] = {.effective = low(sets.effective),
                         .permitted = low(sets.permitted),
                         .inheritable = low(sets.inheritable)};
  capability_data_[1] = {.effective = high(sets.effective),
                         .permitted = high(sets.permitted),
                         .inheritable = high(sets.inheritable)};
  add("set capabilities", SYS_capset, address(&capability_header_),
      address(capability_data_.data()));
  add("clear ambient capabilities", SYS_prctl, kAmbient, kAmbientClearAll);
  for (int number = 0; number < kCapabilities; ++number) {
    if ((sets.ambient.bits() >> number & 1U) == 0) continue;
    add("raise ambient capability", SYS_prctl, kAmbient, kAmbientRaise, number).object_number =
        number;
  }
}

void PlanBuilder::add_signals() {
  // After the credentials, whose change would clear it.
  if (spec_.parent_death_signal) {
    add("set parent-death signal", SYS_prctl, PR_SET_PDEATHSIG, *spec_.parent_death_signal)
        .object_number = *spec_.parent_death_signal;
  }
  Op& reset = add("reset signals", 0, spec_.signals && spec_.signals->default_all ? 1 : 0);
  reset.kind = Op::Kind::kResetSignals;
  if (spec_.signals) {
    // The kernel's own struct: handler, flags, restorer, mask.
    ignore_action_ = {1 /* SIG_IGN */, 0, 0, 0};
    for (const int signal : spec_.signals->ignored) {
      add("ignore signal", SYS_rt_sigaction, signal, address(ignore_action_.data()), 0,
          kSigsetBytes)
          .object_number = signal;
    }
  }
  add("unblock signals", SYS_rt_sigprocmask, SIG_SETMASK, address(&no_signals_), 0, kSigsetBytes);
}

void PlanBuilder::add_last() {
  if (spec_.no_new_privileges || spec_.seccomp) {
    add("set no_new_privs", SYS_prctl, kNoNewPrivileges, 1);
  }
  if (spec_.seccomp) {
    const auto program = spec_.seccomp->program();
    filter_program_ = {.length = static_cast<unsigned short>(program.size()),
                       .instructions = program.data()};
    add("load seccomp filter", SYS_seccomp, kSetModeFilter, 0, address(&filter_program_));
  }
  Op& exec = add("exec", 0);
  exec.kind = Op::Kind::kExec;
  exec.object = spec_.program.c_str();
}

}  // namespace rearm::detail
