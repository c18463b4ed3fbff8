#include "net/native_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include "base/clock.h"
#include "net/acts.h"
#include "net/fd_access.h"
#include "net/look.h"
#include "net/retry.h"
#include "poller/fd_flags.h"
#include "rearm/fiber.h"

namespace rearm::detail {
namespace {

const sockaddr* native(const SocketAddress& address) {
  return static_cast<const sockaddr*>(address.data());
}

bool is_past(Deadline deadline) {
  if (deadline.is_standing() || deadline.is_never() || deadline.is_immediate()) return false;
  return deadline.ns() <= 0 || deadline.ns() <= now_ns();
}

// What became of a connect() in progress; kBusy while it still is.
std::error_code connect_outcome(int fd) {
  const auto error = get_option(fd, SOL_SOCKET, SO_ERROR);
  if (!error) return error.error();
  if (*error != 0) return {*error, std::system_category()};
  // No error may also mean no outcome yet, if the report was spurious.
  sockaddr_storage peer;
  socklen_t size = sizeof(peer);
  const int result =
      system_call([&] { return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size); });
  return result == -ENOTCONN ? make_error_code(Errc::kBusy) : error_of(result);
}

// What accept() says of a connection that ended while it waited (accept(2), "Error handling"). Not
// EOPNOTSUPP, which that page has, too: it may be the socket that cannot accept, and that lasts.
bool is_of_the_connection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
#if defined(ENONET)
    case ENONET:
#endif
    case EHOSTUNREACH: return true;
    default: return false;
  }
}

}  // namespace

NativeSocket::~NativeSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<NativeSocket> open_socket(const SocketAddress& address, int type) {
  if (address.family() == SocketAddress::Family::kUnspecified) {
    return std::unexpected(Errc::kInvalidArgument);
  }
  const int family = native(address)->sa_family;
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  constexpr int kTypeFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
#else
  constexpr int kTypeFlags = 0;
#endif
  NativeSocket socket(system_call([&] { return ::socket(family, type | kTypeFlags, 0); }));
  if (socket.fd() < 0) return std::unexpected(error_of(socket.fd()));
#if !(defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC))
  if (const auto error = make_nonblocking_cloexec(socket.fd())) return std::unexpected(error);
#endif
  return socket;
}

std::error_code set_option(int fd, int level, int name, int value) {
  return error_of(
      system_call([&] { return ::setsockopt(fd, level, name, &value, sizeof(value)); }));
}

Result<int> get_option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  const int result = system_call([&] { return ::getsockopt(fd, level, name, &value, &size); });
  if (result != 0) return std::unexpected(error_of(result));
  return value;
}

// Not all systems that let listeners share a port balance between them: FreeBSD has another option
// for that, and older illumos has none at all.
std::error_code share_port([[maybe_unused]] int fd) {
#if defined(SO_REUSEPORT_LB)
  return set_option(fd, SOL_SOCKET, SO_REUSEPORT_LB, 1);
#elif defined(SO_REUSEPORT)
  return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
#else
  return Errc::kNotSupported;
#endif
}

std::error_code bind_socket(int fd, const SocketAddress& address) {
  const auto size = static_cast<socklen_t>(address.size());
  return error_of(system_call([&] { return ::bind(fd, native(address), size); }));
}

std::error_code listen_socket(int fd, int backlog) {
  return error_of(system_call([&] { return ::listen(fd, backlog); }));
}

bool is_of(Family family, const SocketAddress& address) {
  switch (address.family()) {
    case SocketAddress::Family::kIpv4:
    case SocketAddress::Family::kIpv6: return family == Family::kIp;
    case SocketAddress::Family::kUnix: return family == Family::kUnix;
    case SocketAddress::Family::kUnspecified: break;
  }
  return false;
}

std::error_code check_adoptable(int fd, Family family, int type) {
  if (fd < 0) return Errc::kInvalidArgument;
  const auto actual = get_option(fd, SOL_SOCKET, SO_TYPE);
  if (!actual) {
    if (actual.error() == std::errc::bad_file_descriptor) return Errc::kClosed;
    return Errc::kInvalidArgument;
  }
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  const int named =
      system_call([&] { return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size); });
  if (named != 0) return error_of(named);
  if (*actual != type || !is_of(family, SocketAddress::from_native(&address, size))) {
    return Errc::kInvalidArgument;
  }
  return {};
}

