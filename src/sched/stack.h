// Stacks for fibers: mapped in groups, guarded, pooled; only touched pages cost memory.
//
// What this is. A StackPool for each scheduler and a StackCache for each processor in front of it.
// take() returns a stack of the pool's size with a guard below it: a fiber that runs over the end
// touches the guard and is reported by name (overflow.h) instead of writing into its neighbour.
//
// How it works. Address space is reserved for many stacks at once, so that mapping is not a system
// call per fiber. The guard is made with MADV_GUARD_INSTALL (Linux 6.13), which marks pages in the
// page table and does not split the mapping; before it, with mprotect, which costs a mapping per
// stack and so meets vm.max_map_count (65,530 by default) at about 32,000 fibers. Stacks are reused
// last in first out. What a stack has touched beyond its first page is given back when it leaves a
// processor's cache, not on every exit: the next fiber touches the same pages again.
//
// Each stack starts a few cache lines below its top, a different number from one to the next
// ("colour"): otherwise all fibers would compete for the same few sets of the cache.
//
// Who may call. StackPool from any thread; a StackCache from its processor's worker only.
//
// Numbers and the choice of the default size: docs/decisions/0002-stacks.md.
#pragma once

#include <cstddef>
#include <vector>

#include "base/annotations.h"
#include "base/mutex.h"
#include "sched/stack_context.h"

namespace rearm::detail {

// A value that names a stack; whoever holds it owns it.
struct Stack {
  std::byte* base = nullptr;  // The lowest usable byte; the guard lies below.
  std::size_t bytes = 0;
  Stack* next_free = nullptr;  // The pools'.

  [[nodiscard]] std::byte* top() const noexcept { return base + bytes; }
  [[nodiscard]] bool guards(const void* address, std::size_t guard_bytes) const noexcept {
    const auto* const byte = static_cast<const std::byte*>(address);
    return byte < base && byte >= base - guard_bytes;
  }
};

class StackPool {
 public:
  // Large enough that a frame cannot step over it in one go unless it is larger than this.
  static constexpr std::size_t kMinGuardBytes = 16 * 1024;
  static constexpr std::size_t kMinStackBytes = 16 * 1024;

  // The system's page, at most 64 KiB on the kernels there are: a guard may be larger than asked.
  [[nodiscard]] static std::size_t system_page_bytes() noexcept;

  // `stack_bytes` is rounded up to whole pages, and so is the guard.
  explicit StackPool(std::size_t stack_bytes, std::size_t page_bytes = system_page_bytes());
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  // REQUIRES: every stack is back.
  ~StackPool();

  [[nodiscard]] std::size_t stack_bytes() const noexcept { return stack_bytes_; }
  [[nodiscard]] std::size_t guard_bytes() const noexcept { return guard_bytes_; }

  // A stack, or nullptr when memory, address space or mappings are exhausted.
  [[nodiscard]] Stack* take() REARM_EXCLUDES(mu_);

  // Takes back a list linked by next_free, `count` long.
  void give_back(Stack* list, std::size_t count) REARM_EXCLUDES(mu_);

  // How many stacks are in use, or in a cache.
  [[nodiscard]] std::size_t taken() const REARM_EXCLUDES(mu_);

 private:
  struct Mapping {
    void* address;
    std::size_t bytes;
  };

  bool map_more() REARM_REQUIRES(mu_);
  [[nodiscard]] Stack* carve(std::byte* address, std::size_t colour) const noexcept;

  const std::size_t page_bytes_;
  const std::size_t guard_bytes_;
  const std::size_t stack_bytes_;

  mutable Mutex mu_;
  std::vector<Mapping> mappings_ REARM_GUARDED_BY(mu_);
  Stack* free_ REARM_GUARDED_BY(mu_) = nullptr;
  std::byte* fresh_ REARM_GUARDED_BY(mu_) = nullptr;  // Mapped, not yet carved.
  std::byte* fresh_end_ REARM_GUARDED_BY(mu_) = nullptr;
  std::size_t taken_ REARM_GUARDED_BY(mu_) = 0;
  std::size_t colour_ REARM_GUARDED_BY(mu_) = 0;
};

class StackCache {
 public:
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
    if (++count_ > kCapacity) flush_half();
  }

  void flush();

 private:
  static constexpr std::size_t kCapacity = 64;

  void flush_half();

  StackPool& pool_;
  Stack* free_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace rearm::detail
