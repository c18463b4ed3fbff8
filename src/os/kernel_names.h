// The kernel's numbers for what public headers name, and names for errors. Linux.
#pragma once

#include <cstdint>

#include "rearm/os/command.h"

namespace rearm::detail {

// pidfd_send_signal(2), which the headers of Debian 12 have and older ones lack: on every
// processor.
constexpr long kPidfdSendSignal = 424;

// CLONE_NEW…, by its value: the headers of some C libraries lack one or the other.
[[nodiscard]] constexpr std::uint64_t clone_flag(Namespace kind) noexcept {
  switch (kind) {
    case Namespace::kUser: return 0x10000000;
    case Namespace::kMount: return 0x00020000;
    case Namespace::kPid: return 0x20000000;
    case Namespace::kNet: return 0x40000000;
    case Namespace::kIpc: return 0x08000000;
    case Namespace::kUts: return 0x04000000;
    case Namespace::kCgroup: return 0x02000000;
    case Namespace::kTime: return 0x00000080;
  }
  return 0;
}

[[nodiscard]] constexpr const char* name_of(Namespace kind) noexcept {
  switch (kind) {
    case Namespace::kUser: return "user";
    case Namespace::kMount: return "mount";
    case Namespace::kPid: return "pid";
    case Namespace::kNet: return "net";
    case Namespace::kIpc: return "ipc";
    case Namespace::kUts: return "uts";
    case Namespace::kCgroup: return "cgroup";
    case Namespace::kTime: return "time";
  }
  return "";
}

[[nodiscard]] constexpr const char* name_of(Limit resource) noexcept {
  switch (resource) {
    case Limit::kCpuSeconds: return "CPU seconds";
    case Limit::kFileBytes: return "file bytes";
    case Limit::kDataBytes: return "data bytes";
    case Limit::kStackBytes: return "stack bytes";
    case Limit::kCoreBytes: return "core bytes";
    case Limit::kAddressSpaceBytes: return "address-space bytes";
    case Limit::kOpenFiles: return "open files";
    case Limit::kProcesses: return "processes";
    case Limit::kLockedBytes: return "locked bytes";
  }
  return "";
}

}  // namespace rearm::detail
