// What fibers do that may wait or wake, in the words of this room.
#pragma once

#include "base/wait_record.h"

namespace rearm::detail::act {

inline constexpr Act kWait{.name = "wait"};
inline constexpr Act kSpawn{.name = "spawn", .object_mark = "#"};
inline constexpr Act kJoin{.name = "join", .object_mark = "#", .ready = "ended"};
inline constexpr Act kSleep{.name = "sleep", .timed_out = "over"};
inline constexpr Act kStop{.name = "stop"};

}  // namespace rearm::detail::act
