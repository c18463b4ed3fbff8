// Which faults each system call may have, according to its manual, and what the library makes of
// them. The table and its sources are in fault_table.cc.
//
// A fault is legal: something that a kernel does, or that its manual allows it to do. A fault that
// no kernel commits proves nothing about the library when it fails, so each of the faults that
// leave something behind is injected together with what a kernel would do next:
//
//   EAGAIN and short transfers. An edge-triggered kernel reports a change, so whoever is told
//   "nothing here" while there is something waits for ever, and rightly: a kernel that says so must
//   report later. So after such a lie the injector makes the kernel look at the descriptor again
//   (EPOLL_CTL_MOD; EV_ADD of a filter that is there): it then reports anew what is true, to a wait
//   in progress, too. A kernel that has to be told each wish looks at the level when it is told.
//   A datagram that is cut loses its end, so datagrams are never cut.
//
//   Reports. A report may come late (the kernel's batch was full), twice, or for nothing; and late
//   means that its descriptor may be closed, and its number reused, meanwhile. Where a call cannot
//   return without a report although all of them were held back, it says EINTR.
//
//   close(), munmap() and their like have done their work when they say that something went wrong.
#pragma once

#include <cstdint>
#include <span>

#include "faults/calls.h"

namespace rearm::test::faults {

// How a fault is committed.
enum class How : std::uint8_t {
  kInstead,  // The error; the call is not made.
  kAfter,    // The call is made; then the error.
  kLater,    // EAGAIN instead of the call, and a report later if that was not true.
  kShort,    // Fewer bytes than asked for, and a report later if there are more.
  kDelay,    // Of the reports some are kept back until the next call.
  kRepeat,   // A report that was given before is given once more.
};

// On what a call is made. The kinds of one call are exclusive, so a fault names those it is for.
using Where = std::uint16_t;
inline constexpr Where kTcp = 1;
inline constexpr Where kUnix = 2;
inline constexpr Where kUdp = 4;
inline constexpr Where kOther = 8;      // A pipe, or no descriptor at all.
inline constexpr Where kWake = 16;      // What a backend wakes its own wait with.
inline constexpr Where kAdd = 32;       // A change that adds to what the kernel watches.
inline constexpr Where kWait = 64;      // A kevent() that waits.
inline constexpr Where kTimed = 128;    // A wait that has a timeout.
inline constexpr Where kGuard = 256;    // madvise() for a guard.
inline constexpr Where kMark = 512;     // fcntl() that sets flags.
inline constexpr Where kForget = 1024;  // A change that removes.
inline constexpr Where kAnywhere = 0xffff;
inline constexpr Where kStreams = kTcp | kUnix;
inline constexpr Where kSockets = kTcp | kUnix | kUdp;

// What the library promises to make of it.
enum class Outcome : std::uint8_t {
  kTransparent,  // Nobody notices.
  kReported,     // The operation returns the error, as it is.
};

struct Fault {
  int error;  // 0 where it is no error.
  How how;
  Outcome outcome;
  Where where;
};

[[nodiscard]] std::span<const Fault> faults_of(Call call);

}  // namespace rearm::test::faults
