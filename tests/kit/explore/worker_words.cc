// src/sched/worker.cc, unchanged, in one translation unit with the way to its thread-local.
#include "explore/worker_words.h"

#include "sched/worker.cc"  // NOLINT(bugprone-suspicious-include): see above.

namespace rearm::explore {

detail::Worker*& current_worker_slot() noexcept { return detail::current_worker; }

}  // namespace rearm::explore
