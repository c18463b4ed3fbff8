// RunQueue: the fibers that one processor will run next; its owner pushes, anybody takes.
//
// What this is. A bounded ring (Go's, and tokio's after it): the owner pushes at the tail, the
// owner and thieves take from the head. Beside it the next-slot: the fiber that the running one has
// just made runnable, which is likely to find its data in the cache and runs first.
//
// Alone. The only worker of a runtime has no thieves, and its queue needs no locked instruction.
//
// Words
//   tail_   written by the owner alone. A slot in [head, tail) is full.
//   head_   moved forward by whoever takes, with one compare-and-exchange for all it takes.
//   next_   empty or one fiber; exchanged by the owner, and by a thief (steal_next).
//
// Invariants. A slot is written only outside [head, tail), and by the owner; a thief that read a
// slot which the owner has since overwritten fails its exchange on head_. Indices are 32 bits and
// wrap; a thief would have to sleep through exactly 2^32 takes to be fooled.
//
// Who may call. push, push_next, pop: the owner. steal_into, steal_next, size: any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/atomic.h"
#include "base/check.h"
#include "sched/fiber.h"

namespace rearm::detail {

class RunQueue {
 public:
  static constexpr std::uint32_t kCapacity = 512;

  enum class Thieves : bool { kNone, kSome };

  // With kNone, steal_into() must never be called on it.
  explicit RunQueue(Thieves thieves = Thieves::kSome) noexcept
      : shared_(thieves == Thieves::kSome) {}
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  // False if the ring is full.
  [[nodiscard]] bool push(Fiber& fiber) noexcept {
    const std::uint32_t tail = tail_.load(kRelaxed);  // Only the owner writes it.
    // Acquire: pairs with the release of takers; the slot they emptied may be written.
    if (tail - head_.load(kAcquire) == kCapacity) return false;
    slots_[tail % kCapacity].store(&fiber, kRelaxed);
    // Release: pairs with the acquire in steal_into(); the thief sees the slot and the fiber.
    tail_.store(tail + 1, kRelease);
    return true;
  }

  // Puts a fiber into the next-slot and returns the one that it displaces, or nullptr.
  [[nodiscard]] Fiber* push_next(Fiber& fiber) noexcept {
    // Release: hands the fiber over, to a thief maybe. Acquire: takes over the displaced one.
    if (shared_) return next_.exchange(&fiber, kAcqRel);
    Fiber* const displaced = next_.load(kRelaxed);
    next_.store(&fiber, kRelaxed);
    return displaced;
  }

  [[nodiscard]] Fiber* pop_next() noexcept {
    Fiber* const fiber = next_.load(kRelaxed);
    if (fiber == nullptr) return nullptr;  // Only thieves could change it, to empty.
    if (shared_) return next_.exchange(nullptr, kAcquire);
    next_.store(nullptr, kRelaxed);
    return fiber;
  }

  [[nodiscard]] Fiber* pop() noexcept {
    std::uint32_t head = head_.load(kRelaxed);
    while (head != tail_.load(kRelaxed)) {
      Fiber* const fiber = slots_[head % kCapacity].load(kRelaxed);
      if (!shared_) {
        head_.store(head + 1, kRelaxed);
        return fiber;
      }
      // Release: pairs with the acquire in push(); the slot is empty.
      if (head_.compare_exchange_weak(head, head + 1, kAcqRel, kRelaxed)) return fiber;
    }
    return nullptr;
  }

  // Moves half of what is here (at least one) to the thief's own queue and returns one of them
  // besides; nullptr if nothing could be had. REQUIRES: the caller owns `thief`, and it is empty.
  [[nodiscard]] Fiber* steal_into(RunQueue& thief) noexcept {
    REARM_DCHECK(shared_, "somebody stole from a queue that has no thieves");
    for (;;) {
      std::uint32_t head = head_.load(kAcquire);
      const std::uint32_t size = tail_.load(kAcquire) - head;  // Pairs with push().
      if (size == 0) return nullptr;
      if (size > kCapacity) continue;  // head and tail were read too far apart.
      const std::uint32_t count = size - size / 2;
      const std::uint32_t thief_tail = thief.tail_.load(kRelaxed);
      for (std::uint32_t i = 0; i < count; ++i) {
        Fiber* const fiber = slots_[(head + i) % kCapacity].load(kRelaxed);
        thief.slots_[(thief_tail + i) % kCapacity].store(fiber, kRelaxed);
      }
      if (!head_.compare_exchange_strong(head, head + count, kAcqRel, kRelaxed)) continue;
      Fiber* const first = thief.slots_[(thief_tail + count - 1) % kCapacity].load(kRelaxed);
      thief.tail_.store(thief_tail + count - 1, kRelease);
      return first;
    }
  }

  // The next-slot's fiber, or nullptr. Not before the ring is empty and the owner stands still: the
  // fiber is about to run there, and would find its data in the cache.
  [[nodiscard]] Fiber* steal_next() noexcept {
    REARM_DCHECK(shared_, "somebody stole from a queue that has no thieves");
    return next_.load(kRelaxed) == nullptr ? nullptr : next_.exchange(nullptr, kAcquire);
  }

  // Whether no fiber waits here. REQUIRES: the caller is the owner.
  [[nodiscard]] bool is_empty() const noexcept {
    return next_.load(kRelaxed) == nullptr && head_.load(kRelaxed) == tail_.load(kRelaxed);
  }

  // How many fibers wait here. A hint unless nobody moves.
  [[nodiscard]] std::size_t size() const noexcept {
    return ring_size() + (next_.load(kSeqCst) != nullptr ? 1U : 0U);
  }
  // Without the next-slot's.
  [[nodiscard]] std::size_t ring_size() const noexcept {
    const std::uint32_t head = head_.load(kSeqCst);
    const std::uint32_t tail = tail_.load(kSeqCst);
    return tail - head;
  }

  // The n-th from the head, or nullptr. Somebody else may take it at any time; the memory of fibers
  // stays mapped, so what is there may be prefetched, and nothing else.
  [[nodiscard]] const Fiber* peek(std::uint32_t n) const noexcept {
    const std::uint32_t head = head_.load(kRelaxed);
    if (tail_.load(kRelaxed) - head <= n) return nullptr;
    return slots_[(head + n) % kCapacity].load(kRelaxed);
  }

 private:
  alignas(64) Atomic<std::uint32_t> head_{0};
  alignas(64) Atomic<std::uint32_t> tail_{0};
  const bool shared_;
  Atomic<Fiber*> next_{nullptr};
  std::array<Atomic<Fiber*>, kCapacity> slots_{};
};

}  // namespace rearm::detail
