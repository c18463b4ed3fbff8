// is_ready: poll(2) of one number, for what the poller's edges cannot say: whether it is so now.
#pragma once

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/poller.h"

namespace rearm::detail {

// Whether one direction of `fd` would not block: now, with Deadline::immediate(), or else by the
// deadline, for which it blocks the thread. A standing deadline means never. Errors: the errno.
[[nodiscard]] Result<bool> is_ready(int fd, Direction direction, Deadline deadline);

}  // namespace rearm::detail
