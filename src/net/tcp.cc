#include "rearm/net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

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

// The options of keep-alive, in seconds and probes; -1 where the system has none.
#if defined(TCP_KEEPIDLE)
constexpr int kKeepIdle = TCP_KEEPIDLE;
#elif defined(TCP_KEEPALIVE)
constexpr int kKeepIdle = TCP_KEEPALIVE;  // macOS.
#else
constexpr int kKeepIdle = -1;
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
constexpr int kKeepInterval = TCP_KEEPINTVL;
constexpr int kKeepCount = TCP_KEEPCNT;
#else
constexpr int kKeepInterval = -1;
constexpr int kKeepCount = -1;
#endif

// As the kernel takes it, or nothing if it is out of range.
template <class Duration>
std::optional<int> count_of(Duration time, std::int64_t least) {
  const std::int64_t count = time.count();
  if (count < least || count > std::numeric_limits<int>::max()) return std::nullopt;
  return static_cast<int>(count);
}

std::error_code set_tcp_option(int fd, [[maybe_unused]] int name, [[maybe_unused]] int value) {
  if (name < 0) return Errc::kNotSupported;
  return detail::set_option(fd, IPPROTO_TCP, name, value);
}

std::error_code set_mark([[maybe_unused]] int fd, [[maybe_unused]] std::uint32_t mark) {
#if defined(SO_MARK)
  return detail::set_option(fd, SOL_SOCKET, SO_MARK, static_cast<int>(mark));
#else
  return Errc::kNotSupported;
#endif
}

std::error_code let_first_write_connect([[maybe_unused]] int fd) {
#if defined(TCP_FASTOPEN_CONNECT)
  return detail::set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
#else
  return Errc::kNotSupported;
#endif
}

std::error_code take_data_with_syn([[maybe_unused]] int fd, [[maybe_unused]] int queue) {
#if defined(TCP_FASTOPEN)
  return detail::set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, queue);
#else
  return Errc::kNotSupported;
#endif
}

// Before connect(2).
std::error_code prepare(int fd, const TcpStream::ConnectOptions& options) {
  if (options.mark) {
    if (const std::error_code error = set_mark(fd, *options.mark)) return error;
  }
  if (options.fast_open) {
    if (const std::error_code error = let_first_write_connect(fd)) return error;
  }
  if (options.local.family() == SocketAddress::Family::kUnspecified) return {};
  if (options.reuse_address) {
    if (const auto error = detail::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return error;
  }
#if defined(IP_BIND_ADDRESS_NO_PORT)
  // The port is chosen when the peer is known, so that one may serve connections to many. Without
  // it (Linux before 4.2) there are merely fewer.
  if (options.local.port() == 0) {
    static_cast<void>(detail::set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1));
  }
#endif
  return detail::bind_socket(fd, options.local);
}

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

Result<TcpStream> TcpStream::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<TcpStream> TcpStream::adopt(int fd, Runtime& runtime) noexcept {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kIp, SOCK_STREAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, detail::stream_traits(fd));
  if (!adopted) return std::unexpected(adopted.error());
  return TcpStream(std::move(*adopted));
}

Result<TcpStream> TcpStream::connect(const SocketAddress& address, Deadline deadline) noexcept {
  return connect(address, FdAccess::current_runtime(), ConnectOptions{}, deadline);
}

Result<TcpStream> TcpStream::connect(const SocketAddress& address, Runtime& runtime,
                                     Deadline deadline) noexcept {
  return connect(address, runtime, ConnectOptions{}, deadline);
}

Result<TcpStream> TcpStream::connect(const SocketAddress& address, const ConnectOptions& options,
                                     Deadline deadline) noexcept {
  return connect(address, FdAccess::current_runtime(), options, deadline);
}

Result<TcpStream> TcpStream::connect(const SocketAddress& address, Runtime& runtime,
                                     const ConnectOptions& options, Deadline deadline) noexcept {
  const auto local = options.local.family();
  if (!detail::is_of(detail::Family::kIp, address) ||
      (local != SocketAddress::Family::kUnspecified && local != address.family())) {
    return std::unexpected(Errc::kInvalidArgument);
  }
  for (int tries = 0; tries < kTriesToMeetAnother; ++tries) {
    auto socket = detail::open_socket(address, SOCK_STREAM);
    if (!socket) return std::unexpected(socket.error());
    if (const std::error_code error = prepare(socket->fd(), options)) {
      return std::unexpected(error);
    }
    const std::uint8_t traits = detail::stream_traits(socket->fd());
    auto fd = detail::connect_socket(runtime, std::move(*socket), address, traits, deadline);
    if (!fd) return std::unexpected(fd.error());
    TcpStream stream(std::move(*fd));
    if (!is_connected_to_itself(stream, address)) return stream;
    // With a reset: an orderly end would hold the port for a minute (TIME_WAIT).
    (void)stream.set_linger(std::chrono::seconds(0));
  }
  return std::unexpected(std::error_code(ECONNREFUSED, std::system_category()));
}

