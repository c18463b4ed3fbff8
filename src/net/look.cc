#include "net/look.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "base/clock.h"
#include "base/errno.h"

namespace rearm::detail {
namespace {

// The result of a system call, through result_or_errno(); `left_ns` negative: without an end.
int poll_once(pollfd& entry, std::int64_t left_ns) {
#if defined(__APPLE__)
  constexpr std::int64_t kNsPerMs = 1'000'000;
  constexpr std::int64_t kLongestMs = 1'000'000'000;
  const std::int64_t ms =
      left_ns < 0 ? -1 : std::min((left_ns + kNsPerMs - 1) / kNsPerMs, kLongestMs);
  return result_or_errno(::poll(&entry, 1, static_cast<int>(ms)));
#else
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  const timespec left{.tv_sec = static_cast<time_t>(left_ns / kNsPerSecond),
                      .tv_nsec = static_cast<long>(left_ns % kNsPerSecond)};
  return result_or_errno(::ppoll(&entry, 1, left_ns < 0 ? nullptr : &left, nullptr));
#endif
}

}  // namespace

Result<bool> is_ready(int fd, Direction direction, Deadline deadline) {
  const bool is_endless = deadline.is_standing() || deadline.is_never();
  for (;;) {
    const std::int64_t left_ns = is_endless ? -1
                                 : deadline.is_immediate()
                                     ? 0
                                     : std::max<std::int64_t>(deadline.ns() - now_ns(), 0);
    pollfd entry{.fd = fd,
                 .events = direction == Direction::kRead ? short{POLLIN} : short{POLLOUT},
                 .revents = 0};
    const int result = poll_once(entry, left_ns);
    if (result > 0) return true;
    if (result == 0 && left_ns <= 0) return false;
    // EAGAIN and ENOMEM: no system needs memory that it does not have soon, for one number.
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ENOMEM) {
      return std::unexpected(error_of(result));
    }
  }
}

}  // namespace rearm::detail
