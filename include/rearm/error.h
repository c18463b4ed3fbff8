// Errors and results.
//
// Every operation that can fail for a reason outside the program returns Result<T>: a value or a
// std::error_code. The code is either the operating system's (std::system_category, the errno of
// the system call that failed) or one of the few below, each of which has exactly one cause.
// Programmer errors are not values: they stop the process with a sentence on standard error.
//
// Thread safety: everything here is immutable and may be used from any thread.
#pragma once

#include <expected>
#include <system_error>

namespace rearm {

// The library's own outcomes. `kTimedOut`, `kCancelled`, `kNotSupported` and `kInvalidArgument`
// also compare equal to their std::errc counterparts.
enum class Errc {
  kClosed = 1,       // The object was closed, before or during the call.
  kTimedOut,         // The deadline passed first.
  kCancelled,        // Runtime::request_stop() ended the wait.
  kBusy,             // Somebody else is already waiting, or working, in this direction.
  kNotPollable,      // The kernel cannot report readiness for this kind of descriptor.
  kNotSupported,     // This system, or this build, does not have what was asked for.
  kEndOfStream,      // The stream ended before the call had all the bytes it needed.
  kInvalidArgument,  // An argument can never be valid: a malformed address, a negative fd.
  kWrongRuntime,     // The descriptor belongs to another runtime than the calling fiber.
  kUnknownBackend,   // No backend of that name is in this build; Poller::backends() lists them.
  kStacksExhausted,  // No memory or address space for another fiber stack.
};

// The category of Errc, named "rearm".
[[nodiscard]] const std::error_category& error_category() noexcept;

[[nodiscard]] std::error_code make_error_code(Errc code) noexcept;

template <class T>
using Result = std::expected<T, std::error_code>;

}  // namespace rearm

template <>
struct std::is_error_code_enum<rearm::Errc> : std::true_type {};
