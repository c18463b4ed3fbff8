// What is checked of the numbers in Runtime::Options and SpawnOptions, before anything is made of
// them: a size that wraps when it is rounded up would otherwise be met at the first spawn.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "rearm/runtime.h"

namespace rearm::detail {

// More than there is of either on any machine, and so little that no sum below can wrap: what lies
// between a machine's room and this is Errc::kStacksExhausted, or a thread that cannot be started.
inline constexpr std::size_t kMaxWorkers = 4096;
inline constexpr std::size_t kMaxStackBytes = static_cast<std::size_t>(
    std::min<std::uint64_t>(std::uint64_t{1} << 40, std::numeric_limits<std::size_t>::max() / 8));

// With less, each switch is a system call; with more, what waits outside of the queue is forgotten.
inline constexpr std::chrono::nanoseconds kMinTimeSlice = std::chrono::microseconds(1);
inline constexpr std::chrono::nanoseconds kMaxTimeSlice = std::chrono::seconds(1);
inline constexpr std::size_t kMaxBudget = 1'000'000;

// The options themselves, for a constructor's list of members. Throws std::system_error
// (Errc::kInvalidArgument), which names the option and its limit.
[[nodiscard]] Runtime::Options checked(Runtime::Options options);

}  // namespace rearm::detail
