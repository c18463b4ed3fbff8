// Between the library and the system: every call on the list of calls.h goes through here.
//
// How it works. The linker's --wrap turns each object's reference to NAME into one to __wrap_NAME,
// which asks the armed plan and then calls __real_NAME. That is the function that the object would
// have called: under a sanitizer its interceptor, and for close() the emulations' hook.
//
// What is let alone. Calls while no plan is armed; calls of a thread that is exempt (a test's own:
// peers, watchdogs, set-up); and calls that a call makes, as the emulated kernels do: they are
// kernel.
//
// What a descriptor is (calls.h, Where) is asked of the system, except for what a backend wakes
// itself with: these are the eventfds, and the pipes that are made outside of fibers.
//
// Rejected. Definitions under the calls' own names, as in emulation/close_hook.cc: under a
// sanitizer each would have to find its interceptor by name, and two owners of close() cannot be
// linked. seccomp: it knows no objects, cannot shorten a transfer, and does not see emulations.
// Faults in a backend's stead (support/scripted_backend.h): they do not reach sockets and memory,
// and it is the backends that are to be tested.
#pragma once

#include <cstdint>

#include "faults/plan.h"

namespace rearm::test::faults {

// Arms a plan for its scope. One at a time; while no runtime runs.
class Armed {
 public:
  explicit Armed(FaultPlan& plan);
  ~Armed();
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;
};

// Calls of this thread are let alone within its scope. REQUIRES: no park within the scope, which
// would carry it to another thread.
class Exempt {
 public:
  Exempt();
  ~Exempt();
  Exempt(const Exempt&) = delete;
  Exempt& operator=(const Exempt&) = delete;
};

// Whether this thread's calls are let alone now: it is exempt, or within a call.
[[nodiscard]] bool is_let_alone() noexcept;

// For the wrappers themselves.

// One call. Calls within it are let alone.
class Entry {
 public:
  Entry();
  ~Entry();
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  // Whether this is a call of the library, be a plan armed or not.
  [[nodiscard]] bool is_outermost() const noexcept { return outermost_; }
  [[nodiscard]] Decision decide(Call call, Where where = kOther) const;
  [[nodiscard]] Decision decide_for(Call call, int fd) const;

 private:
  bool outermost_;
  FaultPlan* plan_;
};

// What is watched by whom, and how to make the kernel look again: watches.cc.
enum class Kernel : std::uint8_t { kNone, kEpoll, kKqueue, kPort };
struct Watch {
  Kernel kernel = Kernel::kNone;
  int kernel_fd = -1;
  int fd = -1;
  std::uint32_t mask = 0;
  std::uint64_t data = 0;
};
void set_watch(int fd, const Watch& watch);
// One of the watches of that kernel object, if it has any.
[[nodiscard]] Watch some_watch(int kernel_fd, std::uint64_t random);
// After a lie about `fd`: makes its kernel report anew what is true.
void owe_report(int fd);

// When a kernel object is closed: what was held back for it is gone.
void forget_reports(int kernel_fd);

void note_wake_number(int fd, bool is_wake);
[[nodiscard]] Where where_of(int fd);

}  // namespace rearm::test::faults
