// Waiting: how a fiber or a plain thread waits for a wait word, with a deadline.
#pragma once

#include <optional>

#include "base/wait_record.h"
#include "base/wait_word.h"
#include "rearm/deadline.h"
#include "sched/acts.h"

namespace rearm::detail {

// Parks the calling fiber, or blocks the calling thread, until somebody publishes into, withdraws
// or closes `word`, or until the deadline (which must not be standing) has passed. REQUIRES:
// word.prepare() has returned kPark.
// A cancellable wait, unlike a join, ends when the runtime is asked to stop. `what` is for those
// who look at a fiber that waits (Fiber::waits).
// Returns why the wait ended, or nothing if it was withdrawn before it had begun (a changed
// deadline, one that passed just now): the caller looks again, and prepares again.
enum class Cancellable : bool { kNo, kYes };
[[nodiscard]] std::optional<WakeReason> wait_on(WaitWord& word, Deadline deadline,
                                                Cancellable cancellable,
                                                const WaitingFor& what = {.act = &act::kWait});

}  // namespace rearm::detail
