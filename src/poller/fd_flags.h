// The two flags that every descriptor in the library's care has.
#pragma once

#include <system_error>

namespace rearm {

// Makes a descriptor non-blocking and close-on-exec.
// Errors: kInvalidArgument (negative), kClosed (not open), or the errno.
[[nodiscard]] std::error_code make_nonblocking_cloexec(int fd);

}  // namespace rearm
