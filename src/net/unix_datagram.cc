#include "rearm/net/unix_datagram.h"

#include <sys/socket.h>

#include "net/unix_socket.h"

namespace rearm {

using detail::FdAccess;
using detail::Sharing;

Result<UnixDatagram> UnixDatagram::bind(const SocketAddress& address,
                                        const Options& options) noexcept {
  return bind(address, FdAccess::current_runtime(), options);
}

Result<UnixDatagram> UnixDatagram::bind(const SocketAddress& address, Runtime& runtime,
                                        const Options& options) noexcept {
  auto fd = detail::bind_unix(runtime, address, SOCK_DGRAM, options.remove_stale);
  if (!fd) return std::unexpected(fd.error());
  return UnixDatagram(std::move(*fd));
}

Result<UnixDatagram> UnixDatagram::open() noexcept { return open(FdAccess::current_runtime()); }

Result<UnixDatagram> UnixDatagram::open(Runtime& runtime) noexcept {
  auto fd = detail::open_unix(runtime, SOCK_DGRAM);
  if (!fd) return std::unexpected(fd.error());
  return UnixDatagram(std::move(*fd));
}

Result<UnixDatagram> UnixDatagram::adopt(int fd) noexcept {
  return adopt(fd, FdAccess::current_runtime());
}

Result<UnixDatagram> UnixDatagram::adopt(int fd, Runtime& runtime) noexcept {
  auto adopted = detail::adopt_unix(runtime, fd, SOCK_DGRAM);
  if (!adopted) return std::unexpected(adopted.error());
  return UnixDatagram(std::move(*adopted));
}

Result<std::pair<UnixDatagram, UnixDatagram>> UnixDatagram::pair() noexcept {
  return pair(FdAccess::current_runtime());
}

Result<std::pair<UnixDatagram, UnixDatagram>> UnixDatagram::pair(Runtime& runtime) noexcept {
  auto both = detail::unix_pair(runtime, SOCK_DGRAM);
  if (!both) return std::unexpected(both.error());
  return std::pair(UnixDatagram(std::move(both->first)), UnixDatagram(std::move(both->second)));
}

Result<void> UnixDatagram::send_descriptors(ConstBuffer datagram, std::span<const int> descriptors,
                                            Deadline deadline) noexcept {
  const auto n = detail::send_attached(*this, Sharing::kInTurn, datagram, descriptors, deadline);
  if (!n) return std::unexpected(n.error());
  return {};
}

Result<ReceivedDescriptors> UnixDatagram::recv_descriptors(MutableBuffer buffer,
                                                           std::span<int> descriptors,
                                                           Deadline deadline) noexcept {
  return detail::recv_attached(*this, Sharing::kInTurn, buffer, descriptors, deadline);
}

}  // namespace rearm
