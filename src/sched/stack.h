// Stacks for fibers: guarded, pooled, given back when they are not needed any more.
//
// What this is. A StackPool for each size and a StackCache for each processor in front of that of
// the runtime's own size. take() returns a stack with a guard below it: a fiber that runs over the
// end touches the guard and is reported by name (overflow.h) instead of writing into its neighbour.
//
// How it works. Stacks lie in slabs (stack_slab.h). They are reused last in first out, slabs that
// are free as a whole last of all, so that slabs become free as a whole. A stack that is given back
// keeps the memory that it has touched: the next fiber touches the same pages again, and a load
// that comes and goes makes no system calls. What is kept beyond a mark is given back. The mark is
// the highest number of stacks that were taken at once in the last period, and halves from one
// period to the next; stack_trimmer.h says how long that is, and who does it.
//
// How long the lock is held. For a few list operations a stack, and at most as many stacks as a
// cache holds; system calls are made without it.
//
// Who may call. StackPool from any thread; a StackCache from its processor's worker only, but for
// reclaim().
//
// Numbers and the choice of the default size: docs/decisions/0002-stacks.md, 0013-stack-memory.md.
// Of guards: 0014-guards-and-binding.md.
#pragma once

#include <cstddef>

#include "base/annotations.h"
#include "base/atomic.h"
#include "base/mutex.h"
#include "sched/stack_slab.h"

namespace rearm::detail {

class StackPool {
 public:
  // A signal's frame, or the first call into a shared library where that is bound late, can take
  // 4 KiB by itself, and more on processors with wider registers to save.
  static constexpr std::size_t kMinStackBytes = 32 * 1024;
  // A frame that is larger than the guard can step over it in one go.
  static constexpr std::size_t kMinGuardBytes = 16 * 1024;
  static constexpr std::size_t kDefaultGuardBytes = std::size_t{1} << 20;

  // The system's page, at most 64 KiB on the kernels there are: a guard may be larger than asked.
  [[nodiscard]] static std::size_t system_page_bytes() noexcept;

  // Both sizes are rounded up to whole pages. REQUIRES: kMaxStackBytes at most (options.h).
  explicit StackPool(std::size_t stack_bytes, std::size_t guard_bytes = kDefaultGuardBytes,
                     std::size_t page_bytes = system_page_bytes());
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  // REQUIRES: every stack is back.
  ~StackPool();

  [[nodiscard]] std::size_t stack_bytes() const noexcept { return shape_.stack_bytes; }
  [[nodiscard]] std::size_t guard_bytes() const noexcept { return shape_.guard_bytes; }

  // A stack, or nullptr when memory, address space or mappings are exhausted.
  [[nodiscard]] Stack* take() REARM_EXCLUDES(mu_);

  // Takes back a list linked by next_free, `count` long.
  void give_back(Stack* list, std::size_t count) REARM_EXCLUDES(mu_);

  // How many stacks are in use, or in a cache.
  [[nodiscard]] std::size_t taken() const REARM_EXCLUDES(mu_);
  // How many are free and hold memory. A hint, without the lock.
  [[nodiscard]] std::size_t warm() const noexcept { return warm_count_.load(kRelaxed); }

  // --- Giving memory back. ---

  // A period is over: lowers the mark. From then on trim_surplus() gives back what is beyond it.
  void end_period() REARM_EXCLUDES(mu_);
  // Gives back what is beyond the mark, up to a slab. False if there is nothing.
  bool trim_surplus() REARM_EXCLUDES(mu_);
  // Gives back the memory of all stacks that are free.
  void trim() REARM_EXCLUDES(mu_);

 private:
  [[nodiscard]] Stack* take_warm() REARM_REQUIRES(mu_);
  bool add_slab() REARM_EXCLUDES(mu_);
  bool reopen_slab() REARM_EXCLUDES(mu_);
  void place(StackSlab& slab) REARM_REQUIRES(mu_);
  std::size_t trim_slab(std::size_t at_most) REARM_EXCLUDES(mu_);

  const StackShape shape_;

  mutable Mutex mu_;
  // Of the slabs that have free stacks those with warm ones, free as a whole at the back; those
  // with cold ones only; and those that have none of either.
  StackSlabList warm_ REARM_GUARDED_BY(mu_);
  StackSlabList cold_ REARM_GUARDED_BY(mu_);
  StackSlabList full_ REARM_GUARDED_BY(mu_);
  StackSlabList vacated_ REARM_GUARDED_BY(mu_);
  StackSlabList lost_ REARM_GUARDED_BY(mu_);  // The system refused to take them back.
  unsigned slabs_made_ REARM_GUARDED_BY(mu_) = 0;
  std::size_t slabs_open_ REARM_GUARDED_BY(mu_) = 0;
  std::size_t taken_ REARM_GUARDED_BY(mu_) = 0;
  std::size_t most_taken_ REARM_GUARDED_BY(mu_) = 0;  // In this period.
  std::size_t mark_ REARM_GUARDED_BY(mu_) = 0;
  Atomic<std::size_t> warm_count_{0};  // Written under the lock.
};

class StackCache {
 public:
  // So many at most; so few that a worker which sleeps may keep them, with all that they touched.
  static constexpr std::size_t kCapacity = 64;
  static constexpr std::size_t kFew = 8;

  explicit StackCache(StackPool& pool) noexcept : pool_(pool) {}
  StackCache(const StackCache&) = delete;
  StackCache& operator=(const StackCache&) = delete;
  ~StackCache() { flush(); }

  [[nodiscard]] Stack* take() {
    if (free_ == nullptr) return pool_.take();
    Stack* const stack = free_;
    free_ = stack->next_free;
    --count_;
    return stack;
  }

  void give_back(Stack& stack) {
    stack.next_free = free_;
    free_ = &stack;
    if (++count_ > kCapacity) keep(kCapacity / 2);
  }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }

  void flush();
  // Gives the older half to the pool, but for a few: at the end of each period, so that what the
  // worker does not need goes although it is busy. What it needs comes from the pool again.
  void shrink();

  // Around a sleep of the worker: what is lent may be reclaimed meanwhile. Few are not lent.
  void lend() noexcept;
  void take_back() noexcept;
  // Gives what is lent to the pool. From any thread.
  void reclaim();
  [[nodiscard]] bool has_lent() const noexcept { return lent_.load(kRelaxed) != nullptr; }

 private:
  void keep(std::size_t most);

  StackPool& pool_;
  Stack* free_ = nullptr;
  std::size_t count_ = 0;
  Atomic<Stack*> lent_{nullptr};
};

}  // namespace rearm::detail
