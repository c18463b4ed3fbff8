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

namespace detail {

Result<void> set_raw_option(const Fd& fd, int level, int name, const void* value,
                            std::size_t size) noexcept {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kWrite);
  if (operation.refused()) return operation.error();
  // Before it is set: SO_RCVLOWAT and TCP_ULP change what a short read means.
  FdAccess::stop_short_read_rule(operation);
  const int result = system_call([&] {
    return ::setsockopt(operation.fd(), level, name, value, static_cast<socklen_t>(size));
  });
  if (result != 0) return std::unexpected(error_of(result));
  return {};
}

Result<void> get_raw_option(const Fd& fd, int level, int name, void* value,
                            std::size_t size) noexcept {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kRead);
  if (operation.refused()) return operation.error();
  const int result = system_call([&] {
    auto length = static_cast<socklen_t>(size);
    return ::getsockopt(operation.fd(), level, name, value, &length);
  });
  if (result != 0) return std::unexpected(error_of(result));
  return {};
}

Result<SocketAddress> peer_address_of(const Fd& fd) { return ask_address(fd, ::getpeername); }

Result<void> shut_down(const Fd& fd, Shutdown how) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kWrite);
  if (operation.refused()) return operation.error();
  const int native_how = how == Shutdown::kRead    ? SHUT_RD
                         : how == Shutdown::kWrite ? SHUT_WR
                                                   : SHUT_RDWR;
  const int result = system_call([&] { return ::shutdown(operation.fd(), native_how); });
  if (result != 0) return std::unexpected(error_of(result));
  return {};
}

}  // namespace detail

template <class Base>
Result<SocketAddress> SocketOf<Base>::local_address() const noexcept {
  return ask_address(*this, ::getsockname);
}

template <class Base>
Result<void> SocketOf<Base>::set_receive_buffer_bytes(int bytes) noexcept {
  return set(*this, SOL_SOCKET, SO_RCVBUF, bytes);
}

template <class Base>
Result<void> SocketOf<Base>::set_send_buffer_bytes(int bytes) noexcept {
  return set(*this, SOL_SOCKET, SO_SNDBUF, bytes);
}

template <class Base>
Result<int> SocketOf<Base>::receive_buffer_bytes() const noexcept {
  return get(*this, SOL_SOCKET, SO_RCVBUF);
}

template <class Base>
Result<int> SocketOf<Base>::send_buffer_bytes() const noexcept {
  return get(*this, SOL_SOCKET, SO_SNDBUF);
}

template <class Base>
Result<std::error_code> SocketOf<Base>::take_error() noexcept {
  const auto error = get(*this, SOL_SOCKET, SO_ERROR);
  if (!error) return std::unexpected(error.error());
  return std::error_code(*error, std::system_category());
}

template class SocketOf<Fd>;
template class SocketOf<Stream>;

Result<SocketAddress> StreamSocket::peer_address() const noexcept {
  return detail::peer_address_of(*this);
}

Result<void> StreamSocket::shutdown(Shutdown how) noexcept { return detail::shut_down(*this, how); }

}  // namespace rearm
