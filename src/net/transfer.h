// What one system call can transfer of a list of buffers.
#pragma once

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace rearm::detail {

// A call transfers INT_MAX bytes at most, on Linux rounded down to the size of a page, which is
// 64 KiB at most; macOS refuses to be asked for more.
inline constexpr std::size_t kLargestTransfer = 0x7fff0000;

// Of a stream, which may be cut anywhere, a call is asked for less. While the peer takes as fast as
// we give, one send() goes on for as long as there is something left, and until it returns nobody
// looks at the deadline, nor does another fiber of the worker run. This much takes about as long as
// a time slice, and hundreds of times as long as a system call.
inline constexpr std::size_t kLargestPart = std::size_t{1} << 20;

// Buffers `at` to `at + count - 1`, and the first `cut` bytes of the next one; `bytes` is what fits
// into them at once. A single buffer may be larger than that.
struct Transfer {
  std::size_t at = 0;
  std::size_t count = 0;
  std::size_t cut = 0;
  std::size_t bytes = 0;
};

// More whole buffers than this are not followed by a part of one, which takes a copy of them all.
inline constexpr std::size_t kMostBeforeCut = 31;

// The first buffers that are not empty, as many as one call takes.
template <class Buffer>
[[nodiscard]] Transfer one_transfer(std::span<const Buffer> buffers) noexcept {
  Transfer transfer;
  while (transfer.at < buffers.size() && buffers[transfer.at].size() == 0) ++transfer.at;
  const std::size_t most = std::min<std::size_t>(buffers.size() - transfer.at, IOV_MAX);
  for (; transfer.count < most; ++transfer.count) {
    const std::size_t size = buffers[transfer.at + transfer.count].size();
    if (size > kLargestPart - transfer.bytes) {
      const bool is_cut = transfer.count != 0 && transfer.count <= kMostBeforeCut;
      transfer.cut = is_cut ? kLargestPart - transfer.bytes : 0;
      break;
    }
    transfer.bytes += size;
  }
  if (transfer.count == 0 && most != 0) {
    transfer.count = 1;
    transfer.bytes = kLargestPart;
  }
  transfer.bytes += transfer.cut;
  return transfer;
}

// The vectors of a transfer of at least one buffer: the caller's own, unless the last one is cut.
class Vectors {
 public:
  // Calls read through the vectors or write through them, as the buffers allow; struct iovec merely
  // cannot say which.
  template <class Buffer>
  Vectors(std::span<const Buffer> buffers, const Transfer& transfer) noexcept
      : data_(const_cast<iovec*>(reinterpret_cast<const iovec*>(&buffers[transfer.at]))),
        count_(static_cast<int>(transfer.count)) {
    if (transfer.cut == 0) return;
    std::copy_n(data_, transfer.count + 1, copied_.begin());
    copied_[transfer.count].iov_len = transfer.cut;
    data_ = copied_.data();
    ++count_;
  }
  Vectors(const Vectors&) = delete;
  Vectors& operator=(const Vectors&) = delete;

  [[nodiscard]] iovec* data() const noexcept { return data_; }
  [[nodiscard]] int count() const noexcept { return count_; }

 private:
  iovec* data_;
  int count_;
  std::array<iovec, kMostBeforeCut + 1> copied_;  // Only where it is needed.
};

}  // namespace rearm::detail
