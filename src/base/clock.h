// The clock of poller and scheduler: nanoseconds on the steady clock. Part of the seam (atomic.h).
#pragma once

#include <cstdint>

namespace rearm::detail {

[[nodiscard]] std::int64_t now_ns() noexcept;

}  // namespace rearm::detail
