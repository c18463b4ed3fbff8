#include <sys/signalfd.h>

#include <cerrno>

#include "base/errno.h"
#include "os/signal_source.h"

namespace rearm::detail {

std::error_code SignalFd::open(const sigset_t& signals) noexcept {
  number_ = OwnedNumber(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (number_.get() < 0) return last_error();
  sigset_t before{};
  ::pthread_sigmask(SIG_BLOCK, &signals, &before);
  blocked_ = signals;
  for (int number = 1; number < kSignalNumbers; ++number) {
    if (sigismember(&before, number) == 1) sigdelset(&blocked_, number);
  }
  return {};
}

Result<int> SignalFd::read(Stream& stream, Deadline deadline) noexcept {
  signalfd_siginfo info{};
  // A signal is read whole or not at all.
  if (const auto n = stream.read_some({reinterpret_cast<char*>(&info), sizeof info}, deadline);
      !n) {
    return std::unexpected(n.error());
  }
  return static_cast<int>(info.ssi_signo);
}

void SignalFd::let_go() noexcept { ::pthread_sigmask(SIG_UNBLOCK, &blocked_, nullptr); }

}  // namespace rearm::detail
