// SocketAddress: where a socket is bound or connected to: IPv4, IPv6 or Unix.
//
// A value: compared, ordered and hashed by content, copied freely, used from any thread. No name is
// looked up here: hosts are numbers.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

#include "rearm/error.h"

namespace rearm {

class SocketAddress {
 public:
  enum class Family : std::uint8_t { kUnspecified, kIpv4, kIpv6, kUnix };

  // Unspecified: no address.
  SocketAddress() noexcept = default;

  // Reads what to_string() writes:
  //   "192.0.2.1:80"   "[2001:db8::1]:80"   "[fe80::1%eth0]:80"
  //   "unix:/run/server.sock"   "unix:@abstract-name" (Linux)
  // Errors: kInvalidArgument.
  [[nodiscard]] static Result<SocketAddress> parse(std::string_view text) noexcept;

  // A numeric IPv4 or IPv6 host (no brackets; a scope after '%' is allowed) and a port.
  // Errors: kInvalidArgument.
  [[nodiscard]] static Result<SocketAddress> ip(std::string_view host, std::uint16_t port) noexcept;

  [[nodiscard]] static SocketAddress ipv4_loopback(std::uint16_t port);
  [[nodiscard]] static SocketAddress ipv4_any(std::uint16_t port);
  [[nodiscard]] static SocketAddress ipv6_loopback(std::uint16_t port);
  [[nodiscard]] static SocketAddress ipv6_any(std::uint16_t port);

  // A path in the file system, or with a leading '@' a name in Linux's abstract namespace.
  // Errors: kInvalidArgument (empty, longer than the system takes, or with a zero byte in a path).
  [[nodiscard]] static Result<SocketAddress> unix_path(std::string_view path) noexcept;

  // From a struct sockaddr of `size` bytes; longer ones than any of the three families are cut off.
  [[nodiscard]] static SocketAddress from_native(const void* address, std::size_t size) noexcept;

  [[nodiscard]] Family family() const noexcept;
  // 0 unless IPv4 or IPv6.
  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] std::string to_string() const;

  // Whether it is a host's own: 127.0.0.0/8, ::1, and the former mapped into IPv6. False of Unix.
  [[nodiscard]] bool is_loopback() const noexcept;
  // The same but for its port. An address without one (Unix, unspecified) is returned as it is.
  [[nodiscard]] SocketAddress with_port(std::uint16_t port) const noexcept;
  // The IPv4 address that is mapped into an IPv6 one (::ffff:192.0.2.1), as a socket of both
  // families names its IPv4 peers; any other address as it is. For lists of permitted
  // addresses, which should not depend on how the listener was opened.
  [[nodiscard]] SocketAddress unmapped() const noexcept;
  // The index of the interface that an IPv6 address is of (fe80::1%eth0), or 0.
  [[nodiscard]] std::uint32_t scope_id() const noexcept;
  // With another one; an address that is not IPv6 is returned as it is.
  [[nodiscard]] SocketAddress with_scope_id(std::uint32_t interface) const noexcept;

  // A struct sockaddr, for system calls.
  [[nodiscard]] const void* data() const noexcept { return storage_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  [[nodiscard]] friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
    return std::string_view(reinterpret_cast<const char*>(a.storage_.data()), a.size_) ==
           std::string_view(reinterpret_cast<const char*>(b.storage_.data()), b.size_);
  }

  // By family (unspecified, IPv4, IPv6, Unix), then by host and port, or by path: the order of a
  // sorted list. Equal only if ==.
  [[nodiscard]] friend std::strong_ordering operator<=>(const SocketAddress& a,
                                                        const SocketAddress& b) noexcept {
    return a.compare(b);
  }

  // As to_string(). format.h has std::format; {fmt} finds format_as() by itself.
  friend std::ostream& operator<<(std::ostream& out, const SocketAddress& address);
  [[nodiscard]] friend std::string format_as(const SocketAddress& address) {
    return address.to_string();
  }

 private:
  [[nodiscard]] std::strong_ordering compare(const SocketAddress& other) const noexcept;

  static constexpr std::size_t kCapacity = 112;  // sockaddr_un is the longest.

  alignas(8) std::array<std::byte, kCapacity> storage_{};
  std::uint32_t size_ = 0;
};

}  // namespace rearm

// For std::unordered_map and its like.
template <>
struct std::hash<rearm::SocketAddress> {
  [[nodiscard]] std::size_t operator()(const rearm::SocketAddress& address) const noexcept {
    const std::string_view bytes(static_cast<const char*>(address.data()), address.size());
    return std::hash<std::string_view>{}(bytes);
  }
};
