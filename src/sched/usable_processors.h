// How many workers a runtime has that is not told: as many as its process may keep busy.
//
// What this is. The least of how many processors there are, how many the thread's affinity allows,
// and what the CPU quota of its control group comes to, or of a group above it. A container with
// two processors' worth of time on a machine of 64 would otherwise start 64 workers, which the
// kernel stops all together whenever they have used up the quota of a period.
//
// Rounding. A quota of one and a half processors is two workers: the second one is of use in the
// first part of each period.
//
// Where it stands. /proc/self/cgroup names the process's group in each hierarchy, and
// /proc/self/mountinfo where the hierarchy is mounted and which of its groups is the root of what
// is seen there (man 7 cgroups, man 5 proc). Version 2: cpu.max, "QUOTA PERIOD" or "max PERIOD".
// Version 1: cpu.cfs_quota_us, -1 for none, and cpu.cfs_period_us. Each group up to the mount's
// root may have one of its own (kernel: admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst).
//
// Who may call. Any thread. What cannot be read limits nothing. A quota that changes later is not
// noticed.
#pragma once

#include <cstddef>
#include <limits>
#include <string>

namespace rearm::detail {

inline constexpr std::size_t kNoQuota = std::numeric_limits<std::size_t>::max();

// By the quota alone, at least 1; kNoQuota for none. `root` is where /proc and the mounts are
// found, "" for the system's own. Throws std::bad_alloc.
[[nodiscard]] std::size_t processors_by_quota(const std::string& root);

// By all that was said above, at least 1.
[[nodiscard]] std::size_t usable_processors();

}  // namespace rearm::detail
