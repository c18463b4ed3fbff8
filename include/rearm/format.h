// std::format for the library's errors, addresses and deadlines.
//
//   std::format("{}: {:>30}", address, rearm::Errc::kTimedOut)
//
// The specification is that of a string: width, fill, alignment, precision. A std::error_code is
// not this library's type, so it has no formatter here: write rearm::to_string(error).
//
// Not part of rearm.h, because <format> is large. Where the standard library has no std::format
// (GCC 12), this header is empty. Thread safety: formatters have no state of their own.
#pragma once

#include <version>

#if defined(__cpp_lib_format)
#include <format>
#include <string_view>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"

template <>
struct std::formatter<rearm::Errc> : std::formatter<std::string_view> {
  template <class Context>
  auto format(rearm::Errc code, Context& context) const {
    return std::formatter<std::string_view>::format(rearm::to_string(code), context);
  }
};

template <>
struct std::formatter<rearm::SocketAddress> : std::formatter<std::string_view> {
  template <class Context>
  auto format(const rearm::SocketAddress& address, Context& context) const {
    return std::formatter<std::string_view>::format(address.to_string(), context);
  }
};

template <>
struct std::formatter<rearm::Deadline> : std::formatter<std::string_view> {
  template <class Context>
  auto format(rearm::Deadline deadline, Context& context) const {
    return std::formatter<std::string_view>::format(deadline.to_string(), context);
  }
};
#endif
