#include "net/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include "net/native_socket.h"
#include "poller/fd_flags.h"

namespace rearm::detail {
namespace {

// Of a system that has Unix sockets, but not of this type.
std::error_code type_error(std::error_code error) {
  if (error.category() != std::system_category()) return error;
  switch (error.value()) {
    case EPROTONOSUPPORT:
    case EPROTOTYPE:
    case ESOCKTNOSUPPORT: return Errc::kNotSupported;
    default: return error;
  }
}

Result<NativeSocket> open_typed(int type) {
  sockaddr_un native{};
  native.sun_family = AF_UNIX;
  auto socket =
      open_socket(SocketAddress::from_native(&native, offsetof(sockaddr_un, sun_path)), type);
  if (!socket) return std::unexpected(type_error(socket.error()));
  return socket;
}

// A connection is refused where nothing listens or receives any more; of another type, or by one
// that is busy, it is not.
bool is_refused(const SocketAddress& address, int type) {
  const auto probe = open_typed(type);
  if (!probe) return false;
  const int result = system_call([&] {
    return ::connect(probe->fd(), static_cast<const sockaddr*>(address.data()),
                     static_cast<socklen_t>(address.size()));
  });
  return result == -ECONNREFUSED;
}

// Nothing if the path is free then.
std::error_code remove_stale_path(const SocketAddress& address, int type) {
  const std::error_code taken(EADDRINUSE, std::system_category());
  sockaddr_un native{};
  std::memcpy(&native, address.data(), std::min(address.size(), sizeof(native)));
  const char* const path = native.sun_path;
  if (path[0] == '\0') return taken;  // An abstract name has an owner as long as it exists.
  struct stat before{};
  const int looked = system_call([&] { return ::lstat(path, &before); });
  if (looked == -ENOENT) return {};
  if (looked != 0) return error_of(looked);
  if (!S_ISSOCK(before.st_mode) || !is_refused(address, type)) return taken;
  // The socket that refused, and not one that another server has made meanwhile.
  struct stat after{};
  const int looked_again = system_call([&] { return ::lstat(path, &after); });
  if (looked_again != 0) return error_of(looked_again);
  if (after.st_ino != before.st_ino || after.st_dev != before.st_dev) return taken;
  const int removed = system_call([&] { return ::unlink(path); });
  return removed == -ENOENT ? std::error_code() : error_of(removed);
}

Result<NativeSocket> open_bound(const SocketAddress& address, int type, bool remove_stale) {
  if (!is_of(Family::kUnix, address)) return std::unexpected(Errc::kInvalidArgument);
  auto socket = open_typed(type);
  if (!socket) return socket;
  std::error_code error = bind_socket(socket->fd(), address);
  if (remove_stale && error == std::errc::address_in_use) {
    error = remove_stale_path(address, type);
    if (!error) error = bind_socket(socket->fd(), address);
  }
  if (error) return std::unexpected(error);
  return socket;
}

}  // namespace

Result<Fd> adopt_unix(Runtime& runtime, int fd, int type) {
  if (const auto error = check_adoptable(fd, Family::kUnix, type)) return std::unexpected(error);
  return FdAccess::adopt(runtime, fd, FdAccess::kIsSocket);
}

Result<std::pair<Fd, Fd>> unix_pair(Runtime& runtime, int type) {
  int numbers[2];
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  constexpr int kPairFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
#else
  constexpr int kPairFlags = 0;
#endif
  const int made =
      system_call([&] { return ::socketpair(AF_UNIX, type | kPairFlags, 0, numbers); });
  if (made != 0) return std::unexpected(type_error(error_of(made)));
  NativeSocket first_number(numbers[0]);
  NativeSocket second_number(numbers[1]);
  if constexpr (kPairFlags == 0) {
    for (const int number : numbers) {
      if (const auto error = make_nonblocking_cloexec(number)) return std::unexpected(error);
    }
  }
  auto first = FdAccess::adopt_own(runtime, first_number.take(), FdAccess::kIsSocket);
  if (!first) return std::unexpected(first.error());
  auto second = FdAccess::adopt_own(runtime, second_number.take(), FdAccess::kIsSocket);
  if (!second) return std::unexpected(second.error());
  return std::pair(std::move(*first), std::move(*second));
}

Result<Fd> connect_unix(Runtime& runtime, const SocketAddress& address, int type,
                        Deadline deadline) {
  if (!is_of(Family::kUnix, address)) return std::unexpected(Errc::kInvalidArgument);
  auto socket = open_typed(type);
  if (!socket) return std::unexpected(socket.error());
  return connect_socket(runtime, std::move(*socket), address, FdAccess::kIsSocket, deadline);
}

Result<Fd> open_unix(Runtime& runtime, int type) {
  auto socket = open_typed(type);
  if (!socket) return std::unexpected(socket.error());
  return FdAccess::adopt_own(runtime, socket->take(), FdAccess::kIsSocket);
}

Result<Fd> bind_unix(Runtime& runtime, const SocketAddress& address, int type, bool remove_stale) {
  auto socket = open_bound(address, type, remove_stale);
  if (!socket) return std::unexpected(socket.error());
  return FdAccess::adopt_own(runtime, socket->take(), FdAccess::kIsSocket);
}

Result<Fd> listen_unix(Runtime& runtime, const SocketAddress& address, int type,
                       const UnixListener::Options& options) {
  // The kernel would take it for the largest backlog there is (listen(2)).
  if (options.backlog < 0) return std::unexpected(Errc::kInvalidArgument);
  auto socket = open_bound(address, type, options.remove_stale);
  if (!socket) return std::unexpected(socket.error());
  if (const auto error = listen_socket(socket->fd(), options.backlog)) {
    return std::unexpected(error);
  }
  return FdAccess::adopt_own(runtime, socket->take(), FdAccess::kIsSocket);
}

}  // namespace rearm::detail
