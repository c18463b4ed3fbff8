// StackSlab: address space for a few stacks, and which of them hold memory.
//
// What this is. One mapping, in which guards and stacks take turns, the guard below its stack. Each
// stack is in one of three states: taken (by whoever holds the Stack; a cache counts, too), warm
// (free, with the memory that its fibers have touched), or cold (free, without memory: it never had
// any, or clean() gave it back). A slab whose stacks are all free can be vacated: then it has no
// memory, no page tables and no guards, and one mapping that merges with its neighbours.
//
// A vacated slab keeps its address space, and can be read: a worker that looks ahead in a run queue
// may look at a fiber that has just ended elsewhere (Worker::prefetch_queued()).
//
// The guard is made with MADV_GUARD_INSTALL (Linux 6.13), which marks pages in the page table and
// does not split the mapping; where there is none, with mprotect, which costs two mappings a stack,
// however large the guard is, and so meets vm.max_map_count (65,530 by default) at about 32,000.
//
// Each stack starts a few cache lines below its top, a different number from one to the next
// ("colour"): otherwise all fibers would compete for the same few sets of the cache.
//
// Who may call. The lists and counts: the pool, under its lock. What makes system calls (map(),
// prepare(), clean(), vacate(), open_again()): whoever took the slab, or the stacks in question,
// out of the pool's lists; it holds no lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rearm::detail {

class StackPool;
class StackSlab;
class StackSlabList;

// A value that names a stack; whoever holds it owns it.
struct Stack {
  std::byte* base = nullptr;  // The lowest usable byte; the guard lies below.
  std::size_t bytes = 0;
  Stack* next_free = nullptr;  // The pools'.
  StackPool* pool = nullptr;
  StackSlab* slab = nullptr;

  [[nodiscard]] std::byte* top() const noexcept { return base + bytes; }
  [[nodiscard]] bool guards(const void* address, std::size_t guard_bytes) const noexcept {
    const auto* const byte = static_cast<const std::byte*>(address);
    return byte < base && byte >= base - guard_bytes;
  }
};

// What the stacks of a pool look like; multiples of the page.
struct StackShape {
  std::size_t stack_bytes;
  std::size_t guard_bytes;
  std::size_t page_bytes;

  [[nodiscard]] std::size_t unit() const noexcept { return guard_bytes + stack_bytes; }
  // So many stacks share a mapping that it costs little, and so few that one can be vacated in a
  // fraction of a millisecond.
  [[nodiscard]] unsigned stacks_per_slab() const noexcept;
};

class StackSlab {
 public:
  static constexpr unsigned kMostStacks = 16;

  // `ordinal`: of how many slabs of the pool this is the next.
  StackSlab(StackPool& pool, const StackShape& shape, unsigned stacks, unsigned ordinal) noexcept
      : pool_(pool), shape_(shape), stacks_(stacks), ordinal_(ordinal) {}
  StackSlab(const StackSlab&) = delete;
  StackSlab& operator=(const StackSlab&) = delete;
  ~StackSlab();  // Unmaps.

  // --- Under the pool's lock. ---

  [[nodiscard]] bool has_warm() const noexcept { return warm_ != nullptr; }
  [[nodiscard]] bool has_cold() const noexcept { return cold_ != 0; }
  [[nodiscard]] unsigned warm_count() const noexcept { return warm_count_; }
  [[nodiscard]] bool is_free() const noexcept;

  [[nodiscard]] Stack* take_warm() noexcept;
  void give_warm(Stack& stack) noexcept;
  // Takes out `count` warm stacks, those longest out of use; a list linked by next_free.
  [[nodiscard]] Stack* take_oldest(unsigned count) noexcept;
  [[nodiscard]] unsigned take_cold() noexcept;  // An index. REQUIRES: has_cold().
  void give_cold(std::uint32_t indices) noexcept { cold_ |= indices; }
  void give_all_cold() noexcept;

  // --- Without it. ---

  [[nodiscard]] bool map() noexcept;  // Makes all stacks cold.
  // Guards the stack and writes its Stack; nullptr if there is no guard to be had.
  [[nodiscard]] Stack* prepare(unsigned index) noexcept;
  // Gives back the memory of the stacks in `list`; returns their indices, a bit each. The Stacks
  // are gone.
  [[nodiscard]] std::uint32_t clean(Stack* list) noexcept;
  // REQUIRES: all stacks are free. False if the slab must not be used any more.
  [[nodiscard]] bool vacate() noexcept;
  [[nodiscard]] bool open_again() noexcept;

 private:
  friend class StackSlabList;

  [[nodiscard]] std::size_t bytes() const noexcept { return shape_.unit() * stacks_; }
  [[nodiscard]] std::uint32_t all() const noexcept { return (std::uint32_t{1} << stacks_) - 1; }

  StackPool& pool_;
  const StackShape& shape_;
  const unsigned stacks_;
  const unsigned ordinal_;
  std::byte* address_ = nullptr;

  Stack* warm_ = nullptr;
  unsigned warm_count_ = 0;
  std::uint32_t cold_ = 0;
  std::array<bool, kMostStacks> guarded_{};  // Each for whoever has taken that stack, or all.

  StackSlab* previous_ = nullptr;
  StackSlab* next_ = nullptr;
  StackSlabList* list_ = nullptr;
};

// Slabs, linked through themselves; each is in one list at most. Owns nothing.
class StackSlabList {
 public:
  [[nodiscard]] bool empty() const noexcept { return front_ == nullptr; }
  [[nodiscard]] StackSlab* front() const noexcept { return front_; }
  [[nodiscard]] StackSlab* back() const noexcept { return back_; }
  [[nodiscard]] bool has(const StackSlab& slab) const noexcept { return slab.list_ == this; }

  void push_front(StackSlab& slab) noexcept;
  void push_back(StackSlab& slab) noexcept;
  static void remove(StackSlab& slab) noexcept;  // From whichever list it is in, if any.

 private:
  StackSlab* front_ = nullptr;
  StackSlab* back_ = nullptr;
};

}  // namespace rearm::detail
