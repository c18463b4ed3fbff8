#include "rearm/net/udp.h"

#include <sys/socket.h>

#include <cerrno>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "net/no_sigpipe.h"

namespace rearm {

using detail::FdAccess;

Result<UdpSocket> UdpSocket::bind(const SocketAddress& address, const Options& options) {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<UdpSocket> UdpSocket::bind(const SocketAddress& address, Runtime& runtime,
                                  const Options& options) {
  if (!detail::is_of(detail::Family::kIp, address)) return std::unexpected(Errc::kInvalidArgument);
  auto socket = detail::open_socket(address, SOCK_DGRAM);
  if (!socket) return std::unexpected(socket.error());
  const int fd = socket->fd();
  std::error_code error;
  if (options.reuse_address) error = detail::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (!error && options.reuse_port) error = detail::share_port(fd);
  if (!error) error = detail::bind_socket(fd, address);
  if (error) return std::unexpected(error);
  auto adopted = FdAccess::adopt_own(runtime, socket->take(), FdAccess::kIsSocket);
  if (!adopted) return std::unexpected(adopted.error());
  return UdpSocket(std::move(*adopted));
}

Result<UdpSocket> UdpSocket::adopt(int fd) { return adopt(fd, FdAccess::current_runtime()); }

Result<UdpSocket> UdpSocket::adopt(int fd, Runtime& runtime) {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kIp, SOCK_DGRAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, FdAccess::kIsSocket);
  if (!adopted) return std::unexpected(adopted.error());
  return UdpSocket(std::move(*adopted));
}

Result<void> UdpSocket::connect(const SocketAddress& peer) {
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

Result<UdpSocket::Received> UdpSocket::recv_from(MutableBuffer buffer, Deadline deadline) {
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

Result<void> UdpSocket::send_to(ConstBuffer datagram, const SocketAddress& to, Deadline deadline) {
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

Result<std::size_t> UdpSocket::read_some(MutableBuffer buffer, Deadline deadline) {
  const auto received = recv_from(buffer, deadline);
  if (!received) return std::unexpected(received.error());
  return received->bytes;
}

Result<std::size_t> UdpSocket::write_some(ConstBuffer datagram, Deadline deadline) {
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  return operation.perform_in_turn(deadline, [&](int fd) {
    return detail::result_or_errno(::send(fd, datagram.data(), datagram.size(), detail::kNoSignal));
  });
}

}  // namespace rearm
