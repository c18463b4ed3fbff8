#include "rearm/net/datagram.h"

#include <sys/socket.h>

#include <cerrno>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "net/no_sigpipe.h"

namespace rearm {

using detail::FdAccess;

Result<void> Datagram::connect(const SocketAddress& peer) {
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

Result<Datagram::Received> Datagram::recv_from(MutableBuffer buffer, Deadline deadline) {
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

Result<void> Datagram::send_to(ConstBuffer datagram, const SocketAddress& to, Deadline deadline) {
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    return detail::result_or_errno(::sendto(fd, datagram.data(), datagram.size(), detail::kNoSignal,
                                            static_cast<const sockaddr*>(to.data()),
                                            static_cast<socklen_t>(to.size())));
  });
  if (!n) return std::unexpected(n.error());
  return {};
}

Result<void> Datagram::send(ConstBuffer datagram, Deadline deadline) {
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    return detail::result_or_errno(::send(fd, datagram.data(), datagram.size(), detail::kNoSignal));
  });
  if (!n) return std::unexpected(n.error());
  return {};
}

Result<SocketAddress> Datagram::peer_address() const { return detail::peer_address_of(*this); }

}  // namespace rearm
