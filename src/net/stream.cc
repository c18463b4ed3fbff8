#include "rearm/net/stream.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>

#include "net/fd_access.h"
#include "net/no_sigpipe.h"
#include "net/transfer.h"

namespace rearm {
namespace detail {
namespace {

static_assert(sizeof(MutableBuffer) == sizeof(iovec) && sizeof(ConstBuffer) == sizeof(iovec));

// The result of a write to what is not a socket, and without the signal that it may have raised.
ssize_t without_sigpipe(NoSigpipe& no_sigpipe, ssize_t n) {
  const ssize_t result = result_or_errno(n);
  // -EINTR may be an EPIPE that was lost (base/errno.h).
  if (result == -EPIPE || result == -EINTR) no_sigpipe.discard();
  return result;
}

ssize_t write_once(int fd, bool is_socket, ConstBuffer buffer) {
  const std::size_t bytes = std::min(buffer.size(), kLargestPart);
  if (is_socket) return result_or_errno(::send(fd, buffer.data(), bytes, kNoSignal));
  NoSigpipe no_sigpipe;
  return without_sigpipe(no_sigpipe, ::write(fd, buffer.data(), bytes));
}

ssize_t writev_once(int fd, bool is_socket, const Vectors& vectors) {
  if (is_socket) {
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(vectors.count());
    return result_or_errno(::sendmsg(fd, &message, kNoSignal));
  }
  NoSigpipe no_sigpipe;
  return without_sigpipe(no_sigpipe, ::writev(fd, vectors.data(), vectors.count()));
}

// A read under the short-read rule: see fd_access.h.
template <class Call>
Result<std::size_t> read_by_rule(FdAccess::Operation& operation, bool rule, std::size_t capacity,
                                 Deadline deadline, Call&& call) {
  operation.give_way_if_due(deadline);
  if (operation.is_late(deadline)) [[unlikely]]
    return std::unexpected(Errc::kTimedOut);
  Descriptor& descriptor = operation.descriptor();
  // The flag was set before the report that let the short read through was published, so it is seen
  // here; a report that came later is in the word.
  if (descriptor.read_drained && !descriptor.hang_up_seen.load(kSeqCst)) {
    if (const std::error_code error = operation.wait(deadline)) [[unlikely]] {
      if (error == Errc::kClosed) return std::unexpected(error);
      // The loop meets any other refusal again, if the read would block.
    }
  }
  const auto n = operation.perform_in_time(deadline, call);
  descriptor.read_drained = rule && n && *n != 0 && *n < capacity;
  return n;
}

Result<std::size_t> read_once(FdAccess::Operation& operation, bool rule, MutableBuffer buffer,
                              Deadline deadline) {
  const std::size_t bytes = std::min(buffer.size(), kLargestPart);
  return read_by_rule(operation, rule, bytes, deadline,
                      [&](int fd) { return result_or_errno(::read(fd, buffer.data(), bytes)); });
}

// One system call for the first buffers, as many as it takes.
Result<std::size_t> write_several(FdAccess::Operation& operation, bool is_socket,
                                  std::span<const ConstBuffer> buffers, Deadline deadline) {
  const auto transfer = one_transfer(buffers);
  if (transfer.count <= 1 && transfer.cut == 0) {
    const ConstBuffer buffer = transfer.count == 0 ? ConstBuffer() : buffers[transfer.at];
    return operation.perform(deadline, [&](int fd) { return write_once(fd, is_socket, buffer); });
  }
  const Vectors vectors(buffers, transfer);
  return operation.perform(deadline, [&](int fd) { return writev_once(fd, is_socket, vectors); });
}

}  // namespace
}  // namespace detail

using detail::FdAccess;

Result<Stream> Stream::adopt(int fd) noexcept { return adopt(fd, FdAccess::current_runtime()); }

Result<Stream> Stream::adopt(int fd, Runtime& runtime) noexcept {
  auto adopted = Fd::adopt(fd, runtime);
  if (!adopted) return std::unexpected(adopted.error());
  return Stream(std::move(*adopted));
}

// --- Reading. ---

Result<std::size_t> Stream::read_some(MutableBuffer buffer, Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kRead);
  if (operation.refused()) return operation.error();
  if (buffer.size() == 0) return std::unexpected(Errc::kInvalidArgument);
  const bool rule = FdAccess::has_trait(*this, FdAccess::kShortReadDrains);
  return detail::read_once(operation, rule, buffer, deadline);
}

