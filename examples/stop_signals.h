// SIGTERM and SIGINT for a server: a fiber waits for the first one; the second ends the process.
//
//   StopSignals signals;                      // on a fiber, before others are told that we are
//   here if (signals.wait()) runtime.request_stop();
//
// A signal handler may call next to nothing, and request_stop() takes locks. So it writes a byte
// into a pipe, and a fiber like any other reads it. A thread that waits for signals would do, too,
// but in a process with two threads glibc makes every system call longer.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "rearm/rearm.h"

class StopSignals {
 public:
  // From now on a signal is remembered. Throws std::system_error.
  StopSignals() : pipe_(rearm::or_throw(rearm::Pipe::create(), "pipe")) {
    write_fd_ = pipe_.write_end.native_handle();
    struct sigaction action{};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals() { leave_to_the_system(); }

  // Parks until a signal comes: true. False: close() was called, or the runtime is stopping.
  bool wait() {
    std::array<char, 1> byte;
    return pipe_.read_end.read_exact(byte).has_value();
  }

  void close() { (void)pipe_.read_end.close(); }

 private:
  static void leave_to_the_system() {
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGINT, SIG_DFL);
  }

  static void handle(int) {
    const int before = errno;
    leave_to_the_system();
    (void)!::write(write_fd_, "!", 1);
    errno = before;
  }

  static inline std::atomic<int> write_fd_ = -1;
  rearm::Pipe pipe_;
};
