// LastWords: what is said of a run in which the process dies.
//
// While one exists, handlers for the signals of a dying process (SIGABRT, and those of a fault)
// write the schedule so far to standard error, if it is the thread that explores which dies, and
// hand the signal on to the handler before them. Everything in the handler is async-signal-safe.
//
// Who may call. Any thread, one LastWords at a time each. The first one installs the handlers, the
// last one puts back what was there.
#pragma once

#include <signal.h>

#include <cstdint>

#include "testing/schedule.h"

namespace rearm::detail {

class LastWords {
 public:
  // Both must live as long as this. `run` is the number of the run in progress, 0 between runs.
  LastWords(const std::uint64_t& run, const Schedule& schedule);
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
  ~LastWords();

  // Everything has been said.
  static void say_nothing() noexcept;

 private:
  static void on_signal(int signal, siginfo_t* info, void* context);
  void say(int signal) const noexcept;

  const std::uint64_t& run_;
  const Schedule& schedule_;
  const LastWords* const outer_;  // Options::failed may explore something, too.
};

}  // namespace rearm::detail
