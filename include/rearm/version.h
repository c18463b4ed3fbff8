// The version of these headers, and that of the library which is linked.
//
// Until 1.0 a minor version may change the ABI, so headers of one and a library of another do not
// fit. Each translation unit that includes anything of Rearm refers to a symbol whose name has the
// headers' version in it, and the library defines its own: a mismatch is an undefined symbol,
// rearm::detail::headers_of_0_1 or the like, from the linker or, of shared libraries, from the
// loader before main().
#pragma once

#include <cstdint>

#define REARM_VERSION_MAJOR 0
#define REARM_VERSION_MINOR 1
#define REARM_VERSION_PATCH 0
// For #if: 10000 a major version, 100 a minor one.
#define REARM_VERSION \
  (REARM_VERSION_MAJOR * 10000 + REARM_VERSION_MINOR * 100 + REARM_VERSION_PATCH)

#define REARM_DETAIL_NAME_HEADERS(major, minor) headers_of_##major##_##minor
#define REARM_DETAIL_EXPAND_HEADERS(major, minor) REARM_DETAIL_NAME_HEADERS(major, minor)
#define REARM_DETAIL_HEADERS REARM_DETAIL_EXPAND_HEADERS(REARM_VERSION_MAJOR, REARM_VERSION_MINOR)

namespace rearm {

// What REARM_VERSION was when the library was compiled. Equal to it, or of another patch version.
[[nodiscard]] std::uint32_t linked_version() noexcept;

namespace detail {

extern const char REARM_DETAIL_HEADERS;
[[gnu::used]] inline const char* const headers = &REARM_DETAIL_HEADERS;

}  // namespace detail

}  // namespace rearm
