// Stacks: those of one runtime. A pool of the runtime's own size, and others by powers of two for
// fibers that ask for another (SpawnOptions::stack_bytes).
//
// The pools of other sizes are made when they are first needed, and stay. Their stacks are not kept
// in the processors' caches: whoever takes one takes the pool's lock, once a spawn and once an end.
//
// Who may call. Any thread.
//
// Rejected. A mapping for each such fiber: two system calls and a guard for each spawn, and no
// reuse of touched pages. Size classes between the powers of two: what is saved is address space.
#pragma once

#include <array>
#include <cstddef>

#include "base/atomic.h"
#include "sched/stack.h"

namespace rearm::detail {

class Stacks {
 public:
  // REQUIRES: both at most kMaxStackBytes (options.h).
  Stacks(std::size_t usual_bytes, std::size_t guard_bytes)
      : usual_(usual_bytes, guard_bytes), guard_bytes_(guard_bytes) {}
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks();

  [[nodiscard]] StackPool& usual() noexcept { return usual_; }
  // The pool whose stacks have at least `bytes`: the usual one if that is its size. Null if there
  // is no memory for a new one. REQUIRES: at most kMaxStackBytes.
  [[nodiscard]] StackPool* of_size(std::size_t bytes);

  // What StackPool says, of all pools.
  [[nodiscard]] std::size_t taken() const;
  [[nodiscard]] bool has_warm() const noexcept {
    return usual_.warm() != 0 || (has_others_.load(kRelaxed) && others_have_warm());
  }
  void end_period();
  bool trim_surplus();
  void trim();

 private:
  [[nodiscard]] bool others_have_warm() const noexcept;

  StackPool usual_;
  const std::size_t guard_bytes_;
  Atomic<bool> has_others_{false};
  std::array<Atomic<StackPool*>, 8 * sizeof(std::size_t)> others_{};  // By the power of two.
};

}  // namespace rearm::detail
