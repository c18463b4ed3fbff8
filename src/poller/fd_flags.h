// The two flags that every descriptor in the library's care has.
#pragma once

#include <array>
#include <system_error>

namespace rearm::detail {

// Makes a descriptor non-blocking and close-on-exec.
// Errors: kInvalidArgument (negative), kClosed (not open), or the errno.
[[nodiscard]] std::error_code make_nonblocking_cloexec(int fd);

// pipe(2) with both flags: the reading end and the writing end. At once where the system can, so
// that a program that another thread executes meanwhile does not inherit them.
[[nodiscard]] std::error_code open_pipe(std::array<int, 2>& ends);

}  // namespace rearm::detail
