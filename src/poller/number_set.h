// NumberSet: which descriptor numbers the pollers of this process watch, without a lock.
//
// What this is. epoll says EEXIST of a number that it knows, other kernels replace what they knew,
// and none knows of another poller's. So the poller asks this set first: adding a descriptor twice
// is the same error everywhere, costs the first one nothing, and no number has two owners.
//
// How it works. One byte a number, in segments that double in size (64, 128, 256 …) and are made
// when first needed. No order is needed between different numbers; for one number insert() and
// erase() are ordered by whoever owns the descriptor, and of two that insert at once one wins.
//
// Who may call. Any thread.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/atomic.h"

namespace rearm::detail {

class NumberSet {
 public:
  enum class Inserted : std::uint8_t { kYes, kWasThere, kNoMemory };

  NumberSet() = default;
  NumberSet(const NumberSet&) = delete;
  NumberSet& operator=(const NumberSet&) = delete;
  ~NumberSet() {
    for (Segment& segment : segments_) delete[] segment.load(kRelaxed);
  }

  // REQUIRES: fd >= 0.
  [[nodiscard]] Inserted insert(int fd) {
    const Place place = place_of(fd);
    Segment& segment = segments_[place.segment];
    Number* numbers = segment.load(kAcquire);
    if (numbers == nullptr) {
      Number* const fresh = new (std::nothrow) Number[kFirstSegment << place.segment]();
      if (fresh == nullptr) return Inserted::kNoMemory;
      // Release: pairs with the acquires here and in erase().
      if (segment.compare_exchange_strong(numbers, fresh, kAcqRel, kAcquire)) {
        numbers = fresh;
      } else {
        delete[] fresh;
      }
    }
    // Pairs with erase() in another thread: the next owner's registration comes after it.
    return numbers[place.index].exchange(1, kAcqRel) == 0 ? Inserted::kYes : Inserted::kWasThere;
  }

  // Nothing happens if it is not there.
  void erase(int fd) noexcept {
    const Place place = place_of(fd);
    Number* const numbers = segments_[place.segment].load(kAcquire);
    if (numbers != nullptr) numbers[place.index].store(0, kRelease);
  }

 private:
  using Number = Atomic<std::uint8_t>;
  using Segment = Atomic<Number*>;

  static constexpr std::size_t kFirstSegment = 64;
  static constexpr std::size_t kSegments = 26;  // 64 * (2^26 - 1): every int that is not negative.

  struct Place {
    std::size_t segment;
    std::size_t index;
  };

  static constexpr Place place_of(int fd) noexcept {
    // Segment k begins at number 64 * (2^k - 1).
    const std::size_t number = static_cast<std::size_t>(fd);
    const std::size_t q = number / kFirstSegment + 1;
    const std::size_t k = static_cast<std::size_t>(std::bit_width(q)) - 1;
    return {k, number - kFirstSegment * ((std::size_t{1} << k) - 1)};
  }

  std::array<Segment, kSegments> segments_{};
};

}  // namespace rearm::detail
