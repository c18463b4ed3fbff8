// Options of UDP sockets, whose names and types differ by family and by system.
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <system_error>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "rearm/net/udp.h"

namespace rearm {

using detail::FdAccess;

namespace {

constexpr int kMostHops = 255;

template <class Value>
std::error_code set_value(int fd, int level, int name, const Value& value) {
  return detail::error_of(
      detail::system_call([&] { return ::setsockopt(fd, level, name, &value, sizeof(value)); }));
}

template <class Set>
Result<void> with_udp_number(const Fd& fd, Set&& set) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kWrite);
  if (operation.refused()) return operation.error();
  if (const std::error_code error = set(operation.fd())) return std::unexpected(error);
  return {};
}

// Calls one of the two, by the socket's family.
template <class Ipv4, class Ipv6>
Result<void> by_family(const Fd& fd, Ipv4&& ipv4, Ipv6&& ipv6) {
  return with_udp_number(fd, [&](int number) -> std::error_code {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    const int named = detail::system_call(
        [&] { return ::getsockname(number, reinterpret_cast<sockaddr*>(&address), &size); });
    if (named != 0) return detail::error_of(named);
    return address.ss_family == AF_INET6 ? ipv6(number) : ipv4(number);
  });
}

bool is_multicast(const SocketAddress& address) {
  if (address.family() == SocketAddress::Family::kIpv4) {
    sockaddr_in native;
    std::memcpy(&native, address.data(), sizeof(native));
    return IN_MULTICAST(ntohl(native.sin_addr.s_addr));
  }
  if (address.family() != SocketAddress::Family::kIpv6) return false;
  sockaddr_in6 native;
  std::memcpy(&native, address.data(), sizeof(native));
  return IN6_IS_ADDR_MULTICAST(&native.sin6_addr);
}

enum class Membership { kJoin, kLeave };

Result<void> change_membership(const Fd& fd, const SocketAddress& group, std::uint32_t interface,
                               [[maybe_unused]] Membership change) {
  if (!is_multicast(group)) return std::unexpected(Errc::kInvalidArgument);
  return with_udp_number(fd, [&]([[maybe_unused]] int number) -> std::error_code {
#if defined(MCAST_JOIN_GROUP)
    group_req request{};
    request.gr_interface = interface;
    std::memcpy(&request.gr_group, group.data(), group.size());
    const int level =
        group.family() == SocketAddress::Family::kIpv6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP};
    const int name = change == Membership::kJoin ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP;
    return set_value(number, level, name, request);
#else
    static_cast<void>(interface);
    return Errc::kNotSupported;
#endif
  });
}

}  // namespace

Result<void> UdpSocket::set_packet_info(bool on) noexcept {
  const int value = on ? 1 : 0;
  return by_family(
      *this,
      [value]([[maybe_unused]] int fd) -> std::error_code {
#if defined(__linux__)
        return detail::set_option(fd, IPPROTO_IP, IP_PKTINFO, value);
#else
        static_cast<void>(value);
        return Errc::kNotSupported;
#endif
      },
      [value]([[maybe_unused]] int fd) -> std::error_code {
#if defined(IPV6_RECVPKTINFO)
        return detail::set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, value);
#else
        static_cast<void>(value);
        return Errc::kNotSupported;
#endif
      });
}

Result<void> UdpSocket::set_coalescing([[maybe_unused]] bool on) noexcept {
  return with_udp_number(*this, [&]([[maybe_unused]] int fd) -> std::error_code {
#if defined(UDP_GRO)
    return detail::set_option(fd, IPPROTO_UDP, UDP_GRO, on ? 1 : 0);
#else
    return Errc::kNotSupported;
#endif
  });
}

Result<void> UdpSocket::set_broadcast(bool on) noexcept {
  return with_udp_number(
      *this, [on](int fd) { return detail::set_option(fd, SOL_SOCKET, SO_BROADCAST, on ? 1 : 0); });
}

Result<void> UdpSocket::set_ttl(int hops) noexcept {
  if (hops < 1 || hops > kMostHops) return std::unexpected(Errc::kInvalidArgument);
  return by_family(
      *this, [hops](int fd) { return detail::set_option(fd, IPPROTO_IP, IP_TTL, hops); },
      [hops](int fd) { return detail::set_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops); });
}

Result<void> UdpSocket::join_group(const SocketAddress& group, std::uint32_t interface) noexcept {
  return change_membership(*this, group, interface, Membership::kJoin);
}

Result<void> UdpSocket::leave_group(const SocketAddress& group, std::uint32_t interface) noexcept {
  return change_membership(*this, group, interface, Membership::kLeave);
}

// IPv4's two are bytes on the BSDs, and may be elsewhere.

Result<void> UdpSocket::set_multicast_ttl(int hops) noexcept {
  if (hops < 0 || hops > kMostHops) return std::unexpected(Errc::kInvalidArgument);
  return by_family(
      *this,
      [hops](int fd) {
        return set_value(fd, IPPROTO_IP, IP_MULTICAST_TTL, static_cast<unsigned char>(hops));
      },
      [hops](int fd) { return detail::set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops); });
}

Result<void> UdpSocket::set_multicast_loop(bool on) noexcept {
  return by_family(
      *this,
      [on](int fd) {
        return set_value(fd, IPPROTO_IP, IP_MULTICAST_LOOP,
                         on ? static_cast<unsigned char>(1) : static_cast<unsigned char>(0));
      },
      [on](int fd) {
        return detail::set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on ? 1 : 0);
      });
}

Result<void> UdpSocket::set_multicast_interface(std::uint32_t interface) noexcept {
  return by_family(
      *this,
      [interface]([[maybe_unused]] int fd) -> std::error_code {
#if defined(__linux__) || defined(__FreeBSD__) || defined(__APPLE__)
        ip_mreqn request{};
        request.imr_ifindex = static_cast<decltype(request.imr_ifindex)>(interface);
        return set_value(fd, IPPROTO_IP, IP_MULTICAST_IF, request);
#else
        static_cast<void>(interface);
        return Errc::kNotSupported;
#endif
      },
      [interface](int fd) { return set_value(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, interface); });
}

}  // namespace rearm
