// Lifetime: who is using a descriptor, and when its number may be closed.
//
// What this is. One 64-bit word (Go's fdMutex is the model): a generation, a closed bit, one bit
// for the reader and one for the writer, and a count of references. The open descriptor itself
// holds one reference, every operation in flight another.
//
//   bits 63..32   generation: which life of the slot this is; 0 is never a life
//   bit  31       closed: no new operation enters
//   bit  30       a reader is inside        bit 29  a writer is inside
//   bit  28       operations stand in line for a direction (turn_queue.h)
//   bits 27..0    references
//
//   state                     who leaves it -> to what
//   free (closed, refs 0)     the table: begin_life -> open (refs 1, generation + 1)
//   open                      enter -> +1 and a direction bit; leave -> -1; close -> closed
//   closed, refs > 0          leave -> -1, and the one who reaches 0 is the last one out
//
// Invariants. The number is closed by the last one out and by nobody else (G4). Every call names
// the generation it means, so a handle of an earlier life is refused by the same exchange that
// would have counted it (G3). A second reader or writer is refused, not queued (G8). Where a
// direction is shared in turns, the one that leaves it is told that others stand in line, by the
// same exchange: it costs those that do not share nothing.
//
// Rejected. Queueing the second reader of a stream, with a semaphore, as Go does: it hides a design
// error in the caller behind a random interleaving of bytes.
#pragma once

#include <cstdint>

#include "base/atomic.h"
#include "base/check.h"
#include "rearm/poller.h"

namespace rearm::detail {

class Lifetime {
 public:
  enum class Entered : std::uint8_t { kYes, kClosed, kBusy };
  enum class Removed : std::uint8_t { kYes, kClosed, kBusy };
  // What is left to do for the one that has left a direction.
  enum class Left : std::uint8_t { kNothing, kCloseNumber, kCallNext };

  // The generation of the life that begin_life() will begin. REQUIRES: the slot is free and the
  // caller's.
  [[nodiscard]] std::uint32_t next_generation() const noexcept {
    const std::uint32_t generation = generation_of(word_.load(kRelaxed)) + 1;
    return generation == 0 ? 1 : generation;
  }

  // From free to open. REQUIRES: `generation` is next_generation().
  void begin_life(std::uint32_t generation) noexcept {
    // Releases the fields of the life to enter(). Sequentially consistent besides: whoever begins a
    // life and is then not refused to wait is seen by PollerCore::withdraw_all().
    word_.store(word_of(generation) | 1, kSeqCst);
  }

  [[nodiscard]] Entered enter(std::uint32_t generation, Direction direction) noexcept {
    return enter_with(generation, bit_of(direction));
  }
  // A reference without a direction, for what may be done beside a reader and a writer.
  [[nodiscard]] Entered enter(std::uint32_t generation) noexcept {
    return enter_with(generation, 0);
  }

  // kCloseNumber for the last one out of a closed descriptor. kCallNext if others stand in line, in
  // either direction: those hold references, so the caller was not the last one.
  [[nodiscard]] Left leave(Direction direction) noexcept {
    const std::uint64_t old = leave_with(bit_of(direction));
    if ((old & (kClosed | kInLine)) == 0) [[likely]]
      return Left::kNothing;
    if (is_last(old)) return Left::kCloseNumber;
    return (old & kInLine) != 0 ? Left::kCallNext : Left::kNothing;
  }
  // A reference without a direction. True for the last one out of a closed descriptor.
  [[nodiscard]] bool leave() noexcept { return is_last(leave_with(0)); }

  // Under the descriptor's lock, inside. Sequentially consistent: whoever has stored what those in
  // line must see, and then sees nobody in line, is seen by those who come later.
  void mark_line() noexcept { word_.fetch_or(kInLine, kSeqCst); }
  // REQUIRES: marked.
  void unmark_line() noexcept { word_.fetch_sub(kInLine, kRelaxed); }
  [[nodiscard]] bool has_line() const noexcept { return (word_.load(kSeqCst) & kInLine) != 0; }
  // Whether an operation that waited now would have to stand in line. A hint.
  [[nodiscard]] bool is_taken(Direction direction) const noexcept {
    return (word_.load(kRelaxed) & (bit_of(direction) | kInLine)) != 0;
  }

