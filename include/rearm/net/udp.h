// UDP. See fd.h for what all operations have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/datagram.h"

namespace rearm {

class UdpSocket : public Datagram {
 public:
  struct Options {
    bool reuse_address = false;  // On Linux: share the port with others that say so (socket(7)).
    bool reuse_port = false;     // As TcpListener::Options has it.
  };

  // What comes with a datagram beside its sender.
  struct Packet {
    Received datagram;
    // Of set_packet_info(true): where it was sent to, with port 0, and through which interface it
    // came. Otherwise unspecified, and 0.
    SocketAddress to;
    std::uint32_t interface = 0;
    // Of set_coalescing(true): the buffer holds several datagrams of the same sender, each as long
    // as this, but for the last one, which may be shorter. 0: it holds one.
    std::size_t segment_bytes = 0;
  };
  struct PacketOptions {
    SocketAddress to = {};    // Unspecified: to the peer of connect().
    SocketAddress from = {};  // Our address, as in Packet::to; unspecified: the system's choice.
    std::uint32_t interface = 0;  // The interface that it leaves through; 0: the system's choice.
    // Sends the buffer as datagrams of so many bytes, and a last one of what is left; 0: as one.
    // Linux: at most 64 of them, and 64 KiB together (EINVAL, EMSGSIZE). Elsewhere kNotSupported.
    std::size_t segment_bytes = 0;
  };

  UdpSocket() noexcept = default;

  // Port 0 takes a free one. Never parks. Errors: EADDRINUSE, EACCES and the like.
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address,
                                              const Options& options) noexcept;
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address) noexcept {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address, Runtime& runtime,
                                              const Options& options) noexcept;
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address,
                                              Runtime& runtime) noexcept {
    return bind(address, runtime, Options{});
  }
  // Takes ownership of a UDP socket; see Fd::adopt().
  [[nodiscard]] static Result<UdpSocket> adopt(int fd) noexcept;
  [[nodiscard]] static Result<UdpSocket> adopt(int fd, Runtime& runtime) noexcept;

  // recv_from() and send_to() with what is above. Errors besides: kInvalidArgument (a segment
  // longer than 65535, an interface or our address without an address to tell the family from),
  // EINVAL or ENETUNREACH (an address that is not ours), kNotSupported (where set_packet_info()
  // is).
  [[nodiscard]] Result<Packet> recv_packet(MutableBuffer buffer, Deadline deadline = {}) noexcept;
  Result<void> send_packet(ConstBuffer packet, const PacketOptions& options,
                           Deadline deadline = {}) noexcept;

  // Whether recv_packet() says where to and through what (IP_PKTINFO, IPV6_RECVPKTINFO). Linux, and
  // IPv6 on the BSDs and illumos; otherwise kNotSupported.
  Result<void> set_packet_info(bool on) noexcept;
  // Lets the kernel put datagrams of one sender together (UDP_GRO): give recv_packet() buffers of
  // 64 KiB then. Linux; elsewhere kNotSupported.
  Result<void> set_coalescing(bool on) noexcept;

  // Lets datagrams be sent to broadcast addresses, EACCES otherwise (SO_BROADCAST, IPv4).
  Result<void> set_broadcast(bool on) noexcept;
  // How many hops what is sent to one host may go. Errors: kInvalidArgument (not 1 to 255).
  Result<void> set_ttl(int hops) noexcept;

  // Receives what is sent to a group, through one interface (by its index; 0 is the system's
  // choice). The socket must be bound to the group's port. Errors: kInvalidArgument (no multicast
  // address), ENODEV (no such interface, no route), EADDRINUSE (joined already), EADDRNOTAVAIL (not
  // joined), kNotSupported (NetBSD, OpenBSD).
  Result<void> join_group(const SocketAddress& group, std::uint32_t interface = 0) noexcept;
  Result<void> leave_group(const SocketAddress& group, std::uint32_t interface = 0) noexcept;
  // Of what is sent to groups. How many hops it may go: 0 stays on this host, 1 (the default) on
  // this network. Errors: kInvalidArgument (not 0 to 255).
  Result<void> set_multicast_ttl(int hops) noexcept;
  // Whether this host's own members receive it, too (the default).
  Result<void> set_multicast_loop(bool on) noexcept;
  // The interface that it leaves through, by its index; 0 is the system's choice. Errors: ENODEV,
  // EADDRNOTAVAIL; kNotSupported (IPv4 on NetBSD, OpenBSD and illumos).
  Result<void> set_multicast_interface(std::uint32_t interface) noexcept;

 private:
  explicit UdpSocket(Fd fd) noexcept : Datagram(std::move(fd)) {}
};

}  // namespace rearm
