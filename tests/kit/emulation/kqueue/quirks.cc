// How it works. The settings are a pair under a lock, read once for each kqueue.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "emulation/kqueue/kqueue_emulation.h"

namespace rearm::test::kqueue_emulation {
namespace {

struct Settings {
  Quirks quirks;
  Faults faults;
};

Settings from_environment() {
  const char* const system_name = std::getenv("REARM_KQUEUE_SYSTEM");
  const std::string_view name = system_name != nullptr ? system_name : "freebsd";
  System system = System::kFreebsd;
  if (name == "macos") {
    system = System::kMacos;
  } else if (name == "netbsd") {
    system = System::kNetbsd;
  } else if (name == "openbsd") {
    system = System::kOpenbsd;
  } else if (name != "freebsd" && !name.empty()) {
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

// Sources: sys/kern/kern_event.c and sys_pipe.c of FreeBSD, NetBSD and OpenBSD, bsd/kern/
// kern_event.c of XNU, and the manual page kqueue(2) of each.
Quirks quirks_of(System system) {
  Quirks quirks;
  switch (system) {
    case System::kFreebsd:
      quirks.broken_pipe_error = EPIPE;  // sys_pipe.c, pipe_kqfilter.
      quirks.unpollable_error = ENODEV;  // kern_conf.c, no_kqfilter.
      break;
    case System::kMacos:
      quirks.user_trigger_on_attach = true;  // filt_userattach; mio#1987 came from relying on it.
      quirks.trigger_with_clear_cancels = false;
      quirks.enable_disable_is_invalid = false;  // kevent_register: DISABLE wins.
      quirks.keeps_udata = false;
      quirks.oneshot_revalidates = true;  // knote_process.
      quirks.pipe_write_end_is_oneshot = false;
      quirks.fifo_is_one_way = false;
      quirks.pipe_end_is_read = true;         // Go's netpoll_kqueue.go makes up for it.
      quirks.fifo_has_no_end = true;          // golang/go#24164.
      quirks.long_timeout_is_invalid = true;  // Go's netpoll caps its timeouts.
      quirks.broken_pipe_error = EPIPE;       // mio#582.
      quirks.unpollable_error = EINVAL;       // mio#1377.
      break;
    case System::kNetbsd:
      quirks.has_user = false;  // Until 10.0.
      quirks.trigger_with_clear_cancels = false;
      quirks.enable_disable_is_invalid = false;
      quirks.keeps_udata = false;
      quirks.returns_add_flag = true;  // epoll-shim calls it SPURIOUS_EV_ADD.
      quirks.pipe_write_end_is_oneshot = false;
      quirks.fifo_is_one_way = false;
      quirks.hides_while_scanned = true;  // golang/go#42515.
      quirks.broken_pipe_error = EBADF;   // sys_pipe.c, pipe_kqfilter.
      // NetBSD and OpenBSD take a device without a filter as always ready (seltrue_kqfilter), which
      // Linux has no means to watch. It is refused here as FreeBSD does.
      quirks.unpollable_error = ENODEV;
      break;
    case System::kOpenbsd:
      quirks.has_user = false;  // Until 7.8.
      quirks.trigger_with_clear_cancels = false;
      quirks.enable_disable_is_invalid = false;
      quirks.keeps_udata = false;
      quirks.pipe_write_end_is_oneshot = false;
      quirks.fifo_is_one_way = false;
      quirks.broken_pipe_error = 0;  // sys_pipe.c, pipe_kqfilter: watched, and reported at once.
      quirks.unpollable_error = ENODEV;
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
