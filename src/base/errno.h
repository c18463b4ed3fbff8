// current_errno: errno, read where no compiler can have cached its address.
//
// The address of errno belongs to a thread, and glibc declares the function that returns it
// `const`, so a compiler may fetch it once and keep it across a park, after which the fiber runs on
// another thread. Code that may run on a fiber reads errno through here.
#pragma once

#include <system_error>

namespace rearm::detail {

[[nodiscard]] int current_errno() noexcept;

[[nodiscard]] inline std::error_code last_error() noexcept {
  return {current_errno(), std::system_category()};
}

// The result of a system call, with its error as a negative number in the manner of the kernel.
template <class N>
[[nodiscard]] N result_or_errno(N n) noexcept {
  return n >= 0 ? n : static_cast<N>(-current_errno());
}

}  // namespace rearm::detail
