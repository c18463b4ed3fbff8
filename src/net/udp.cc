#include "rearm/net/udp.h"

#include <sys/socket.h>

#include "net/fd_access.h"
#include "net/native_socket.h"

namespace rearm {

using detail::FdAccess;

Result<UdpSocket> UdpSocket::bind(const SocketAddress& address, const Options& options) noexcept {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<UdpSocket> UdpSocket::bind(const SocketAddress& address, Runtime& runtime,
                                  const Options& options) noexcept {
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

Result<UdpSocket> UdpSocket::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<UdpSocket> UdpSocket::adopt(int fd, Runtime& runtime) noexcept {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kIp, SOCK_DGRAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, FdAccess::kIsSocket);
  if (!adopted) return std::unexpected(adopted.error());
  return UdpSocket(std::move(*adopted));
}

}  // namespace rearm
