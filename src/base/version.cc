#include "rearm/version.h"

namespace rearm {

std::uint32_t linked_version() noexcept { return REARM_VERSION; }

namespace detail {

const char REARM_DETAIL_HEADERS = 0;

}  // namespace detail

}  // namespace rearm
