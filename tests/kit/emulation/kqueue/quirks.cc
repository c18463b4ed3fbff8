// How it works. The settings are a pair under a lock, read once for each kqueue.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <utility>

#include "emulation/kqueue/kqueue_emulation.h"

namespace rearm::test::kqueue_emulation {
namespace {

struct Settings {
  Quirks quirks;
  Faults faults;
};

constexpr std::array<std::pair<std::string_view, System>, 8> kNames = {{
    {"freebsd", System::kFreebsd},
    {"freebsd13", System::kFreebsd13},
    {"macos", System::kMacos},
    {"netbsd", System::kNetbsd},
    {"netbsd10", System::kNetbsd10},
    {"openbsd", System::kOpenbsd},
    {"openbsd73", System::kOpenbsd73},
    {"dragonfly", System::kDragonfly},
}};

Settings from_environment() {
  const char* const system_name = std::getenv("REARM_KQUEUE_SYSTEM");
  const std::string_view name = system_name != nullptr ? system_name : "freebsd";
  System system = System::kFreebsd;
  bool is_known = name.empty();
  for (const auto& [known, which] : kNames) {
    if (known != name) continue;
    system = which;
    is_known = true;
  }
  if (!is_known) {
    std::fprintf(stderr, "REARM_KQUEUE_SYSTEM: no such system\n");
    std::abort();
  }
  const char* const faults = std::getenv("REARM_KQUEUE_FAULTS");
  const char* const seed = faults != nullptr ? faults : "";
  constexpr std::string_view kSpurious = "spurious:";
  if (std::string_view(seed).starts_with(kSpurious)) {
    return {quirks_of(system), fault_spurious(std::strtoull(seed + kSpurious.size(), nullptr, 10))};
  }
  const std::uint64_t number = std::strtoull(seed, nullptr, 10);
  return {quirks_of(system), number != 0 ? fault_mixture(system, number) : Faults{}};
}

std::mutex settings_mu;

Settings& settings() {
  static Settings now = from_environment();
  return now;
}

}  // namespace

// Sources: sys/kern/kern_event.c, sys_pipe.c, uipc_socket.c and fifo_vnops.c of FreeBSD, NetBSD and
// OpenBSD, bsd/kern/kern_event.c, sys_pipe.c and vfs_vnops.c of XNU, kern_event.c of DragonFly, and
// the manual page kqueue(2) of each. Which versions: System in kqueue_emulation.h.
Quirks quirks_of(System system) {
  constexpr std::int64_t kTickNs = 10'000'000;  // HZ is 100.
  Quirks quirks;
  switch (system) {
    case System::kFreebsd: quirks.keeps_udata = true; [[fallthrough]];
    case System::kFreebsd13:
      quirks.enable_disable_is_invalid = true;
      quirks.forgets_what_had_room = true;  // kqueue_kevent: td_retval is not set.
      quirks.close_wakes_sleepers = false;  // kqueue_close runs when the last sleeper has left.
      quirks.pipe_write_end_is_oneshot = true;
      quirks.broken_pipe_error =
          EPIPE;  // sys_pipe.c, pipe_kqfilter; a FIFO's peer stays "present".
      quirks.fifo_is_one_way = true;
      break;
    case System::kMacos:
      quirks.user_trigger_on_attach = true;  // filt_userattach; mio#1987 came from relying on it.
      quirks.trigger_with_clear_cancels = false;
      quirks.stops_without_room = false;  // kevent_internal.
      quirks.oneshot_revalidates = true;  // knote_process.
      // vfs_vnops.c, filt_vnode_common; fifo_close_internal posts nothing (golang/go#24164).
      quirks.fifo_has_no_end = true;
      quirks.long_timeout_is_invalid = true;  // timespec_is_valid; Go's netpoll caps its timeouts.
      quirks.closed_number_is_enoent = true;
      quirks.unpollable_error = EINVAL;  // mio#1377.
      break;
    case System::kNetbsd:
    case System::kNetbsd10:
    case System::kNetbsd2023:
      quirks.enable_wins = true;               // kqueue_register: EV_DISABLE, then EV_ENABLE.
      quirks.returns_change_flags = true;      // epoll-shim calls it SPURIOUS_EV_ADD.
      quirks.listen_is_seen_at_attach = true;  // soo_kqfilter chooses solisten_filtops.
      quirks.fifo_writer_is_deaf = true;       // fifo_kqfilter: both on the reader's socket.
      quirks.tick_ns = kTickNs;                // tstohz.
      if (system == System::kNetbsd) quirks.pipe_wrong_end_is_silent = true;  // filt_pipewrongend
      if (system == System::kNetbsd2023) quirks.pipe_wrong_end_error = EINVAL;
      if (system != System::kNetbsd) quirks.broken_pipe_error = EBADF;
      // NetBSD and OpenBSD take a device without a filter as always ready (seltrue_kqfilter), which
      // Linux has no means to watch. It is refused here as FreeBSD does.
      break;
    case System::kOpenbsd:
      quirks.user_trigger_on_attach = true;  // filt_userattach; EV_CLEAR cancels: filt_usermodify.
      [[fallthrough]];
    case System::kOpenbsd73:
      quirks.has_user = system == System::kOpenbsd;
      quirks.enable_wins = true;  // kqueue_register.
      quirks.enable_replaces_udata = false;
      quirks.returns_change_flags = true;  // kn_kevent is the change.
      quirks.listen_is_seen_at_attach = true;
      quirks.fifo_wrong_end_error = EINVAL;  // fifo_kqfilter.
      quirks.tick_ns = kTickNs;
      quirks.broken_pipe_error = EPIPE;
      break;
    case System::kDragonfly:
      quirks.user_trigger_on_attach = true;
      quirks.listen_is_seen_at_attach = true;  // sokqfilter.
      quirks.bad_timeout_is_invalid = false;   // kern_kevent looks at nothing.
      quirks.tick_ns = kTickNs;                // tstohz_high.
      quirks.broken_pipe_error = EPIPE;
      break;
  }
  return quirks;
}

Faults fault_mixture(System system, std::uint64_t seed) {
  Faults faults;
  faults.seed = seed;
  faults.eintr_one_in = 8;
  faults.etimedout_one_in = system == System::kMacos ? 8 : 0;
  faults.few_one_in = 4;
  faults.shuffle_one_in = 4;
  faults.late_one_in = 8;
  faults.write_storm_one_in = 8;
  return faults;
}

Faults fault_spurious(std::uint64_t seed) { return {.seed = seed, .spurious_read_one_in = 8}; }

std::function<void()>& on_requeue() {
  static std::function<void()> hook;
  return hook;
}

void set_quirks(const Quirks& quirks) {
  const std::lock_guard lock(settings_mu);
  settings().quirks = quirks;
}

void set_faults(const Faults& faults) {
  const std::lock_guard lock(settings_mu);
  settings().faults = faults;
}

void reset() {
  const std::lock_guard lock(settings_mu);
  settings() = from_environment();
}

Quirks current_quirks() {
  const std::lock_guard lock(settings_mu);
  return settings().quirks;
}

Faults current_faults() {
  const std::lock_guard lock(settings_mu);
  return settings().faults;
}

}  // namespace rearm::test::kqueue_emulation
