// NumberSet: which descriptor numbers the pollers of this process have.
//
// What this is. epoll says EEXIST of a number that it knows, other kernels replace what they knew,
// and none knows of another poller's. So the descriptor table asks this set first: adding a
// descriptor twice is the same error everywhere, and no number has two owners.
//
// How it works. One bit a number. It needs the table's lock, which each slot that is handed out or
// taken back needs anyway. Rejected: a set without a lock, which was a second atomic operation
// beside the lock and saved nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace rearm::detail {

class NumberSet {
 public:
  enum class Inserted : std::uint8_t { kYes, kWasThere, kNoMemory };

  // REQUIRES: fd >= 0.
  [[nodiscard]] Inserted insert(int fd) {
    const auto number = static_cast<std::size_t>(fd);
    try {
      if (number >= bits_.size()) bits_.resize(std::max(number + 1, 2 * bits_.size()));
    } catch (const std::bad_alloc&) {
      return Inserted::kNoMemory;
    }
    if (bits_[number]) return Inserted::kWasThere;
    bits_[number] = true;
    return Inserted::kYes;
  }

  // REQUIRES: it is there.
  void erase(int fd) noexcept { bits_[static_cast<std::size_t>(fd)] = false; }

 private:
  std::vector<bool> bits_;
};

}  // namespace rearm::detail
