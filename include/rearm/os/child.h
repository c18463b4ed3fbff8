// Child: a process that Command started, waited for through the poller.
//
// How. On Linux a child is a pidfd from its first moment on: signals go to it and to no other
// process that may have got its number, and wait() parks on it like a read on a socket. No handler
// for SIGCHLD is ever installed, and no other child of the program is reaped. Where there is no
// pidfd (Linux before 5.3, other systems) a thread of its own waits for each child with WNOWAIT;
// signals then go by number, which nobody else can have while the child is not reaped.
//
// What a program can do to spoil it. A waitpid(-1) of its own, or SIGCHLD set to SIG_IGN, takes the
// status away: wait() then says ECHILD.
//
// Thread safety: everything but moving and destroying may be called at any time from anywhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/stream.h"

namespace rearm {

namespace detail {
struct ChildState;
}  // namespace detail

// What the kernel counted of a process and of those of its children that it waited for.
struct ResourceUsage {
  std::chrono::microseconds user_time{0};
  std::chrono::microseconds system_time{0};
  std::uint64_t peak_resident_bytes = 0;  // Of the largest one.
};

struct ExitStatus {
  // The argument of exit(), 0 to 255, if it ended by itself; else -1.
  int code = -1;
  // The signal that ended it; 0 if it ended by itself.
  int signal = 0;
  bool core_dumped = false;
  ResourceUsage usage = {};

  [[nodiscard]] bool success() const noexcept { return code == 0; }
};

// "exit code 2", "killed by signal 9".
[[nodiscard]] std::string to_string(const ExitStatus& status);

// A resource: movable, one owner. Destroying one whose process still runs kills it (SIGKILL) and
// waits until it is reaped: it parks the fiber, and where that is refused because the runtime
// stops, blocks the thread. That takes as long as the kernel needs to end a process. detach() lets
// it run.
class Child {
 public:
  Child() noexcept;
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  // Its process ID, for printing; -1 of a default-constructed, moved-from or detached one.
  [[nodiscard]] int pid() const noexcept;

  // The number of its pidfd, or -1 where there is none. It stays this object's: dup() it to keep
  // it. It is open until this object is destroyed, also after the process has been reaped.
  [[nodiscard]] int pidfd() const noexcept;

  // Waits until it has ended, and reaps it. May park; a plain thread blocks. Each further call
  // returns the same status. Errors: kTimedOut, kCancelled (as of a read); kBusy (another wait is
  // in progress, which looks at the child by itself); kClosed (detached, moved from); ECHILD
  // (somebody else has reaped it).
  [[nodiscard]] Result<ExitStatus> wait(Deadline deadline = {});

  // Sends a signal to it. Never parks. Errors: ESRCH (it has been reaped; never a stranger), EINVAL
  // (no such signal), EPERM (it runs as somebody else by now), kClosed (detached, moved from).
  Result<void> signal(int number);
  // SIGKILL.
  Result<void> kill();
  // Sends a signal to its process group, which must be its own: Command::process_group(0) or
  // Command::new_session(). Errors: as signal(), and kInvalidArgument (the group is not its own).
  Result<void> signal_group(int number);

  // Lets it run: a fiber of the runtime waits for it and reaps it, and run() does not return before
  // that, unless request_stop() ends its wait; what ends later is reaped when this process ends.
  // Its pipes are closed. Errors: kClosed; kStacksExhausted, and then it stays this object's.
  Result<void> detach();

  // The parent's ends of what Command was told to make pipes; closed Fds for the others. They are
  // this object's: move them out to keep them longer.
  [[nodiscard]] Stream& standard_input() noexcept;   // To write to.
  [[nodiscard]] Stream& standard_output() noexcept;  // To read from.
  [[nodiscard]] Stream& standard_error() noexcept;   // To read from.

 private:
  friend struct detail::ChildState;
  explicit Child(std::unique_ptr<detail::ChildState> state) noexcept;

  std::unique_ptr<detail::ChildState> state_;
  Stream input_;
  Stream output_;
  Stream error_;
};

}  // namespace rearm
