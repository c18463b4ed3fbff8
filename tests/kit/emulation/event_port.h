// What a test may ask of the emulated event ports, and which of their freaks it may provoke.
//
// The faults are things that the real kernel does now and then, or that its documents allow. They
// are drawn from a seeded sequence; rates are in thousandths. Without faults the emulation does
// what illumos does when nothing special happens.
//
// REARM_PORT_FAULTS=<seed> in the environment turns on event_port_mixture(seed) for the process:
// the faults that a program which keeps the contract cannot notice except by the clock.
// REARM_PORT_FAULTS=spurious:<seed> turns on event_port_spurious(seed): reports of nothing, which a
// program may notice and must bear.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace rearm::test {

struct EventPortFaults {
  std::uint64_t seed = 1;

  // port_getn() with a timeout has slept and has events: it says ETIME and returns them.
  unsigned etime_with_events = 0;
  // A call that is about to sleep returns EINTR. The count keeps its input value, always.
  unsigned eintr = 0;
  // A call with a timeout that is about to sleep returns EINVAL, never twice in a row: illumos
  // 15254, where an interrupt could clobber the register that the timeout was computed in.
  unsigned einval = 0;
  // An event of a descriptor has an empty mask.
  unsigned fired_mask_zero = 0;
  // A call that has events sleeps for up to late_copy_us before it returns: what it has copied may
  // be closed, dissociated or associated again meanwhile.
  unsigned late_copy = 0;
  unsigned late_copy_us = 50;
  // A waiter that was signalled, and has events, leaves with EINTR instead. It signals nobody, so
  // that the others sleep on though there are events: the hole of illumos (event_port_wait.cc).
  unsigned lost_hand_off = 0;
  // An association for POLLIN fires although there is nothing to read: somebody else has read it.
  unsigned spurious_pollin = 0;
  // An association fires for one of POLLIN and POLLOUT although both are true.
  unsigned narrow_mask = 0;

  // A sleep that is to be shorter lasts that long: on illumos a tick, 10 ms (K: cv_waituntil_sig).
  // Off by default, because the tests would take thrice as long for nothing.
  std::int64_t shortest_sleep_ns = 0;

  // project.max-port-ids: how many ports there may be at once; 8192 by default.
  unsigned max_ports = 8192;
  // process.max-port-events, which a port reads when it is created.
  unsigned max_events = 65536;
  // Of two waiters with one minimum the newer one is first. illumos does so.
  bool lifo_waiters = true;
  // An event wakes all who wait and not the head alone; those who find nothing sleep again. No
  // source says that a system does so: Solaris' are closed.
  bool wakes_all = false;
  // A waiter with a larger minimum than all others comes before the last of them. illumos does so
  // (port_queue_thread, seen to happen over its code).
  bool mixed_nget_starvation = true;
};

[[nodiscard]] EventPortFaults event_port_mixture(std::uint64_t seed);
[[nodiscard]] EventPortFaults event_port_spurious(std::uint64_t seed);

// Takes the place of the faults until the end of the scope. While no other thread runs.
class ScopedEventPortFaults {
 public:
  explicit ScopedEventPortFaults(const EventPortFaults& faults);
  ~ScopedEventPortFaults();
  ScopedEventPortFaults(const ScopedEventPortFaults&) = delete;
  ScopedEventPortFaults& operator=(const ScopedEventPortFaults&) = delete;

 private:
  EventPortFaults before_;
};

// Called at the beginning of each port_associate(), and when port_getn() has copied events and is
// about to return, with no lock held. Set while no other thread runs.
struct EventPortHooks {
  std::function<void()> on_associate;
  std::function<void()> on_retrieve;
};
EventPortHooks& event_port_hooks();

// The witness: what programs have done in this process so far that they should not, or that no
// program does which keeps the contract of the library's backends (src/poller/backend.h): a
// number's life begins with an association of no events, ends with port_dissociate(), and has one
// user pointer all along. The counts are relaxed: they give ThreadSanitizer no order that the
// library does not make itself. Starts anew.
struct EventPortBreaches {
  std::uint64_t associates_of_closed_numbers = 0;
  std::uint64_t associates_at_once = 0;       // Two of one number; port_associate(3C) forbids it.
  std::uint64_t associates_outside_life = 0;  // Events are asked for, and nothing was known.
  std::uint64_t associates_of_another_life = 0;  // Another user pointer than the life began with.
  std::uint64_t dissociates_during_associate = 0;

  friend bool operator==(const EventPortBreaches&, const EventPortBreaches&) = default;
};
[[nodiscard]] EventPortBreaches take_event_port_breaches();
// The same in words; empty if all is well.
[[nodiscard]] std::string take_event_port_breaches_in_words();

// Whether the port still knows the number: associated, or reported and not dissociated.
[[nodiscard]] bool event_port_knows(int port, int fd);

}  // namespace rearm::test
