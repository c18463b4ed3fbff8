#include "poller/fd_flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "rearm/error.h"

namespace rearm::detail {

std::error_code make_nonblocking_cloexec(int fd) {
  if (fd < 0) return Errc::kInvalidArgument;
  const auto last_error = [] {
    return errno == EBADF ? make_error_code(Errc::kClosed)
                          : std::error_code(errno, std::system_category());
  };
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0) return last_error();
  if ((status & O_NONBLOCK) == 0 && ::fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0) {
    return last_error();
  }
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0) return last_error();
  if ((flags & FD_CLOEXEC) == 0 && ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
    return last_error();
  }
  return {};
}

std::error_code open_pipe(std::array<int, 2>& ends) {
#if defined(__APPLE__)
  if (::pipe(ends.data()) != 0) return {errno, std::system_category()};
  for (const int end : ends) {
    if (const std::error_code error = make_nonblocking_cloexec(end)) {
      for (const int open : ends) ::close(open);
      ends.fill(-1);
      return error;
    }
  }
#else
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return {errno, std::system_category()};
#endif
  return {};
}

}  // namespace rearm::detail
