// Errors and results.
//
// Every operation that can fail for a reason outside the program returns Result<T>: a value or a
// std::error_code. The code is either the operating system's (std::system_category, the errno of
// the system call that failed) or one of the few below, each of which has exactly one cause.
// Programmer errors are not values: they stop the process with a sentence on standard error.
// docs/errors.md says of each code what it means and what to do.
//
// Thread safety: everything here is immutable and may be used from any thread.
#pragma once

#include <expected>
#include <iosfwd>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "rearm/version.h"

namespace rearm {

// The library's own outcomes. `kTimedOut`, `kCancelled`, `kNotSupported`, `kInvalidArgument` and
// `kDeadlock` (std::errc::resource_deadlock_would_occur) also compare equal to their std::errc
// counterparts.
enum class Errc {
  kClosed = 1,       // The object was closed, before or during the call.
  kTimedOut,         // The deadline passed first.
  kCancelled,        // The waiting fiber, or its run, was asked to stop.
  kBusy,             // Another operation is in progress in this direction.
  kNotPollable,      // The kernel cannot report readiness for this kind of descriptor.
  kNotSupported,     // This system, or this build, does not have what was asked for.
  kEndOfStream,      // The stream ended before the call had all the bytes it needed.
  kInvalidArgument,  // An argument can never be valid: a malformed address, a negative fd.
  kWrongRuntime,     // The descriptor belongs to another runtime than the calling fiber.
  kUnknownBackend,   // No backend of that name is in this build; Poller::backends() lists them.
  kStacksExhausted,  // No memory or address space for another fiber stack.
  kDeadlock,         // The join could not end: the fiber would wait for its own end.
};

// The category of Errc, named "rearm".
[[nodiscard]] const std::error_category& error_category() noexcept;

[[nodiscard]] std::error_code make_error_code(Errc code) noexcept;

template <class T>
using Result = std::expected<T, std::error_code>;

// Whether the same call may succeed later although this program changes nothing: memory,
// descriptors or stacks were used up for the moment, or the network or the peer was not ready.
// Pause before the next try; it would fail at once, too.
//
// False means that no number of tries helps. kCancelled and kClosed are the ones that matter: a
// loop that tries again on them never ends, because every further call returns them at once, the
// pause's sleep_for() included. A loop that accepts:
//
//   auto stream = listener.accept();
//   if (!stream) {
//     if (!rearm::is_transient(stream.error())) return;        // closed, or told to stop
//     if (!rearm::this_fiber::sleep_for(100ms)) return;        // told to stop meanwhile
//     continue;
//   }
//
// True: kStacksExhausted; EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC; EAGAIN, EINTR; ECONNABORTED,
// ECONNREFUSED, ETIMEDOUT, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH and the like. False: all
// others, kTimedOut among them (the time that the caller gave is over), and codes of categories
// that do not map to errno.
[[nodiscard]] bool is_transient(std::error_code error) noexcept;

// "kTimedOut" and so on; "" for a value that is none of the enumerators.
[[nodiscard]] std::string_view name(Errc code) noexcept;

// A sentence and the code's name: "timed out (kTimedOut)", "Address already in use (errno 98)".
// Takes an Errc, too. format.h has std::format. Throws std::bad_alloc: where memory may be what the
// call lacked, write the code itself (`stream << error`), which takes none.
[[nodiscard]] std::string to_string(std::error_code error);
std::ostream& operator<<(std::ostream& out, Errc code);

namespace detail {
[[noreturn]] void throw_system_error(std::error_code error, std::string_view what);
}  // namespace detail

// The value, or the error as an exception: std::system_error with the code, whose what() begins
// with `what`. Say what was tried, and on what:
//
//   auto listener = rearm::or_throw(rearm::TcpListener::bind(address), "bind 127.0.0.1:7777");
//
// on a port that is taken throws "bind 127.0.0.1:7777: Address already in use".
template <class T>
T or_throw(Result<T> result, std::string_view what) {
  if (!result) detail::throw_system_error(result.error(), what);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace rearm

template <>
struct std::is_error_code_enum<rearm::Errc> : std::true_type {};
