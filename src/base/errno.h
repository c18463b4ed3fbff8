// The error of a system call, read so that neither compiler nor program can spoil it unnoticed.
//
// The address of errno belongs to a thread, and glibc declares the function that returns it
// `const`, so a compiler may fetch it once and keep it across a park, after which the fiber runs on
// another thread. Code of ours that may run on a fiber reads errno through current_errno().
//
// A program's own code is compiled the same way. `errno = 0` before a strtol(), and a park in the
// same function, may zero the errno of the thread that the fiber came from, between a system call
// there and our look at its error. So a failure whose error is 0 is never believed: the call is
// made again. What failed has had no effect, so it fails again, and says why, or succeeds. (Another
// value than 0 cannot be told from the kernel's.)
//
// Rejected. System calls past the C library, which return their error: sanitizers, tools that
// interpose, and the tests that stand in for a kernel would not see them.
#pragma once

#include <cerrno>
#include <system_error>

namespace rearm::detail {

// 0 if the error was lost.
[[nodiscard]] int current_errno() noexcept;

// The result of a system call, with its error as a negative number in the manner of the kernel. A
// lost error is EINTR: for callers that make an interrupted call again.
template <class N>
[[nodiscard]] N result_or_errno(N n) noexcept {
  if (n >= 0) [[likely]]
    return n;
  const int error = current_errno();
  return static_cast<N>(-(error != 0 ? error : EINTR));
}

// Makes a system call that says -1 if it fails, again if its error was lost. Returns its result, or
// its error as a negative number.
template <class Call>
[[nodiscard]] auto system_call(Call&& call) -> decltype(call()) {
  for (;;) {
    const auto n = call();
    if (n >= 0) return n;
    if (const int error = current_errno(); error != 0) return static_cast<decltype(call())>(-error);
  }
}

// The error of such a result; none if it is not negative.
template <class N>
[[nodiscard]] std::error_code error_of(N result) noexcept {
  if (result >= 0) return {};
  return {static_cast<int>(-result), std::system_category()};
}

// The error of a call that has just failed, on this thread.
[[nodiscard]] inline std::error_code last_error() noexcept { return error_of(-current_errno()); }

}  // namespace rearm::detail
