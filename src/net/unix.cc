#include "rearm/net/unix.h"

#include <sys/socket.h>

#include "net/native_socket.h"
#include "net/unix_socket.h"

namespace rearm {

using detail::FdAccess;
using detail::Sharing;

// --- Streams. ---

Result<UnixStream> UnixStream::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<UnixStream> UnixStream::adopt(int fd, Runtime& runtime) noexcept {
  auto adopted = detail::adopt_unix(runtime, fd, SOCK_STREAM);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixStream(std::move(*adopted));
}

Result<UnixStream> UnixStream::connect(const SocketAddress& address, Deadline deadline) noexcept {
  return connect(address, FdAccess::current_runtime(), deadline);
}

Result<UnixStream> UnixStream::connect(const SocketAddress& address, Runtime& runtime,
                                       Deadline deadline) noexcept {
  auto fd = detail::connect_unix(runtime, address, SOCK_STREAM, deadline);
  if (!fd) return std::unexpected(fd.error());
  return UnixStream(std::move(*fd));
}

Result<std::pair<UnixStream, UnixStream>> UnixStream::pair() noexcept {
  return pair(FdAccess::current_runtime());
}

Result<std::pair<UnixStream, UnixStream>> UnixStream::pair(Runtime& runtime) noexcept {
  auto both = detail::unix_pair(runtime, SOCK_STREAM);
  if (!both) return std::unexpected(both.error());
  return std::pair(UnixStream(std::move(both->first)), UnixStream(std::move(both->second)));
}

Result<PeerCredentials> UnixStream::peer_credentials() const noexcept {
  return detail::credentials_of(*this);
}

Result<std::size_t> UnixStream::send_descriptors(ConstBuffer bytes,
                                                 std::span<const int> descriptors,
                                                 Deadline deadline) noexcept {
  // Descriptors go with a byte, or not at all (unix(7)).
  if (bytes.size() == 0) return std::unexpected(Errc::kInvalidArgument);
  return detail::send_attached(*this, Sharing::kExclusive, bytes, descriptors, deadline);
}

Result<ReceivedDescriptors> UnixStream::recv_descriptors(MutableBuffer bytes,
                                                         std::span<int> descriptors,
                                                         Deadline deadline) noexcept {
  if (bytes.size() == 0) return std::unexpected(Errc::kInvalidArgument);
  return detail::recv_attached(*this, Sharing::kExclusive, bytes, descriptors, deadline);
}

// --- Listeners. ---

Result<UnixListener> UnixListener::bind(const SocketAddress& address,
                                        const Options& options) noexcept {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<UnixListener> UnixListener::bind(const SocketAddress& address, Runtime& runtime,
                                        const Options& options) noexcept {
  auto fd = detail::listen_unix(runtime, address, SOCK_STREAM, options);
  if (!fd) return std::unexpected(fd.error());
  return UnixListener(std::move(*fd));
}

Result<UnixListener> UnixListener::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<UnixListener> UnixListener::adopt(int fd, Runtime& runtime) noexcept {
  auto adopted = detail::adopt_unix(runtime, fd, SOCK_STREAM);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixListener(std::move(*adopted));
}

Result<UnixStream> UnixListener::accept(Deadline deadline) noexcept {
  auto fd = detail::accept_next(*this, deadline);
  if (!fd) return std::unexpected(fd.error());
  return UnixStream(std::move(*fd));
}

}  // namespace rearm