  // True for the one call that closes this life. The open descriptor's own reference becomes the
  // caller's, who gives it up with leave().
  [[nodiscard]] bool close(std::uint32_t generation) noexcept {
    std::uint64_t old = word_.load(kRelaxed);
    while (generation_of(old) == generation && (old & kClosed) == 0) {
      if (word_.compare_exchange_weak(old, old | kClosed, kAcqRel, kRelaxed)) return true;
    }
    return false;
  }

  // Closes this life only if nobody is inside. Like close(), leaves the caller the reference.
  [[nodiscard]] Removed remove(std::uint32_t generation) noexcept {
    std::uint64_t old = word_.load(kRelaxed);
    while (generation_of(old) == generation && (old & kClosed) == 0) {
      if ((old & kRefsMask) != 1) return Removed::kBusy;
      if (word_.compare_exchange_weak(old, old | kClosed, kAcqRel, kRelaxed)) return Removed::kYes;
    }
    return Removed::kClosed;
  }

  // Whether an event that carries this generation belongs to the life that is open now.
  [[nodiscard]] bool is_open(std::uint32_t generation) const noexcept {
    const std::uint64_t word = word_.load(kAcquire);  // Pairs with begin_life().
    return generation_of(word) == generation && (word & kClosed) == 0;
  }

  // The generation of the life that is open, or 0.
  [[nodiscard]] std::uint32_t open_generation() const noexcept {
    const std::uint64_t word = word_.load(kSeqCst);  // Pairs with begin_life().
    return (word & kClosed) == 0 ? generation_of(word) : 0;
  }

 private:
  static constexpr std::uint64_t kClosed = std::uint64_t{1} << 31;
  static constexpr std::uint64_t kReader = std::uint64_t{1} << 30;
  static constexpr std::uint64_t kWriter = std::uint64_t{1} << 29;
  static constexpr std::uint64_t kInLine = std::uint64_t{1} << 28;
  static constexpr std::uint64_t kRefsMask = kInLine - 1;

  static constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
  }
  static constexpr std::uint64_t word_of(std::uint32_t generation) noexcept {
    return std::uint64_t{generation} << 32;
  }
  static constexpr std::uint64_t bit_of(Direction direction) noexcept {
    return direction == Direction::kRead ? kReader : kWriter;
  }

  Entered enter_with(std::uint32_t generation, std::uint64_t bit) noexcept {
    std::uint64_t old = word_.load(kRelaxed);
    for (;;) {
      if (generation_of(old) != generation || (old & kClosed) != 0) return Entered::kClosed;
      if ((old & bit) != 0) return Entered::kBusy;
      REARM_CHECK((old & kRefsMask) != kRefsMask, "more than 250 million operations on one fd");
      // Acquire: pairs with begin_life() and with the leave() of the operation before.
      if (word_.compare_exchange_weak(old, (old | bit) + 1, kAcquire, kRelaxed)) {
        return Entered::kYes;
      }
    }
  }

  static constexpr bool is_last(std::uint64_t before) noexcept {
    return (before & kClosed) != 0 && (before & kRefsMask) == 1;
  }

  // Returns the word before.
  std::uint64_t leave_with(std::uint64_t bit) noexcept {
    // Release: pairs with the acquire in enter() of the next one, and of the last one out.
    const std::uint64_t old = word_.fetch_sub(bit + 1, kAcqRel);
    REARM_DCHECK((old & kRefsMask) != 0 && (old & bit) == bit, "leave without enter");
    return old;
  }

  Atomic<std::uint64_t> word_{kClosed};
};

}  // namespace rearm::detail
