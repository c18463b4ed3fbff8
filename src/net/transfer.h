// What one system call can transfer of a list of buffers.
#pragma once

#include <limits.h>

#include <algorithm>
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

// Buffers `at` to `at + count - 1`; `bytes` is what fits into them at once. A single buffer may be
// larger than that.
struct Transfer {
  std::size_t at = 0;
  std::size_t count = 0;
  std::size_t bytes = 0;
};

// The first buffers that are not empty, as many as one call takes.
template <class Buffer>
[[nodiscard]] Transfer one_transfer(std::span<const Buffer> buffers) noexcept {
  Transfer transfer;
  while (transfer.at < buffers.size() && buffers[transfer.at].size() == 0) ++transfer.at;
  const std::size_t most = std::min<std::size_t>(buffers.size() - transfer.at, IOV_MAX);
  for (; transfer.count < most; ++transfer.count) {
    const std::size_t size = buffers[transfer.at + transfer.count].size();
    if (size > kLargestPart - transfer.bytes) break;
    transfer.bytes += size;
  }
  if (transfer.count == 0 && most != 0) {
    transfer.count = 1;
    transfer.bytes = kLargestPart;
  }
  return transfer;
}

}  // namespace rearm::detail
