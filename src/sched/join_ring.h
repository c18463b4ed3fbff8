// JoinRing: finds joins that cannot end, because the fibers would wait for each other's end.
//
// What this is. A fiber that joins itself, and a ring of fibers of which each joins the next, would
// wait for ever: a join is not cancelled
// (docs/decisions/0006-run-ends-when-all-fibers-end.md). Whoever would close such a ring is
// told so instead. Only joins without a deadline count: the others end by themselves. The fibers of
// a ring may belong to several runtimes.
//
// How it works. A joiner writes its name into the fiber that it joins (Fiber::joiner), announces
// itself there (done.prepare()), and then looks from itself upwards: who waits for me, who for
// that one? If it meets the fiber that it is about to wait for, it has closed a ring, and takes
// its announcement back. Announcing and looking are sequentially consistent, so the last of a ring
// sees all the others; two that come at the same time may both see it, and both are told.
//
// What it costs. Nearly every join is of a fiber that was spawned by the joiner, or by one that it
// has spawned: of one that is deeper in the tree of spawning. A ring has at least one join that is
// not ("sideways"), so only these are counted, and while there is none, a join that parks compares
// two numbers and reads a word that nobody writes. While there is one, a joiner that is joined
// itself takes a lock and goes up the chain.
//
// Why the look is safe. Those who wait, at one or more removes, for the fiber that looks cannot go
// on before it has ended, so their memory stays; but for one that closes a ring and leaves it. It
// takes its announcement back, and others look, under the same lock.
//
// Who may call. The joining fiber.
//
// Rejected. Looking downwards (whom does that one join?): what a fiber joins may end, and be gone,
// under the look. A lock around every join: 20 ns of 61 for a spawn and join, and every worker
// would wait for it. Looking upwards at every join: a chain of n nested joins would cost n^2.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/mutex.h"
#include "sched/fiber.h"

namespace rearm::detail {

// One join without a deadline, from before it is announced until it has ended.
class JoinRing {
 public:
  JoinRing(Fiber& joiner, Fiber& joined) noexcept
      : joiner_(joiner), joined_(joined), is_sideways_(joined.depth <= joiner.depth) {
    joined.joiner.store(&joiner, kRelaxed);  // Seen by all who see that it is awaited.
    // Before prepare(): pairs with the look in is_closed().
    if (is_sideways_) sideways_.fetch_add(1, kSeqCst);
  }
  JoinRing(const JoinRing&) = delete;
  JoinRing& operator=(const JoinRing&) = delete;
  ~JoinRing() {
    if (is_sideways_) sideways_.fetch_sub(1, kRelaxed);
  }

  // After joined.done.prepare() has returned kPark: whether the join could not end. If so, it is
  // withdrawn, and must not be parked.
  [[nodiscard]] bool is_closed() {
    return sideways_.load(kSeqCst) != 0 && joiner_.done.is_awaited() && look();
  }

 private:
  [[nodiscard]] bool look() REARM_EXCLUDES(mu_);

  // Of the whole process: how many joins are sideways, and the lock under which one looks.
  inline static constinit Atomic<std::uint64_t> sideways_{0};
  inline static constinit Mutex mu_;

  Fiber& joiner_;
  Fiber& joined_;
  const bool is_sideways_;
};

}  // namespace rearm::detail
