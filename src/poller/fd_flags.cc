#include "poller/fd_flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/errno.h"
#include "rearm/error.h"

namespace rearm::detail {

std::error_code make_nonblocking_cloexec(int fd) {
  if (fd < 0) return Errc::kInvalidArgument;
  const auto error = [](int result) {
    return result == -EBADF ? make_error_code(Errc::kClosed) : error_of(result);
  };
  const auto call = [fd](int command, int argument) {
    return system_call([&] { return ::fcntl(fd, command, argument); });
  };
  const int status = call(F_GETFL, 0);
  if (status < 0) return error(status);
  if ((status & O_NONBLOCK) == 0) {
    if (const int set = call(F_SETFL, status | O_NONBLOCK); set < 0) return error(set);
  }
  const int flags = call(F_GETFD, 0);
  if (flags < 0) return error(flags);
  if ((flags & FD_CLOEXEC) == 0) {
    if (const int set = call(F_SETFD, flags | FD_CLOEXEC); set < 0) return error(set);
  }
  return {};
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
