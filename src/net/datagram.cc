#include "rearm/net/datagram.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "net/no_sigpipe.h"
#include "net/retry.h"

namespace rearm {

using detail::FdAccess;

Result<void> Datagram::connect(const SocketAddress& peer) noexcept {
  const auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  for (;;) {
    const int result =
        detail::result_or_errno(::connect(operation.fd(), static_cast<const sockaddr*>(peer.data()),
                                          static_cast<socklen_t>(peer.size())));
    if (result == 0) return {};
    if (result != -EINTR) return std::unexpected(detail::error_of(result));
  }
}

Result<Datagram::Received> Datagram::recv_from(MutableBuffer buffer, Deadline deadline) noexcept {
  auto operation = FdAccess::Operation::shared(*this, Direction::kRead);
  if (operation.refused()) return operation.error();
  sockaddr_storage from{};
  iovec vector{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_name = &from;
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    message.msg_namelen = sizeof(from);
    return detail::result_or_errno(::recvmsg(fd, &message, 0));
  });
  if (!n) return std::unexpected(n.error());
  return Received{.bytes = *n,
                  .truncated = (message.msg_flags & MSG_TRUNC) != 0,
                  .from = SocketAddress::from_native(&from, message.msg_namelen)};
}

namespace {

ssize_t send_once(int fd, ConstBuffer datagram, const SocketAddress& to) {
  return detail::result_or_errno(::sendto(fd, datagram.data(), datagram.size(), detail::kNoSignal,
                                          static_cast<const sockaddr*>(to.data()),
                                          static_cast<socklen_t>(to.size())));
}

// Room at a Unix socket that is not the peer is not reported, and what is reported is not room: see
// retry.h. So it waits beside the line: others may send to where there is room.
Result<void> send_to_unix(const Fd& fd, ConstBuffer datagram, const SocketAddress& to,
                          Deadline deadline) {
  auto operation = FdAccess::Operation::shared(fd, Direction::kWrite);
  if (operation.refused()) return operation.error();
  operation.give_way_if_due(deadline);
  detail::RoomRetry retry;
  for (;;) {
    if (operation.is_late(deadline)) return std::unexpected(Errc::kTimedOut);
    const ssize_t n = send_once(operation.fd(), datagram, to);
    if (n >= 0) return {};
    if (n == -EINTR) continue;
    if (n != -EAGAIN) return std::unexpected(detail::error_of(static_cast<int>(n)));
    if (const std::error_code error = operation.pause(retry.again_ns(), deadline)) {
      return std::unexpected(error);
    }
  }
}

}  // namespace

Result<void> Datagram::send_to(ConstBuffer datagram, const SocketAddress& to,
                               Deadline deadline) noexcept {
  if (to.family() == SocketAddress::Family::kUnix) {
    return send_to_unix(*this, datagram, to, deadline);
  }
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const auto n =
      operation.perform_in_turn(deadline, [&](int fd) { return send_once(fd, datagram, to); });
  if (!n) return std::unexpected(n.error());
  return {};
}

Result<void> Datagram::send(ConstBuffer datagram, Deadline deadline) noexcept {
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    return detail::result_or_errno(::send(fd, datagram.data(), datagram.size(), detail::kNoSignal));
  });
  if (!n) return std::unexpected(n.error());
  return {};
}

Result<SocketAddress> Datagram::peer_address() const noexcept {
  return detail::peer_address_of(*this);
}

// --- Batches. ---

