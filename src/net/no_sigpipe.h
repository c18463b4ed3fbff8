// NoSigpipe: holds SIGPIPE off for one system call, and takes it away if the call raised it.
//
// For writes to what is not a socket: a socket has MSG_NOSIGNAL, a pipe has nothing. On Linux,
// FreeBSD and illumos the signal of a write is sent to the writing thread, so it is enough to block
// it there for the time of the call. A signal that was pending before stays pending. macOS and
// NetBSD send it to the process, whose other threads do not block it; there, the descriptor can be
// told never to raise it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

namespace rearm::detail {

// For send() and its like. Older macOS has only what raise_no_sigpipe() does.
#if defined(MSG_NOSIGNAL)
inline constexpr int kNoSignal = MSG_NOSIGNAL;
#else
inline constexpr int kNoSignal = 0;
#endif

// Once in a descriptor's life. It stays so if the descriptor is given back.
inline void raise_no_sigpipe([[maybe_unused]] int fd) noexcept {
#if defined(F_SETNOSIGPIPE)
  (void)::fcntl(fd, F_SETNOSIGPIPE, 1);
#endif
}

class NoSigpipe {
 public:
  NoSigpipe() noexcept {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
    // Only somebody who blocks it himself can have one pending.
    pending_before_ = sigismember(&before_, SIGPIPE) == 1 && is_pending();
  }
  ~NoSigpipe() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

  // After the call failed with EPIPE, or may have.
  void discard() noexcept {
    if (pending_before_ || !is_pending()) return;
    int signal = 0;
    ::sigwait(&sigpipe_, &signal);
  }

 private:
  static bool is_pending() noexcept {
    sigset_t pending;
    return ::sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
  }

  sigset_t sigpipe_;
  sigset_t before_;
  bool pending_before_;
};

}  // namespace rearm::detail
