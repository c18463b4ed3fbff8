#include "rearm/net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <compare>
#include <cstring>
#include <optional>
#include <ostream>

namespace rearm {
namespace {

constexpr std::string_view kUnixScheme = "unix:";
constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr std::size_t kPathCapacity = sizeof(sockaddr_un::sun_path);

// The storage is bytes; native structures are copied in and out, never aliased.
template <class Native>
Native copy_out(const SocketAddress& address) {
  Native native{};
  std::memcpy(&native, address.data(), std::min(address.size(), sizeof(native)));
  return native;
}

sa_family_t native_family(const SocketAddress& address) {
  return address.size() < sizeof(sockaddr::sa_family) ? sa_family_t{AF_UNSPEC}
                                                      : copy_out<sockaddr>(address).sa_family;
}

SocketAddress ipv4(std::uint32_t host, std::uint16_t port) {
  sockaddr_in native{};
  native.sin_family = AF_INET;
  native.sin_port = htons(port);
  native.sin_addr.s_addr = htonl(host);
  return SocketAddress::from_native(&native, sizeof(native));
}

SocketAddress ipv6(const in6_addr& host, std::uint16_t port, std::uint32_t scope) {
  sockaddr_in6 native{};
  native.sin6_family = AF_INET6;
  native.sin6_port = htons(port);
  native.sin6_addr = host;
  native.sin6_scope_id = scope;
  return SocketAddress::from_native(&native, sizeof(native));
}

// Where an address begins with its length, a kernel fills that in and takes what it was given for
// nothing; equal addresses are to be equal bytes, so that it is always filled in here.
template <class Native>
void write_length([[maybe_unused]] std::byte* bytes, [[maybe_unused]] std::size_t size) {
  if constexpr (requires(Native native) { native.sa_len; }) {
    Native native{};
    const std::size_t head = std::min(size, sizeof(native));
    std::memcpy(&native, bytes, head);
    native.sa_len = static_cast<decltype(native.sa_len)>(size);
    std::memcpy(bytes, &native, head);
  }
}

// How long a native address is without what says nothing. Linux says exactly what it means, and a
// path that begins with zero is a name. Elsewhere zeros may follow a path, and a socket without a
// name may have a path of zeros alone.
std::size_t length_without_padding([[maybe_unused]] const std::byte* bytes, std::size_t size) {
#if !defined(__linux__)
  sockaddr native{};
  std::memcpy(&native, bytes, std::min(size, sizeof(native)));
  if (native.sa_family == AF_UNIX && size > kPathOffset) {
    size = std::min(size, sizeof(sockaddr_un));
    const std::byte* const path = bytes + kPathOffset;
    const std::byte* const end = std::find(path, bytes + size, std::byte{0});
    const auto length = static_cast<std::size_t>(end - path);
    return length == 0 ? kPathOffset : std::min(kPathOffset + length + 1, size);
  }
#endif
  return size;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A copy with a terminating zero, for C functions. A text that has no room is longer than any that
// they take, and becomes empty, which they do not take either.
template <std::size_t kCapacity>
struct CText {
  explicit CText(std::string_view text) noexcept {
    if (text.size() < kCapacity) text.copy(chars, text.size());
  }
  char chars[kCapacity] = {};
};

// The scope of an IPv6 address: an interface's name or number.
std::optional<std::uint32_t> scope_of(std::string_view text) {
  if (const auto number = number_of<std::uint32_t>(text)) return number;
  const std::uint32_t index = ::if_nametoindex(CText<IF_NAMESIZE>(text).chars);
  if (index == 0) return std::nullopt;
  return index;
}

std::string host_and_port(const sockaddr_in6& native) {
  char host[INET6_ADDRSTRLEN];
  ::inet_ntop(AF_INET6, &native.sin6_addr, host, sizeof(host));
  std::string text = "[";
  text += host;
  if (native.sin6_scope_id != 0) {
    char name[IF_NAMESIZE];
    text += '%';
    text += ::if_indextoname(native.sin6_scope_id, name) != nullptr
                ? std::string(name)
                : std::to_string(native.sin6_scope_id);
  }
  return text + "]:" + std::to_string(ntohs(native.sin6_port));
}

}  // namespace

Result<SocketAddress> SocketAddress::parse(std::string_view text) noexcept {
  if (text.starts_with(kUnixScheme)) return unix_path(text.substr(kUnixScheme.size()));
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::unexpected(Errc::kInvalidArgument);
  const auto port = number_of<std::uint16_t>(text.substr(colon + 1));
  if (!port) return std::unexpected(Errc::kInvalidArgument);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Without brackets "::1:80" could be a host alone; with them "[127.0.0.1]:80" is nobody's form.
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  if (is_ipv6 != bracketed) return std::unexpected(Errc::kInvalidArgument);
  return ip(host, *port);
}

Result<SocketAddress> SocketAddress::ip(std::string_view host, std::uint16_t port) noexcept {
  // C functions would not look beyond a zero byte.
  if (host.find('\0') != std::string_view::npos) return std::unexpected(Errc::kInvalidArgument);
  in_addr v4{};
  if (::inet_pton(AF_INET, CText<INET_ADDRSTRLEN>(host).chars, &v4) == 1) {
    return ipv4(ntohl(v4.s_addr), port);
  }
  std::uint32_t scope = 0;
  if (const std::size_t percent = host.find('%'); percent != std::string_view::npos) {
    const auto found = scope_of(host.substr(percent + 1));
    if (!found) return std::unexpected(Errc::kInvalidArgument);
    scope = *found;
    host = host.substr(0, percent);
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, CText<INET6_ADDRSTRLEN>(host).chars, &v6) != 1) {
    return std::unexpected(Errc::kInvalidArgument);
  }
  return ipv6(v6, port, scope);
}

SocketAddress SocketAddress::ipv4_loopback(std::uint16_t port) {
  return ipv4(INADDR_LOOPBACK, port);
}
SocketAddress SocketAddress::ipv4_any(std::uint16_t port) { return ipv4(INADDR_ANY, port); }
SocketAddress SocketAddress::ipv6_loopback(std::uint16_t port) {
  return ipv6(in6addr_loopback, port, 0);
}
SocketAddress SocketAddress::ipv6_any(std::uint16_t port) { return ipv6(in6addr_any, port, 0); }

Result<SocketAddress> SocketAddress::unix_path(std::string_view path) noexcept {
  sockaddr_un native{};
  native.sun_family = AF_UNIX;
  const bool abstract = path.starts_with('@');
#if !defined(__linux__)
  if (abstract) return std::unexpected(Errc::kNotSupported);
#endif
  // A path ends with a zero byte; an abstract name begins with one and may contain more.
  const std::size_t room = abstract ? kPathCapacity : kPathCapacity - 1;
  if (path.empty() || path.size() > room) return std::unexpected(Errc::kInvalidArgument);
  if (!abstract && path.find('\0') != std::string_view::npos) {
    return std::unexpected(Errc::kInvalidArgument);
  }
  std::memcpy(native.sun_path, path.data(), path.size());
  if (abstract) native.sun_path[0] = '\0';
  return from_native(&native, kPathOffset + path.size() + (abstract ? 0 : 1));
}

SocketAddress SocketAddress::from_native(const void* address, std::size_t size) noexcept {
  SocketAddress result;
  result.size_ = static_cast<std::uint32_t>(std::min(size, kCapacity));
  if (result.size_ == 0) return result;
  std::memcpy(result.storage_.data(), address, result.size_);
  const std::size_t length = length_without_padding(result.storage_.data(), result.size_);
  result.size_ = static_cast<std::uint32_t>(length);
  write_length<sockaddr>(result.storage_.data(), length);
  return result;
}

SocketAddress::Family SocketAddress::family() const noexcept {
  switch (native_family(*this)) {
    case AF_INET: return Family::kIpv4;
    case AF_INET6: return Family::kIpv6;
    case AF_UNIX: return Family::kUnix;
    default: return Family::kUnspecified;
  }
}

std::uint16_t SocketAddress::port() const noexcept {
  switch (family()) {
    case Family::kIpv4: return ntohs(copy_out<sockaddr_in>(*this).sin_port);
    case Family::kIpv6: return ntohs(copy_out<sockaddr_in6>(*this).sin6_port);
    default: return 0;
  }
}

bool SocketAddress::is_loopback() const noexcept {
  const SocketAddress plain = unmapped();
  if (plain.family() == Family::kIpv4) {
    return ntohl(copy_out<sockaddr_in>(plain).sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  if (plain.family() != Family::kIpv6) return false;
  const auto native = copy_out<sockaddr_in6>(plain);
  return IN6_IS_ADDR_LOOPBACK(&native.sin6_addr);
}

SocketAddress SocketAddress::with_port(std::uint16_t port) const noexcept {
  switch (family()) {
    case Family::kIpv4: {
      auto native = copy_out<sockaddr_in>(*this);
      native.sin_port = htons(port);
      return from_native(&native, sizeof(native));
    }
    case Family::kIpv6: {
      auto native = copy_out<sockaddr_in6>(*this);
      native.sin6_port = htons(port);
      return from_native(&native, sizeof(native));
    }
    default: return *this;
  }
}

SocketAddress SocketAddress::unmapped() const noexcept {
  if (family() != Family::kIpv6) return *this;
  const auto native = copy_out<sockaddr_in6>(*this);
  if (!IN6_IS_ADDR_V4MAPPED(&native.sin6_addr)) return *this;
  std::uint32_t host;
  std::memcpy(&host, native.sin6_addr.s6_addr + 12, sizeof(host));
  return ipv4(ntohl(host), ntohs(native.sin6_port));
}

std::uint32_t SocketAddress::scope_id() const noexcept {
  return family() == Family::kIpv6 ? copy_out<sockaddr_in6>(*this).sin6_scope_id : 0;
}

SocketAddress SocketAddress::with_scope_id(std::uint32_t interface) const noexcept {
  if (family() != Family::kIpv6) return *this;
  auto native = copy_out<sockaddr_in6>(*this);
  native.sin6_scope_id = interface;
  return from_native(&native, sizeof(native));
}

std::strong_ordering SocketAddress::compare(const SocketAddress& other) const noexcept {
  const Family kind = family();
  if (const auto order = kind <=> other.family(); order != 0) return order;
  const auto by_bytes = [](const void* a, const void* b, std::size_t size) {
    return std::memcmp(a, b, size) <=> 0;
  };
  // Hosts lie in the network's order, the most significant byte first.
  if (kind == Family::kIpv4) {
    const auto a = copy_out<sockaddr_in>(*this);
    const auto b = copy_out<sockaddr_in>(other);
    if (const auto order = by_bytes(&a.sin_addr, &b.sin_addr, sizeof(a.sin_addr)); order != 0) {
      return order;
    }
  } else if (kind == Family::kIpv6) {
    const auto a = copy_out<sockaddr_in6>(*this);
    const auto b = copy_out<sockaddr_in6>(other);
    if (const auto order = by_bytes(&a.sin6_addr, &b.sin6_addr, sizeof(a.sin6_addr)); order != 0) {
      return order;
    }
    if (const auto order = a.sin6_scope_id <=> b.sin6_scope_id; order != 0) return order;
  }
  if (const auto order = port() <=> other.port(); order != 0) return order;
  const auto order = by_bytes(data(), other.data(), std::min(size(), other.size()));
  return order != 0 ? order : size() <=> other.size();
}

std::string SocketAddress::to_string() const {
  switch (family()) {
    case Family::kIpv4: {
      const auto native = copy_out<sockaddr_in>(*this);
      char host[INET_ADDRSTRLEN];
      ::inet_ntop(AF_INET, &native.sin_addr, host, sizeof(host));
      return std::string(host) + ":" + std::to_string(port());
    }
    case Family::kIpv6: return host_and_port(copy_out<sockaddr_in6>(*this));
    case Family::kUnix: {
      const auto native = copy_out<sockaddr_un>(*this);
      // The kernel counts a terminating zero for which there may be no room (unix(7)).
      const std::size_t size = std::min<std::size_t>(size_, sizeof(native));
      std::string path(native.sun_path, size > kPathOffset ? size - kPathOffset : 0);
      if (path.empty()) return std::string(kUnixScheme);  // An unnamed socket.
      if (path.front() == '\0') {
        path.front() = '@';
      } else {
        path.resize(std::strlen(path.c_str()));
      }
      return std::string(kUnixScheme) + path;
    }
    case Family::kUnspecified: break;
  }
  return "unspecified";
}

std::ostream& operator<<(std::ostream& out, const SocketAddress& address) {
  return out << address.to_string();
}

}  // namespace rearm
