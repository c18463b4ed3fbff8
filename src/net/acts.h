// What is done to descriptors, in the words of this room.
#pragma once

#include "base/wait_record.h"

namespace rearm::detail::act {

inline constexpr Act kRead{.name = "read"};
inline constexpr Act kWrite{.name = "write"};
inline constexpr Act kConnect{.name = "connect"};
inline constexpr Act kLook{.name = "look at"};  // Whether it is open.
inline constexpr Act kLetGo{.name = "release"};
inline constexpr Act kClose{.name = "close"};

}  // namespace rearm::detail::act