namespace {

constexpr std::size_t kBatch = 32;

#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__)

using BatchHeader = mmsghdr;

ssize_t receive_batch(int fd, BatchHeader* headers, std::size_t count) {
  return detail::result_or_errno(::recvmmsg(fd, headers, static_cast<unsigned>(count), 0, nullptr));
}

ssize_t transmit_batch(int fd, BatchHeader* headers, std::size_t count) {
  return detail::result_or_errno(
      ::sendmmsg(fd, headers, static_cast<unsigned>(count), detail::kNoSignal));
}

#else

struct BatchHeader {
  msghdr msg_hdr;
  std::size_t msg_len;
};

template <class Call>
ssize_t one_by_one(BatchHeader* headers, std::size_t count, Call&& call) {
  for (std::size_t i = 0; i < count; ++i) {
    const ssize_t n = detail::result_or_errno(call(&headers[i].msg_hdr));
    if (n < 0) return i == 0 ? n : static_cast<ssize_t>(i);
    headers[i].msg_len = static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(count);
}

ssize_t receive_batch(int fd, BatchHeader* headers, std::size_t count) {
  return one_by_one(headers, count, [fd](msghdr* header) { return ::recvmsg(fd, header, 0); });
}

ssize_t transmit_batch(int fd, BatchHeader* headers, std::size_t count) {
  return one_by_one(headers, count,
                    [fd](msghdr* header) { return ::sendmsg(fd, header, detail::kNoSignal); });
}

#endif

}  // namespace

Result<std::size_t> Datagram::recv_batch(std::span<Incoming> datagrams,
                                         Deadline deadline) noexcept {
  auto operation = FdAccess::Operation::shared(*this, Direction::kRead);
  if (operation.refused()) return operation.error();
  if (datagrams.empty()) return std::unexpected(Errc::kInvalidArgument);
  const std::size_t most = std::min(datagrams.size(), kBatch);
  std::array<BatchHeader, kBatch> headers;
  std::array<iovec, kBatch> vectors;
  std::array<sockaddr_storage, kBatch> from;
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    for (std::size_t i = 0; i < most; ++i) {
      vectors[i] = {.iov_base = datagrams[i].buffer.data(), .iov_len = datagrams[i].buffer.size()};
      headers[i] = {};
      headers[i].msg_hdr.msg_iov = &vectors[i];
      headers[i].msg_hdr.msg_iovlen = 1;
      headers[i].msg_hdr.msg_name = &from[i];
      headers[i].msg_hdr.msg_namelen = sizeof(from[i]);
    }
    return receive_batch(fd, headers.data(), most);
  });
  if (!n) return n;
  for (std::size_t i = 0; i < *n; ++i) {
    const msghdr& header = headers[i].msg_hdr;
    datagrams[i].received = {.bytes = static_cast<std::size_t>(headers[i].msg_len),
                             .truncated = (header.msg_flags & MSG_TRUNC) != 0,
                             .from = SocketAddress::from_native(&from[i], header.msg_namelen)};
  }
  return n;
}

Result<std::size_t> Datagram::send_batch(std::span<const Outgoing> datagrams,
                                         Deadline deadline) noexcept {
  // One of Unix addresses at a time: see send_to().
  if (!datagrams.empty() && datagrams.front().to.family() == SocketAddress::Family::kUnix) {
    const auto sent = send_to(datagrams.front().datagram, datagrams.front().to, deadline);
    return sent ? Result<std::size_t>(1) : std::unexpected(sent.error());
  }
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  if (datagrams.empty()) return 0;
  const std::size_t most = std::min(datagrams.size(), kBatch);
  std::array<BatchHeader, kBatch> headers;
  std::array<iovec, kBatch> vectors;
  for (std::size_t i = 0; i < most; ++i) {
    const auto& [datagram, to] = datagrams[i];
    // The kernel reads through both; the structures merely cannot say so.
    vectors[i] = {.iov_base = const_cast<std::byte*>(datagram.data()), .iov_len = datagram.size()};
    headers[i] = {};
    headers[i].msg_hdr.msg_iov = &vectors[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    if (to.size() != 0) {
      headers[i].msg_hdr.msg_name = const_cast<void*>(to.data());
      headers[i].msg_hdr.msg_namelen = static_cast<socklen_t>(to.size());
    }
  }
  return operation.perform_in_turn(
      deadline, [&](int fd) { return transmit_batch(fd, headers.data(), most); });
}

}  // namespace rearm
