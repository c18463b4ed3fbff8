// The C library's functions that the library calls on descriptors: those of model numbers go to the
// model kernel, all others to the system.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "explore/kernel.h"

namespace rearm::explore {
namespace {

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

long transfer(int number, Direction direction) {
  return Kernel::is_model(number) ? kernel.transfer(number, direction) : -1;
}

}  // namespace
}  // namespace rearm::explore

using rearm::Direction;
using rearm::explore::Kernel;
using rearm::explore::kernel;
using rearm::explore::next;
using rearm::explore::transfer;

extern "C" {

int close(int fd) {
  if (Kernel::is_model(fd)) {
    kernel.close(fd);
    return 0;
  }
  static const auto real = next<int (*)(int)>("close");
  return real(fd);
}

ssize_t read(int fd, void* buffer, std::size_t bytes) {
  if (Kernel::is_model(fd)) return transfer(fd, Direction::kRead);
  static const auto real = next<ssize_t (*)(int, void*, std::size_t)>("read");
  return real(fd, buffer, bytes);
}

ssize_t send(int fd, const void* buffer, std::size_t bytes, int flags) {
  if (Kernel::is_model(fd)) return transfer(fd, Direction::kWrite);
  static const auto real = next<ssize_t (*)(int, const void*, std::size_t, int)>("send");
  return real(fd, buffer, bytes, flags);
}

// glibc 2.36 declares that ppoll() only writes to `fds`, and GCC believes it of this definition.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* signals) {
  if (count == 1 && Kernel::is_model(fds->fd)) {
    const auto direction = fds->events == POLLIN ? Direction::kRead : Direction::kWrite;
    fds->revents = kernel.look(fds->fd, direction) ? fds->events : short{0};
    return fds->revents != 0 ? 1 : 0;
  }
  static const auto real =
      next<int (*)(pollfd*, nfds_t, const timespec*, const sigset_t*)>("ppoll");
  return real(fds, count, timeout, signals);
}
#pragma GCC diagnostic pop

int getsockopt(int fd, int level, int name, void* value, socklen_t* bytes) noexcept {
  if (Kernel::is_model(fd)) return 0;  // Every model file is a socket.
  static const auto real = next<int (*)(int, int, int, void*, socklen_t*)>("getsockopt");
  return real(fd, level, name, value, bytes);
}

int fcntl(int fd, int command, ...) {
  std::va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (Kernel::is_model(fd)) {
    if (!kernel.is_open(fd)) {
      errno = EBADF;
      return -1;
    }
    return command == F_GETFL ? O_NONBLOCK : command == F_GETFD ? FD_CLOEXEC : 0;
  }
  static const auto real = next<int (*)(int, int, ...)>("fcntl");
  return real(fd, command, argument);
}
}
