#include "net/look.h"

#include <poll.h>

#include <cerrno>
#include <ctime>

#include "base/errno.h"
#include "base/kernel_timeout.h"

namespace rearm::detail {
namespace {

// The result of a system call, through result_or_errno().
int poll_once(pollfd& entry, KernelTimeout timeout) {
#if defined(__APPLE__)
  return result_or_errno(::poll(&entry, 1, timeout.as_ms()));
#else
  const timespec left = timeout.as_timespec();
  return result_or_errno(::ppoll(&entry, 1, timeout.is_endless() ? nullptr : &left, nullptr));
#endif
}

}  // namespace

Result<bool> is_ready(int fd, Direction direction, Deadline deadline) {
  for (;;) {
    const KernelTimeout timeout(deadline);
    pollfd entry{.fd = fd,
                 .events = direction == Direction::kRead ? short{POLLIN} : short{POLLOUT},
                 .revents = 0};
    const int result = poll_once(entry, timeout);
    if (result > 0) return true;
    if (result == 0 && timeout.is_immediate()) return false;
    // EAGAIN and ENOMEM: no system needs memory that it does not have soon, for one number.
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ENOMEM) {
      return std::unexpected(error_of(result));
    }
  }
}

}  // namespace rearm::detail
