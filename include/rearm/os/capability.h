// Capability and CapabilitySet: what root is divided into, on Linux (capabilities(7)).
#pragma once

#include <cstdint>
#include <initializer_list>

namespace rearm {

// The kernel's numbers.
enum class Capability : std::uint8_t {
  kChown = 0,
  kDacOverride,
  kDacReadSearch,
  kFowner,
  kFsetid,
  kKill,
  kSetgid,
  kSetuid,
  kSetpcap,
  kLinuxImmutable,
  kNetBindService,
  kNetBroadcast,
  kNetAdmin,
  kNetRaw,
  kIpcLock,
  kIpcOwner,
  kSysModule,
  kSysRawio,
  kSysChroot,
  kSysPtrace,
  kSysPacct,
  kSysAdmin,
  kSysBoot,
  kSysNice,
  kSysResource,
  kSysTime,
  kSysTtyConfig,
  kMknod,
  kLease,
  kAuditWrite,
  kAuditControl,
  kSetfcap,
  kMacOverride,
  kMacAdmin,
  kSyslog,
  kWakeAlarm,
  kBlockSuspend,
  kAuditRead,
  kPerfmon,
  kBpf,
  kCheckpointRestore,
};

// A value type: copy freely, any thread.
class CapabilitySet {
 public:
  constexpr CapabilitySet() noexcept = default;
  constexpr CapabilitySet(std::initializer_list<Capability> members) noexcept {
    for (const Capability member : members) bits_ |= bit(member);
  }

  // Every one that this header knows. A kernel that knows fewer takes those that it knows.
  [[nodiscard]] static constexpr CapabilitySet all() noexcept {
    return CapabilitySet((bit(Capability::kCheckpointRestore) << 1) - 1);
  }
  [[nodiscard]] static constexpr CapabilitySet none() noexcept { return {}; }

  [[nodiscard]] constexpr bool contains(Capability member) const noexcept {
    return (bits_ & bit(member)) != 0;
  }
  // As the kernel counts: bit n for the capability with the number n.
  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }

  [[nodiscard]] friend constexpr bool operator==(CapabilitySet, CapabilitySet) noexcept = default;

 private:
  explicit constexpr CapabilitySet(std::uint64_t bits) noexcept : bits_(bits) {}
  [[nodiscard]] static constexpr std::uint64_t bit(Capability member) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(member);
  }

  std::uint64_t bits_ = 0;
};

// The sets of a process; what is left out of `bounding` cannot be had again by any exec.
struct Capabilities {
  CapabilitySet effective;
  CapabilitySet permitted;
  CapabilitySet inheritable;
  CapabilitySet bounding = CapabilitySet::all();
  // What a program that is not set-user-ID keeps through exec. Each must be permitted and
  // inheritable, too, or the step "raise ambient capability" fails with EPERM.
  CapabilitySet ambient;
};

}  // namespace rearm
