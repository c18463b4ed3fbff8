// The two flags that every descriptor in the library's care has: non-blocking and close-on-exec.
//
// Close-on-exec is of the number. Non-blocking is of the open file description, which others may
// share: a terminal is shared with the shell, an inherited pipe with the parent. So what is taken
// from a program is changed only when the kernel has accepted it, and what was changed is known.
#pragma once

#include <array>
#include <cstdint>
#include <system_error>

#include "rearm/error.h"

namespace rearm::detail {

class FdFlags {
 public:
  // What the library has set: bits, as a descriptor's owner keeps them.
  static constexpr std::uint8_t kSetNonblocking = 1;
  static constexpr std::uint8_t kSetCloexec = 2;

  // As they are. Errors: kInvalidArgument (negative), kClosed (not open), or the errno.
  [[nodiscard]] static Result<FdFlags> of(int fd);

  // The bits that make_nonblocking_cloexec() sets.
  [[nodiscard]] std::uint8_t missing() const noexcept;

  // On error the flags are what they were. Errors: the errno.
  [[nodiscard]] std::error_code make_nonblocking_cloexec() const;

  // Takes away again what `set` names.
  static void restore(int fd, std::uint8_t set) noexcept;

 private:
  FdFlags(int fd, int status, int flags) noexcept : fd_(fd), status_(status), flags_(flags) {}

  int fd_;
  int status_;
  int flags_;
};

// Both at once, for a number that nobody else knows.
[[nodiscard]] std::error_code make_nonblocking_cloexec(int fd);

// pipe(2) with both flags: the reading end and the writing end. At once where the system can, so
// that a program that another thread executes meanwhile does not inherit them.
[[nodiscard]] std::error_code open_pipe(std::array<int, 2>& ends);

}  // namespace rearm::detail
