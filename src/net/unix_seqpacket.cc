#include "rearm/net/unix_seqpacket.h"

#include <sys/socket.h>

#include "net/native_socket.h"
#include "net/unix_socket.h"

namespace rearm {

using detail::FdAccess;
using detail::Sharing;

Result<UnixSeqpacket> UnixSeqpacket::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<UnixSeqpacket> UnixSeqpacket::adopt(int fd, Runtime& runtime) noexcept {
  auto adopted = detail::adopt_unix(runtime, fd, SOCK_SEQPACKET);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixSeqpacket(std::move(*adopted));
}

Result<UnixSeqpacket> UnixSeqpacket::connect(const SocketAddress& address,
                                             Deadline deadline) noexcept {
  return connect(address, FdAccess::current_runtime(), deadline);
}

Result<UnixSeqpacket> UnixSeqpacket::connect(const SocketAddress& address, Runtime& runtime,
                                             Deadline deadline) noexcept {
  auto fd = detail::connect_unix(runtime, address, SOCK_SEQPACKET, deadline);
  if (!fd) return std::unexpected(fd.error());
  return UnixSeqpacket(std::move(*fd));
}

Result<std::pair<UnixSeqpacket, UnixSeqpacket>> UnixSeqpacket::pair() noexcept {
  return pair(FdAccess::current_runtime());
}

Result<std::pair<UnixSeqpacket, UnixSeqpacket>> UnixSeqpacket::pair(Runtime& runtime) noexcept {
  auto both = detail::unix_pair(runtime, SOCK_SEQPACKET);
  if (!both) return std::unexpected(both.error());
  return std::pair(UnixSeqpacket(std::move(both->first)), UnixSeqpacket(std::move(both->second)));
}

Result<UnixSeqpacket::Received> UnixSeqpacket::recv(MutableBuffer buffer,
                                                    Deadline deadline) noexcept {
  const auto received = recv_descriptors(buffer, {}, deadline);
  if (!received) return std::unexpected(received.error());
  return Received{.bytes = received->bytes, .truncated = received->truncated};
}

Result<void> UnixSeqpacket::send(ConstBuffer message, Deadline deadline) noexcept {
  return send_descriptors(message, {}, deadline);
}

Result<void> UnixSeqpacket::send_descriptors(ConstBuffer message, std::span<const int> descriptors,
                                             Deadline deadline) noexcept {
  if (message.size() == 0) return std::unexpected(Errc::kInvalidArgument);
  const auto n = detail::send_attached(*this, Sharing::kInTurn, message, descriptors, deadline);
  if (!n) return std::unexpected(n.error());
  return {};
}

Result<ReceivedDescriptors> UnixSeqpacket::recv_descriptors(MutableBuffer buffer,
                                                            std::span<int> descriptors,
                                                            Deadline deadline) noexcept {
  if (buffer.size() == 0) return std::unexpected(Errc::kInvalidArgument);
  return detail::recv_attached(*this, Sharing::kInTurn, buffer, descriptors, deadline);
}

Result<PeerCredentials> UnixSeqpacket::peer_credentials() const noexcept {
  return detail::credentials_of(*this);
}

Result<SocketAddress> UnixSeqpacket::peer_address() const noexcept {
  return detail::peer_address_of(*this);
}

Result<void> UnixSeqpacket::shutdown(Shutdown how) noexcept {
  return detail::shut_down(*this, how);
}

// --- Listeners. ---

Result<UnixSeqpacketListener> UnixSeqpacketListener::bind(const SocketAddress& address,
                                                          const Options& options) noexcept {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<UnixSeqpacketListener> UnixSeqpacketListener::bind(const SocketAddress& address,
                                                          Runtime& runtime,
                                                          const Options& options) noexcept {
  auto fd = detail::listen_unix(runtime, address, SOCK_SEQPACKET, options);
  if (!fd) return std::unexpected(fd.error());
  return UnixSeqpacketListener(std::move(*fd));
}

Result<UnixSeqpacketListener> UnixSeqpacketListener::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<UnixSeqpacketListener> UnixSeqpacketListener::adopt(int fd, Runtime& runtime) noexcept {
  auto adopted = detail::adopt_unix(runtime, fd, SOCK_SEQPACKET);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixSeqpacketListener(std::move(*adopted));
}

Result<UnixSeqpacket> UnixSeqpacketListener::accept(Deadline deadline) noexcept {
  auto fd = detail::accept_next(*this, deadline);
  if (!fd) return std::unexpected(fd.error());
  return UnixSeqpacket(std::move(*fd));
}

}  // namespace rearm
