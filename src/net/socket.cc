#include "rearm/net/socket.h"

#include <sys/socket.h>

#include <cerrno>

#include "net/fd_access.h"
#include "net/native_socket.h"

namespace rearm {

using detail::FdAccess;

namespace {

template <class Call>
Result<SocketAddress> ask_address(const Fd& fd, Call&& call) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kRead);
  if (operation.refused()) return operation.error();
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  const int result = detail::system_call(
      [&] { return call(operation.fd(), reinterpret_cast<sockaddr*>(&address), &size); });
  if (result != 0) return std::unexpected(detail::error_of(result));
  return SocketAddress::from_native(&address, size);
}

Result<void> set(const Fd& fd, int level, int name, int value) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kRead);
  if (operation.refused()) return operation.error();
  if (const auto error = detail::set_option(operation.fd(), level, name, value)) {
    return std::unexpected(error);
  }
  return {};
}

Result<int> get(const Fd& fd, int level, int name) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kRead);
  if (operation.refused()) return operation.error();
  return detail::get_option(operation.fd(), level, name);
}

}  // namespace

Result<SocketAddress> Socket::local_address() const { return ask_address(*this, ::getsockname); }
Result<SocketAddress> Socket::peer_address() const { return ask_address(*this, ::getpeername); }

Result<void> Socket::shutdown(Shutdown how) {
  const auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const int native_how = how == Shutdown::kRead    ? SHUT_RD
                         : how == Shutdown::kWrite ? SHUT_WR
                                                   : SHUT_RDWR;
  const int result = detail::system_call([&] { return ::shutdown(operation.fd(), native_how); });
  if (result != 0) return std::unexpected(detail::error_of(result));
  return {};
}

Result<void> Socket::set_receive_buffer_bytes(int bytes) {
  return set(*this, SOL_SOCKET, SO_RCVBUF, bytes);
}
Result<void> Socket::set_send_buffer_bytes(int bytes) {
  return set(*this, SOL_SOCKET, SO_SNDBUF, bytes);
}
Result<int> Socket::receive_buffer_bytes() const { return get(*this, SOL_SOCKET, SO_RCVBUF); }
Result<int> Socket::send_buffer_bytes() const { return get(*this, SOL_SOCKET, SO_SNDBUF); }

Result<std::error_code> Socket::take_error() {
  const auto error = get(*this, SOL_SOCKET, SO_ERROR);
  if (!error) return std::unexpected(error.error());
  return std::error_code(*error, std::system_category());
}

}  // namespace rearm
