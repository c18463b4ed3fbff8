#include "rearm/net/unix.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "poller/fd_flags.h"

namespace rearm {

using detail::FdAccess;

// --- Streams. ---

Result<UnixStream> UnixStream::adopt(int fd) { return adopt(fd, FdAccess::current_runtime()); }

Result<UnixStream> UnixStream::adopt(int fd, Runtime& runtime) {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kUnix, SOCK_STREAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, FdAccess::kIsSocket);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixStream(std::move(*adopted));
}

Result<UnixStream> UnixStream::connect(const SocketAddress& address, Deadline deadline) {
  return connect(address, FdAccess::current_runtime(), deadline);
}

Result<UnixStream> UnixStream::connect(const SocketAddress& address, Runtime& runtime,
                                       Deadline deadline) {
  if (!detail::is_of(detail::Family::kUnix, address)) {
    return std::unexpected(Errc::kInvalidArgument);
  }
  auto socket = detail::open_socket(address, SOCK_STREAM);
  if (!socket) return std::unexpected(socket.error());
  auto fd =
      detail::connect_socket(runtime, std::move(*socket), address, FdAccess::kIsSocket, deadline);
  if (!fd) return std::unexpected(fd.error());
  return UnixStream(std::move(*fd));
}

Result<std::pair<UnixStream, UnixStream>> UnixStream::pair() {
  return pair(FdAccess::current_runtime());
}

Result<std::pair<UnixStream, UnixStream>> UnixStream::pair(Runtime& runtime) {
  int numbers[2];
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
#else
  constexpr int kType = SOCK_STREAM;
#endif
  const int made = detail::system_call([&] { return ::socketpair(AF_UNIX, kType, 0, numbers); });
  if (made != 0) return std::unexpected(detail::error_of(made));
  detail::NativeSocket first_number(numbers[0]);
  detail::NativeSocket second_number(numbers[1]);
  if constexpr (kType == SOCK_STREAM) {
    for (const int number : numbers) {
      if (const auto error = detail::make_nonblocking_cloexec(number)) {
        return std::unexpected(error);
      }
    }
  }
  auto first = FdAccess::adopt_own(runtime, first_number.take(), FdAccess::kIsSocket);
  if (!first) return std::unexpected(first.error());
  auto second = FdAccess::adopt_own(runtime, second_number.take(), FdAccess::kIsSocket);
  if (!second) return std::unexpected(second.error());
  return std::pair(UnixStream(std::move(*first)), UnixStream(std::move(*second)));
}

// --- Listeners. ---

Result<UnixListener> UnixListener::bind(const SocketAddress& address, const Options& options) {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<UnixListener> UnixListener::bind(const SocketAddress& address, Runtime& runtime,
                                        const Options& options) {
  // The kernel would take it for the largest backlog there is (listen(2)).
  if (options.backlog < 0) return std::unexpected(Errc::kInvalidArgument);
  if (!detail::is_of(detail::Family::kUnix, address)) {
    return std::unexpected(Errc::kInvalidArgument);
  }
  auto socket = detail::open_socket(address, SOCK_STREAM);
  if (!socket) return std::unexpected(socket.error());
  std::error_code error = detail::bind_socket(socket->fd(), address);
  if (!error) error = detail::listen_socket(socket->fd(), options.backlog);
  if (error) return std::unexpected(error);
  auto adopted = FdAccess::adopt_own(runtime, socket->take(), FdAccess::kIsSocket);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixListener(std::move(*adopted));
}

Result<UnixListener> UnixListener::adopt(int fd) { return adopt(fd, FdAccess::current_runtime()); }

Result<UnixListener> UnixListener::adopt(int fd, Runtime& runtime) {
  if (const auto error = detail::check_adoptable(fd, detail::Family::kUnix, SOCK_STREAM)) {
    return std::unexpected(error);
  }
  auto adopted = FdAccess::adopt(runtime, fd, FdAccess::kIsSocket);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixListener(std::move(*adopted));
}

Result<UnixStream> UnixListener::accept(Deadline deadline) {
  auto fd = detail::accept_next(*this, deadline);
  if (!fd) return std::unexpected(fd.error());
  return UnixStream(std::move(*fd));
}

}  // namespace rearm