Result<std::size_t> Stream::readv(std::span<const MutableBuffer> buffers,
                                  Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kRead);
  if (operation.refused()) return operation.error();
  const auto transfer = detail::one_transfer(buffers);
  if (transfer.bytes == 0) return std::unexpected(Errc::kInvalidArgument);
  const bool rule = FdAccess::has_trait(*this, FdAccess::kShortReadDrains);
  if (transfer.count == 1 && transfer.cut == 0) {
    return detail::read_once(operation, rule, buffers[transfer.at], deadline);
  }
  const detail::Vectors vectors(buffers, transfer);
  return detail::read_by_rule(operation, rule, transfer.bytes, deadline, [&](int fd) {
    return detail::result_or_errno(::readv(fd, vectors.data(), vectors.count()));
  });
}

Result<void> Stream::read_exact(MutableBuffer buffer, Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kRead);
  if (operation.refused()) return operation.error();
  const bool rule = FdAccess::has_trait(*this, FdAccess::kShortReadDrains);
  while (buffer.size() != 0) {
    const auto n = detail::read_once(operation, rule, buffer, deadline);
    if (!n) return std::unexpected(n.error());
    if (*n == 0) return std::unexpected(Errc::kEndOfStream);
    buffer = buffer.after(*n);
    if (buffer.size() != 0) operation.count_again();
  }
  return {};
}

// --- Writing. ---

Result<std::size_t> Stream::write_some(ConstBuffer buffer, Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const bool is_socket = FdAccess::has_trait(*this, FdAccess::kIsSocket);
  return operation.perform(deadline,
                           [&](int fd) { return detail::write_once(fd, is_socket, buffer); });
}

Result<std::size_t> Stream::writev(std::span<const ConstBuffer> buffers,
                                   Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const bool is_socket = FdAccess::has_trait(*this, FdAccess::kIsSocket);
  return detail::write_several(operation, is_socket, buffers, deadline);
}

Result<void> Stream::write_all(std::span<const ConstBuffer> buffers, Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const bool is_socket = FdAccess::has_trait(*this, FdAccess::kIsSocket);
  // What a call has left of its last buffer goes first in the next one, with as many behind it as
  // there is room for here; the caller's own are read only.
  std::array<ConstBuffer, 64> begun;
  std::size_t done = 0;  // Of the first buffer.
  bool is_begun = false;
  for (;;) {
    while (!buffers.empty() && buffers.front().size() <= done) {
      done -= buffers.front().size();
      buffers = buffers.subspan(1);
    }
    if (buffers.empty()) return {};
    if (is_begun) operation.count_again();
    is_begun = true;
    std::span<const ConstBuffer> left = buffers;
    if (done != 0) {
      left = left.first(std::min(left.size(), begun.size()));
      std::ranges::copy(left, begun.begin());
      begun[0] = begun[0].after(done);
      left = std::span(begun).first(left.size());
    }
    const auto n = detail::write_several(operation, is_socket, left, deadline);
    if (!n) return std::unexpected(n.error());
    done += *n;
  }
}

Result<void> Stream::write_all(ConstBuffer buffer, Deadline deadline) noexcept {
  FdAccess::Operation operation(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const bool is_socket = FdAccess::has_trait(*this, FdAccess::kIsSocket);
  while (buffer.size() != 0) {
    const auto n = operation.perform(
        deadline, [&](int fd) { return detail::write_once(fd, is_socket, buffer); });
    if (!n) return std::unexpected(n.error());
    buffer = buffer.after(*n);
    if (buffer.size() != 0) operation.count_again();
  }
  return {};
}

}  // namespace rearm
