// StepError: which of many steps failed, and with what error.
//
// To start a child takes dozens of system calls, and "Operation not permitted" alone would say
// nothing. So what this room does returns StepResult<T>: a value, or the step by name and its code.
//
//   auto child = rearm::Command("/bin/nothing").spawn();
//   if (!child) std::puts(rearm::to_string(child.error()).c_str());
//   // "exec /bin/nothing: No such file or directory (errno 2)"
//
// Thread safety: a value.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "rearm/error.h"

namespace rearm {

struct StepError {
  // The errno of the system call, or a code of Errc: kNotSupported, kInvalidArgument, kTimedOut,
  // kCancelled. ECHILD: the child was killed before its exec; the step names the signal.
  std::error_code code;
  // What was being done, and to what: "write uid_map", "mount /proc", "exec /bin/nothing".
  std::string step;
};

template <class T>
using StepResult = std::expected<T, StepError>;

// "exec /bin/nothing: No such file or directory (errno 2)".
[[nodiscard]] std::string to_string(const StepError& error);
std::ostream& operator<<(std::ostream& out, const StepError& error);

// The value, or std::system_error with the code and "<what>: <step>" in front of its message.
template <class T>
T or_throw(StepResult<T> result, std::string_view what) {
  if (!result) {
    detail::throw_system_error(result.error().code, std::string(what) + ": " + result.error().step);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace rearm
