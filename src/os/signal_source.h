// What the signals of a SignalSet come from: a descriptor that is readable when one has come.
//
// SignalFd on Linux, SignalPipe elsewhere. The pipe is compiled on Linux, too, for its tests.
#pragma once

#include <signal.h>

#include <array>
#include <cstddef>
#include <system_error>

#include "os/owned_number.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/stream.h"

namespace rearm::detail {

// The highest number is one less.
#if defined(NSIG)
inline constexpr int kSignalNumbers = NSIG;
#else
inline constexpr int kSignalNumbers = 128;
#endif

#if defined(__linux__)

class SignalFd {
 public:
  // Blocks the signals in the calling thread. On error nothing has changed.
  std::error_code open(const sigset_t& signals) noexcept;
  // What to wait for; it belongs to the caller.
  [[nodiscard]] int release_number() noexcept { return number_.release(); }
  // The next signal.
  [[nodiscard]] static Result<int> read(Stream& stream, Deadline deadline) noexcept;
  // Unblocks in the calling thread what open() has blocked.
  void let_go() noexcept;
  // The same in another thread, afterwards.
  void let_go_here() noexcept { let_go(); }

 private:
  OwnedNumber number_;
  sigset_t blocked_{};  // Those that were not blocked before.
};

#endif

// A handler may call next to nothing: it writes its signal's number into a pipe.
class SignalPipe {
 public:
  std::error_code open(const sigset_t& signals) noexcept;
  [[nodiscard]] int release_number() noexcept { return read_end_.release(); }
  [[nodiscard]] static Result<int> read(Stream& stream, Deadline deadline) noexcept;
  // Puts the former actions back. Once.
  void let_go() noexcept;
  void let_go_here() noexcept {}  // An action is the whole process'.

 private:
  OwnedNumber read_end_;
  OwnedNumber write_end_;
  sigset_t signals_{};
  std::array<struct sigaction, kSignalNumbers> former_{};
};

#if defined(__linux__)
using SignalSource = SignalFd;
#else
using SignalSource = SignalPipe;
#endif

}  // namespace rearm::detail
