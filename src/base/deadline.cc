#include "rearm/deadline.h"

#include "base/clock.h"

namespace rearm {

Deadline Deadline::now() noexcept { return at_ns(detail::now_ns()); }

}  // namespace rearm
