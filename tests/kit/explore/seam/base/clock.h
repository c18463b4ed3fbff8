// Takes the place of src/base/clock.h: time that moves when the explorer moves it.
#pragma once

#include <cstdint>

namespace rearm::detail {

[[nodiscard]] std::int64_t now_ns() noexcept;
// Not a step: whatever it tells, what is done with it must be right.
[[nodiscard]] std::int64_t quick_ns() noexcept;

}  // namespace rearm::detail