std::uint8_t stream_traits(int fd) {
#if defined(SO_PROTOCOL)
  constexpr int kProtocol = SO_PROTOCOL;
#elif defined(SO_PROTOTYPE)
  constexpr int kProtocol = SO_PROTOTYPE;  // illumos.
#else
  constexpr int kProtocol = -1;  // macOS, whose reports do not carry the rule anyway.
#endif
  if (kProtocol == -1) return FdAccess::kIsSocket;
  const auto protocol = get_option(fd, SOL_SOCKET, kProtocol);
  if (!protocol || *protocol != IPPROTO_TCP) return FdAccess::kIsSocket;
#if defined(TCP_ULP)
  std::array<char, 16> layer{};  // TCP_ULP_NAME_MAX. Nothing is written if there is none.
  socklen_t size = layer.size();
  const int asked =
      system_call([&] { return ::getsockopt(fd, IPPROTO_TCP, TCP_ULP, layer.data(), &size); });
  if (asked == 0 && layer[0] != '\0') return FdAccess::kIsSocket;
#endif
  return FdAccess::kIsSocket | FdAccess::kShortReadDrains;
}

Result<Fd> accept_next(const Fd& listener, Deadline deadline, SocketAddress* peer) {
  auto operation = FdAccess::Operation::shared(listener, Direction::kRead);
  if (operation.refused()) return operation.error();
  sockaddr_storage from;
  socklen_t size = 0;
  for (;;) {
    const auto fd = operation.perform_in_turn(deadline, [&](int number) {
      size = sizeof(from);
      auto* const address = peer != nullptr ? reinterpret_cast<sockaddr*>(&from) : nullptr;
      socklen_t* const length = peer != nullptr ? &size : nullptr;
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
      return result_or_errno(::accept4(number, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
#else
      return result_or_errno(::accept(number, address, length));
#endif
    });
    if (fd) {
      if (peer != nullptr) *peer = SocketAddress::from_native(&from, size);
      NativeSocket socket(static_cast<int>(*fd));
#if !(defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC))
      if (const auto error = make_nonblocking_cloexec(socket.fd())) return std::unexpected(error);
#endif
      return FdAccess::adopt_own(FdAccess::poller_of(operation), socket.take(),
                                 FdAccess::traits_of(listener));
    }
    // On to the next connection, unless this is of the listener; kTimedOut and its like are.
    const bool is_systems = fd.error().category() == std::system_category();
    if (!is_systems || !is_of_the_connection(fd.error().value())) {
      return std::unexpected(fd.error());
    }
  }
}

namespace {

// Begins a connection. kBusy: it is in progress.
std::error_code start_connecting(int fd, const SocketAddress& address, Deadline deadline) {
  const auto size = static_cast<socklen_t>(address.size());
  RoomRetry retry;
  for (;;) {
    const int result = system_call([&] { return ::connect(fd, native(address), size); });
    // EISCONN: the connection was made by a call whose result was lost.
    if (result == 0 || result == -EISCONN) return {};
    if (result == -EINPROGRESS || result == -EINTR || result == -EALREADY) return Errc::kBusy;
    if (result != -EAGAIN || address.family() != SocketAddress::Family::kUnix) {
      return error_of(result);
    }
    if (!deadline.is_standing() && deadline.ns() <= now_ns()) return Errc::kTimedOut;
    const Deadline again = Deadline::at_ns(retry.again_ns());
    const bool is_sooner = !deadline.is_standing() && deadline.ns() < again.ns();
    const auto slept = this_fiber::sleep_until(is_sooner ? deadline : again);
    if (!slept) return slept.error();
  }
}

// On a plain thread: the runtime whose poller would wake it need not run.
std::error_code finish_as_thread(int fd, Deadline deadline) {
  for (;;) {
    const auto ready = is_ready(fd, Direction::kWrite, deadline);
    if (!ready) return ready.error();
    if (!*ready) return Errc::kTimedOut;
    const std::error_code outcome = connect_outcome(fd);
    if (outcome != Errc::kBusy) return outcome;
  }
}

std::error_code finish_as_fiber(const Fd& fd, Deadline deadline) {
  FdAccess::Operation operation(fd, Direction::kWrite);
  if (operation.refused()) return operation.error().error();
  for (;;) {
    if (const std::error_code error = operation.wait(deadline)) return error;
    const std::error_code outcome = connect_outcome(operation.fd());
    if (outcome != Errc::kBusy) return outcome;
  }
}

}  // namespace

Result<Fd> connect_socket(Runtime& runtime, NativeSocket socket, const SocketAddress& address,
                          std::uint8_t traits, Deadline deadline) {
  const ChoicesAround choices(act::kConnect);
  const Runtime* const current = Runtime::current();
  const bool is_thread = current == nullptr;
  if (!is_thread && current != &runtime) return std::unexpected(Errc::kWrongRuntime);
  if (is_past(deadline)) return std::unexpected(Errc::kTimedOut);
  std::error_code error = start_connecting(socket.fd(), address, deadline);
  if (error == Errc::kBusy && is_thread) error = finish_as_thread(socket.fd(), deadline);
  if (error && error != Errc::kBusy) return std::unexpected(error);
  auto fd = FdAccess::adopt_own(runtime, socket.take(), traits);
  if (!fd || !error) return fd;
  if (const std::error_code failed = finish_as_fiber(*fd, deadline)) {
    return std::unexpected(failed);
  }
  return fd;
}

}  // namespace rearm::detail
