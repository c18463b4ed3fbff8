#include "rearm/net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/fd_access.h"
#include "net/native_socket.h"

namespace rearm {

using detail::FdAccess;

namespace {

// macOS counts SO_LINGER in ticks of its clock.
#if defined(SO_LINGER_SEC)
constexpr int kLingerSeconds = SO_LINGER_SEC;
#else
constexpr int kLingerSeconds = SO_LINGER;
#endif

template <class Set>
Result<void> with_number(const Fd& fd, Set&& set) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kWrite);
  if (operation.refused()) return operation.error();
  if (const std::error_code error = set(operation.fd())) return std::unexpected(error);
  return {};
}

constexpr int kTriesToMeetAnother = 3;

// A SYN to a port of this machine that nothing listens on meets the socket that sent it, if the
// kernel has chosen that port for it: a simultaneous open of one end (RFC 9293, 3.5).
bool is_connected_to_itself(const StreamSocket& socket, const SocketAddress& address) {
  const auto local = socket.local_address();
  if (!local || local->port() != address.port()) return false;
  const auto peer = socket.peer_address();
  return peer && *peer == *local;
}

}  // namespace

// --- Streams. ---

Result<TcpStream> TcpStream::adopt(int fd) { return adopt(fd, FdAccess::current_runtime()); }

Result<TcpStream> TcpStream::adopt(int fd, Runtime& runtime) {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kIp, SOCK_STREAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, detail::stream_traits(fd));
  if (!adopted) return std::unexpected(adopted.error());
  return TcpStream(std::move(*adopted));
}

Result<TcpStream> TcpStream::connect(const SocketAddress& address, Deadline deadline) {
  return connect(address, FdAccess::current_runtime(), deadline);
}

Result<TcpStream> TcpStream::connect(const SocketAddress& address, Runtime& runtime,
                                     Deadline deadline) {
  if (!detail::is_of(detail::Family::kIp, address)) return std::unexpected(Errc::kInvalidArgument);
  for (int tries = 0; tries < kTriesToMeetAnother; ++tries) {
    auto socket = detail::open_socket(address, SOCK_STREAM);
    if (!socket) return std::unexpected(socket.error());
    const std::uint8_t traits = detail::stream_traits(socket->fd());
    auto fd = detail::connect_socket(runtime, std::move(*socket), address, traits, deadline);
    if (!fd) return std::unexpected(fd.error());
    TcpStream stream(std::move(*fd));
    if (!is_connected_to_itself(stream, address)) return stream;
    // With a reset: an orderly end would hold the port for a minute (TIME_WAIT).
    (void)stream.set_linger(0);
  }
  return std::unexpected(std::error_code(ECONNREFUSED, std::system_category()));
}

Result<void> TcpStream::set_no_delay(bool on) {
  return with_number(
      *this, [on](int fd) { return detail::set_option(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); });
}

Result<void> TcpStream::set_keep_alive(bool on) {
  return with_number(
      *this, [on](int fd) { return detail::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0); });
}

Result<void> TcpStream::set_linger(int seconds) {
  return with_number(*this, [seconds](int fd) -> std::error_code {
    const linger option{.l_onoff = seconds >= 0 ? 1 : 0, .l_linger = seconds >= 0 ? seconds : 0};
    return detail::error_of(detail::system_call(
        [&] { return ::setsockopt(fd, SOL_SOCKET, kLingerSeconds, &option, sizeof(option)); }));
  });
}

// --- Listeners. ---

Result<TcpListener> TcpListener::bind(const SocketAddress& address, const Options& options) {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<TcpListener> TcpListener::bind(const SocketAddress& address, Runtime& runtime,
                                      const Options& options) {
  // The kernel would take it for the largest backlog there is (listen(2)).
  if (options.backlog < 0) return std::unexpected(Errc::kInvalidArgument);
  if (!detail::is_of(detail::Family::kIp, address)) return std::unexpected(Errc::kInvalidArgument);
  auto socket = detail::open_socket(address, SOCK_STREAM);
  if (!socket) return std::unexpected(socket.error());
  const int fd = socket->fd();
  std::error_code error;
  if (options.reuse_address) error = detail::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (!error && options.reuse_port) error = detail::share_port(fd);
  if (!error && address.family() == SocketAddress::Family::kIpv6) {
    error = detail::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only ? 1 : 0);
  }
  if (!error) error = detail::bind_socket(fd, address);
  if (!error) error = detail::listen_socket(fd, options.backlog);
  if (error) return std::unexpected(error);
  auto adopted = FdAccess::adopt_own(runtime, socket->take(), detail::stream_traits(fd));
  if (!adopted) return std::unexpected(adopted.error());
  return TcpListener(std::move(*adopted));
}

Result<TcpListener> TcpListener::adopt(int fd) { return adopt(fd, FdAccess::current_runtime()); }

Result<TcpListener> TcpListener::adopt(int fd, Runtime& runtime) {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kIp, SOCK_STREAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, detail::stream_traits(fd));
  if (!adopted) return std::unexpected(adopted.error());
  return TcpListener(std::move(*adopted));
}

Result<TcpStream> TcpListener::accept(Deadline deadline) {
  auto fd = detail::accept_next(*this, deadline);
  if (!fd) return std::unexpected(fd.error());
  return TcpStream(std::move(*fd));
}

}  // namespace rearm
