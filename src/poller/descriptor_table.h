// DescriptorTable: type-stable storage for descriptors, found by slot number.
//
// What this is. One table for the whole process. Slots are handed out and taken back, but their
// memory is never freed and never becomes anything else; so an event, a token or an Fd may outlive
// its descriptor, its poller and its runtime, and using it is `closed`, never undefined.
//
// How it works. Slots live in segments that double in size (64, 128, 256 …); a slot number names
// its segment and place by arithmetic, so find() is two loads and no lock. Memory is taken a
// segment at a time, a slot is constructed when it is first handed out: under the lock nobody waits
// for a whole segment to be written. Free slots form a list under the lock, last in first out,
// because a slot that was just used is in the cache. Beside them is the set of numbers that have a
// descriptor, of whichever poller: a number has one owner, who will close it. It is the owner's
// until it is about to be closed, not only until close() was called.
//
// A fork. The child has a copy of the table, taken while nobody changed it, and counts the fork; by
// the count pollers of the parent know that they are in a child (poller_core.h).
//
// Rejected. A table for each poller: then a handle that outlives its runtime points into freed
// memory. A hash of fd numbers: the kernel hands numbers back at once, which is the hazard that
// generations are there to remove.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/atomic.h"
#include "base/mutex.h"
#include "poller/descriptor.h"
#include "poller/number_set.h"
#include "rearm/error.h"

namespace rearm::detail {

class DescriptorTable {
 public:
  [[nodiscard]] static DescriptorTable& instance();

  // A free slot for `fd`. Errors: EEXIST (the number has a slot already), ENOMEM.
  // REQUIRES: fd >= 0.
  [[nodiscard]] Result<Descriptor*> allocate(int fd) REARM_EXCLUDES(mu_);
  // REQUIRES: `descriptor` was allocated for `fd`.
  void free(Descriptor& descriptor, int fd) REARM_EXCLUDES(mu_);

  // How many forks lie between this process and the one that made the table.
  [[nodiscard]] static std::uint32_t forks() noexcept { return forks_; }

  // nullptr if no such slot was ever handed out.
  [[nodiscard]] Descriptor* find(std::uint32_t slot) const noexcept {
    // Acquire: pairs with the release in construct().
    if (slot >= constructed_.load(kAcquire)) return nullptr;
    const Place place = place_of(slot);
    return segments_[place.segment].load(kRelaxed) + place.index;
  }

  // Calls `visit(Descriptor&)` for every slot that exists, free or not. Sequentially consistent,
  // for PollerCore::withdraw_all(): no slot is overlooked that was handed out before its look.
  template <class Visit>
  void for_each(Visit&& visit) {
    std::size_t left = constructed_.load(kSeqCst);
    for (std::size_t k = 0; left != 0; ++k) {
      Descriptor* const segment = segments_[k].load(kRelaxed);
      const std::size_t count = left < segment_size(k) ? left : segment_size(k);
      for (std::size_t i = 0; i < count; ++i) visit(segment[i]);
      left -= count;
    }
  }

 private:
  static constexpr std::size_t kFirstSegment = 64;
  static constexpr std::size_t kSegments = 22;  // 64 * (2^22 - 1): 268 million descriptors.

  struct Place {
    std::size_t segment;
    std::size_t index;
  };

  static constexpr std::size_t segment_size(std::size_t k) noexcept { return kFirstSegment << k; }
  static constexpr Place place_of(std::uint32_t slot) noexcept {
    // Segment k begins at slot 64 * (2^k - 1).
    const std::size_t q = slot / kFirstSegment + 1;
    const std::size_t k = static_cast<std::size_t>(std::bit_width(q)) - 1;
    return {k, slot - kFirstSegment * ((std::size_t{1} << k) - 1)};
  }

  // One more slot, or nullptr if there is no memory.
  Descriptor* construct() REARM_REQUIRES(mu_);
  void count_forks();

  // Written in a child before it has a second thread.
  static constinit inline std::uint32_t forks_ = 0;

  // How many slots exist: those below. Written under the lock.
  Atomic<std::uint32_t> constructed_{0};
  // Written under the lock, before the first slot of the segment counts.
  std::array<Atomic<Descriptor*>, kSegments> segments_{};
  Mutex mu_;
  NumberSet numbers_ REARM_GUARDED_BY(mu_);
  Descriptor* free_ REARM_GUARDED_BY(mu_) = nullptr;
};

}  // namespace rearm::detail
