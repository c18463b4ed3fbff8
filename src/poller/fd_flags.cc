#include "poller/fd_flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/errno.h"
#include "rearm/error.h"

namespace rearm::detail {

namespace {

int call(int fd, int command, int argument) {
  return system_call([=] { return ::fcntl(fd, command, argument); });
}

}  // namespace

Result<FdFlags> FdFlags::of(int fd) {
  if (fd < 0) return std::unexpected(Errc::kInvalidArgument);
  const int status = call(fd, F_GETFL, 0);
  const int flags = status < 0 ? status : call(fd, F_GETFD, 0);
  if (flags == -EBADF) return std::unexpected(Errc::kClosed);
  if (flags < 0) return std::unexpected(error_of(flags));
  return FdFlags(fd, status, flags);
}

std::uint8_t FdFlags::missing() const noexcept {
  return static_cast<std::uint8_t>(((status_ & O_NONBLOCK) == 0 ? kSetNonblocking : 0) |
                                   ((flags_ & FD_CLOEXEC) == 0 ? kSetCloexec : 0));
}

std::error_code FdFlags::make_nonblocking_cloexec() const {
  const std::uint8_t missing_ones = missing();
  if ((missing_ones & kSetNonblocking) != 0) {
    if (const int set = call(fd_, F_SETFL, status_ | O_NONBLOCK); set < 0) return error_of(set);
  }
  if ((missing_ones & kSetCloexec) != 0) {
    if (const int set = call(fd_, F_SETFD, flags_ | FD_CLOEXEC); set < 0) {
      restore(fd_, missing_ones & kSetNonblocking);
      return error_of(set);
    }
  }
  return {};
}

void FdFlags::restore(int fd, std::uint8_t set) noexcept {
  // What refuses to be set back stays set: there is nothing else to be done.
  if ((set & kSetNonblocking) != 0) {
    if (const int status = call(fd, F_GETFL, 0); status >= 0) {
      (void)call(fd, F_SETFL, status & ~O_NONBLOCK);
    }
  }
  if ((set & kSetCloexec) != 0) {
    if (const int flags = call(fd, F_GETFD, 0); flags >= 0) {
      (void)call(fd, F_SETFD, flags & ~FD_CLOEXEC);
    }
  }
}

std::error_code make_nonblocking_cloexec(int fd) {
  const auto flags = FdFlags::of(fd);
  return flags ? flags->make_nonblocking_cloexec() : flags.error();
}

std::error_code open_pipe(std::array<int, 2>& ends) {
#if defined(__APPLE__)
  if (const int made = system_call([&] { return ::pipe(ends.data()); }); made != 0) {
    return error_of(made);
  }
  for (const int end : ends) {
    if (const std::error_code error = make_nonblocking_cloexec(end)) {
      for (const int open : ends) ::close(open);
      ends.fill(-1);
      return error;
    }
  }
#else
  const int made = system_call([&] { return ::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC); });
  if (made != 0) return error_of(made);
#endif
  return {};
}

}  // namespace rearm::detail
