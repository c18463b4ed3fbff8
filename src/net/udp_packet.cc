// Datagrams with what comes beside them: control messages (recvmsg(2), cmsg(3), ip(7), udp(7)).
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "net/no_sigpipe.h"
#include "rearm/net/udp.h"

namespace rearm {

using detail::FdAccess;

namespace {

// For the longest that are asked for: an interface with an address, and the length of segments.
constexpr std::size_t kControlBytes = 128;

#if defined(__linux__)
constexpr bool kHasIpv4Info = true;
#else
constexpr bool kHasIpv4Info = false;
#endif
#if defined(IPV6_PKTINFO)
constexpr bool kHasIpv6Info = true;
#else
constexpr bool kHasIpv6Info = false;
#endif

template <class Value>
Value data_of(cmsghdr& header) {
  Value value;
  std::memcpy(&value, CMSG_DATA(&header), sizeof(value));
  return value;
}

// Some systems say nothing of a packet.
void read_control(msghdr& message, [[maybe_unused]] UdpSocket::Packet& packet) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
#if defined(__linux__)
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      const auto info = data_of<in_pktinfo>(*header);
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_addr = info.ipi_addr;
      packet.to = SocketAddress::from_native(&to, sizeof(to));
      packet.interface = static_cast<std::uint32_t>(info.ipi_ifindex);
    }
#endif
#if defined(IPV6_PKTINFO)
    if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      const auto info = data_of<in6_pktinfo>(*header);
      sockaddr_in6 to{};
      to.sin6_family = AF_INET6;
      to.sin6_addr = info.ipi6_addr;
      packet.to = SocketAddress::from_native(&to, sizeof(to));
      packet.interface = static_cast<std::uint32_t>(info.ipi6_ifindex);
    }
#endif
#if defined(UDP_GRO)
    if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
      const auto bytes = static_cast<std::size_t>(data_of<int>(*header));
      // Said of one alone, too.
      packet.segment_bytes = bytes < packet.datagram.bytes ? bytes : 0;
    }
#endif
  }
}

// The control messages of one call, one behind the other.
class ControlWriter {
 public:
  template <class Value>
  void add(int level, int type, const Value& value) {
    // Filled in by hand: CMSG_NXTHDR() of a message that is being written reads what is not there.
    cmsghdr header{};
    header.cmsg_level = level;
    header.cmsg_type = type;
    header.cmsg_len = static_cast<decltype(header.cmsg_len)>(CMSG_LEN(sizeof(value)));
    std::memcpy(bytes_.data() + size_, &header, sizeof(header));
    std::memcpy(bytes_.data() + size_ + CMSG_LEN(0), &value, sizeof(value));
    size_ += CMSG_SPACE(sizeof(value));
  }

  void give_to(msghdr& message) noexcept {
    if (size_ == 0) return;
    message.msg_control = bytes_.data();
    message.msg_controllen = static_cast<decltype(message.msg_controllen)>(size_);
  }

 private:
  alignas(cmsghdr) std::array<std::byte, kControlBytes> bytes_{};
  std::size_t size_ = 0;
};

std::error_code write_source([[maybe_unused]] ControlWriter& control,
                             const UdpSocket::PacketOptions& options) {
  const bool has_source = options.from.size() != 0;
  if (!has_source && options.interface == 0) return {};
  switch ((has_source ? options.from : options.to).family()) {
    case SocketAddress::Family::kIpv4: {
      if (!kHasIpv4Info) return Errc::kNotSupported;
#if defined(__linux__)
      in_pktinfo info{};
      info.ipi_ifindex = static_cast<decltype(info.ipi_ifindex)>(options.interface);
      if (has_source) {
        sockaddr_in from;
        std::memcpy(&from, options.from.data(), sizeof(from));
        info.ipi_spec_dst = from.sin_addr;
      }
      control.add(IPPROTO_IP, IP_PKTINFO, info);
#endif
      return {};
    }
    case SocketAddress::Family::kIpv6: {
      if (!kHasIpv6Info) return Errc::kNotSupported;
#if defined(IPV6_PKTINFO)
      in6_pktinfo info{};
      info.ipi6_ifindex = static_cast<decltype(info.ipi6_ifindex)>(options.interface);
      if (has_source) {
        sockaddr_in6 from;
        std::memcpy(&from, options.from.data(), sizeof(from));
        info.ipi6_addr = from.sin6_addr;
      }
      control.add(IPPROTO_IPV6, IPV6_PKTINFO, info);
#endif
      return {};
    }
    default: return Errc::kInvalidArgument;
  }
}

std::error_code write_segments([[maybe_unused]] ControlWriter& control, std::size_t bytes) {
  if (bytes == 0) return {};
  if (bytes > std::numeric_limits<std::uint16_t>::max()) return Errc::kInvalidArgument;
#if defined(UDP_SEGMENT)
  control.add(IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(bytes));
  return {};
#else
  return Errc::kNotSupported;
#endif
}

}  // namespace

Result<UdpSocket::Packet> UdpSocket::recv_packet(MutableBuffer buffer, Deadline deadline) noexcept {
  auto operation = FdAccess::Operation::shared(*this, Direction::kRead);
  if (operation.refused()) return operation.error();
  sockaddr_storage from{};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control;
  iovec vector{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr message{};
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_name = &from;
    message.msg_namelen = sizeof(from);
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    return detail::result_or_errno(::recvmsg(fd, &message, 0));
  });
  if (!n) return std::unexpected(n.error());
  Packet packet;
  packet.datagram = {.bytes = *n,
                     .truncated = (message.msg_flags & MSG_TRUNC) != 0,
                     .from = SocketAddress::from_native(&from, message.msg_namelen)};
  read_control(message, packet);
  return packet;
}

Result<void> UdpSocket::send_packet(ConstBuffer packet, const PacketOptions& options,
                                    Deadline deadline) noexcept {
  auto operation = FdAccess::Operation::shared(*this, Direction::kWrite);
  if (operation.refused()) return operation.error();
  ControlWriter control;
  std::error_code error = write_source(control, options);
  if (!error) error = write_segments(control, options.segment_bytes);
  if (error) return std::unexpected(error);
  // The kernel reads through both; the structures merely cannot say so.
  iovec vector{.iov_base = const_cast<std::byte*>(packet.data()), .iov_len = packet.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (options.to.size() != 0) {
    message.msg_name = const_cast<void*>(options.to.data());
    message.msg_namelen = static_cast<socklen_t>(options.to.size());
  }
  control.give_to(message);
  const auto n = operation.perform_in_turn(deadline, [&](int fd) {
    return detail::result_or_errno(::sendmsg(fd, &message, detail::kNoSignal));
  });
  if (!n) return std::unexpected(n.error());
  return {};
}

}  // namespace rearm