Result<void> TcpStream::set_no_delay(bool on) noexcept {
  return with_number(
      *this, [on](int fd) { return detail::set_option(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); });
}

Result<void> TcpStream::set_keep_alive(bool on) noexcept {
  return with_number(
      *this, [on](int fd) { return detail::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0); });
}

Result<void> TcpStream::set_keep_alive(const KeepAlive& times) noexcept {
  std::optional<int> idle;
  if (times.idle) {
    idle = count_of(*times.idle, 1);
    if (!idle) return std::unexpected(Errc::kInvalidArgument);
  }
  std::optional<int> interval;
  if (times.interval) {
    interval = count_of(*times.interval, 1);
    if (!interval) return std::unexpected(Errc::kInvalidArgument);
  }
  if (times.count && *times.count < 1) return std::unexpected(Errc::kInvalidArgument);
  const auto refine = [](std::error_code error) {
    // EINVAL: the kernel counts no further (Linux: 32767 seconds, 127 probes).
    return error == std::errc::invalid_argument ? make_error_code(Errc::kInvalidArgument) : error;
  };
  return with_number(*this, [&](int fd) -> std::error_code {
    std::error_code error;
    if (idle) error = set_tcp_option(fd, kKeepIdle, *idle);
    if (!error && interval) error = set_tcp_option(fd, kKeepInterval, *interval);
    if (!error && times.count) error = set_tcp_option(fd, kKeepCount, *times.count);
    return error ? refine(error) : detail::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  });
}

Result<void> TcpStream::set_user_timeout(std::chrono::milliseconds timeout) noexcept {
  const auto ms = count_of(timeout, 0);
  if (!ms) return std::unexpected(Errc::kInvalidArgument);
#if defined(TCP_USER_TIMEOUT)
  constexpr int kUserTimeout = TCP_USER_TIMEOUT;
#else
  constexpr int kUserTimeout = -1;
#endif
  return with_number(*this, [&](int fd) { return set_tcp_option(fd, kUserTimeout, *ms); });
}

Result<void> TcpStream::set_linger(std::optional<std::chrono::seconds> time) noexcept {
  linger option{};
  if (time) {
    const auto seconds = count_of(*time, 0);
    option.l_onoff = 1;
    option.l_linger = static_cast<decltype(option.l_linger)>(seconds.value_or(0));
    if (!seconds || option.l_linger != *seconds) return std::unexpected(Errc::kInvalidArgument);
  }
  return with_number(*this, [&option](int fd) -> std::error_code {
    return detail::error_of(detail::system_call(
        [&] { return ::setsockopt(fd, SOL_SOCKET, kLingerSeconds, &option, sizeof(option)); }));
  });
}

// --- Listeners. ---

Result<TcpListener> TcpListener::bind(const SocketAddress& address,
                                      const Options& options) noexcept {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<TcpListener> TcpListener::bind(const SocketAddress& address, Runtime& runtime,
                                      const Options& options) noexcept {
  // The kernel would take it for the largest backlog there is (listen(2)).
  if (options.backlog < 0 || options.fast_open < 0) return std::unexpected(Errc::kInvalidArgument);
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
  if (!error && options.fast_open != 0) error = take_data_with_syn(fd, options.fast_open);
  if (error) return std::unexpected(error);
  auto adopted = FdAccess::adopt_own(runtime, socket->take(), detail::stream_traits(fd));
  if (!adopted) return std::unexpected(adopted.error());
  return TcpListener(std::move(*adopted));
}

Result<TcpListener> TcpListener::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<TcpListener> TcpListener::adopt(int fd, Runtime& runtime) noexcept {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kIp, SOCK_STREAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, detail::stream_traits(fd));
  if (!adopted) return std::unexpected(adopted.error());
  return TcpListener(std::move(*adopted));
}

Result<TcpStream> TcpListener::accept(Deadline deadline) noexcept {
  auto fd = detail::accept_next(*this, deadline);
  if (!fd) return std::unexpected(fd.error());
  return TcpStream(std::move(*fd));
}

Result<TcpListener::Accepted> TcpListener::accept_from(Deadline deadline) noexcept {
  SocketAddress peer;
  auto fd = detail::accept_next(*this, deadline, &peer);
  if (!fd) return std::unexpected(fd.error());
  return Accepted{.stream = TcpStream(std::move(*fd)), .peer = peer};
}

}  // namespace rearm
