// Addresses: what is accepted, what is refused, and that to_string() and parse() are inverse.
#include "rearm/net/address.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

namespace rearm {
namespace {

using namespace std::string_view_literals;
using Family = SocketAddress::Family;

struct Good {
  std::string_view text;
  Family family;
  std::uint16_t port;
  std::string_view printed;
};

constexpr Good kGood[] = {
    {"127.0.0.1:80", Family::kIpv4, 80, "127.0.0.1:80"},
    {"0.0.0.0:0", Family::kIpv4, 0, "0.0.0.0:0"},
    {"255.255.255.255:65535", Family::kIpv4, 65535, "255.255.255.255:65535"},
    {"[::1]:443", Family::kIpv6, 443, "[::1]:443"},
    {"[::]:0", Family::kIpv6, 0, "[::]:0"},
    {"[2001:db8:0:0:0:0:0:1]:1", Family::kIpv6, 1, "[2001:db8::1]:1"},
    {"[::ffff:192.0.2.1]:7", Family::kIpv6, 7, "[::ffff:192.0.2.1]:7"},
    {"unix:/run/server.sock", Family::kUnix, 0, "unix:/run/server.sock"},
    {"unix:relative", Family::kUnix, 0, "unix:relative"},
    {"unix:/with:colon", Family::kUnix, 0, "unix:/with:colon"},
#if defined(__linux__)
    {"unix:@abstract", Family::kUnix, 0, "unix:@abstract"},
    {"unix:@zero\0inside"sv, Family::kUnix, 0, "unix:@zero\0inside"sv},
#endif
};

TEST(SocketAddress, ReadsWhatItWrites) {
  for (const Good& good : kGood) {
    SCOPED_TRACE(std::string(good.text));
    const auto address = SocketAddress::parse(good.text);
    ASSERT_TRUE(address) << address.error().message();
    EXPECT_EQ(address->family(), good.family);
    EXPECT_EQ(address->port(), good.port);
    EXPECT_EQ(address->to_string(), good.printed);
    const auto again = SocketAddress::parse(address->to_string());
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *address);
  }
}

// Number 1 is the loopback's on some systems, and somebody's on all.
TEST(SocketAddress, AScopeIsAnInterfacesNameOrNumber) {
  char name[IF_NAMESIZE];
  ASSERT_NE(::if_indextoname(1, name), nullptr);
  const std::string printed = "[fe80::1%" + std::string(name) + "]:9";
  for (const std::string& text : {std::string("[fe80::1%1]:9"), printed}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), printed);
  }
}

#if !defined(__linux__)
TEST(SocketAddress, AbstractNamesAreLinuxAlone) {
  EXPECT_EQ(SocketAddress::parse("unix:@abstract").error(), Errc::kNotSupported);
}
#endif

constexpr std::string_view kBad[] = {
    "",
    ":",
    ":80",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:+1",
    "127.0.0.1: 1",
    "127.0.0.1:1 ",
    "127.0.0.1:1x",
    "127.0.0.1:0x10",
    "127.0.0.1:99999999999999999999",
    "127.0.0:1",
    "127.0.0.1.1:1",
    "256.0.0.1:1",
    "127.0.0.01x:1",
    "localhost:80",
    " 127.0.0.1:80",
    "127.0.0.1\0:80"sv,
    "127.0.0.1:80\0"sv,
    "::1:80",
    "::1",
    "[::1]",
    "[::1]:",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[[::1]]:80",
    "[127.0.0.1]:80",
    "[::1%]:80",
    "[::1%no-such-interface]:80",
    "[::1%4294967296]:80",
    "[::1%lo\0x]:80"sv,
    "[::1\0]:80"sv,
    "[:::1]:80",
    "[12345::1]:80",
    "127.0.0.1%lo:80",
    "unix:",
    "unix:/zero\0inside"sv,
    "UNIX:/path",
};

TEST(SocketAddress, RefusesWhatIsMalformed) {
  for (const std::string_view text : kBad) {
    const auto address = SocketAddress::parse(text);
    EXPECT_FALSE(address) << "'" << text << "' was read as " << address->to_string();
    EXPECT_TRUE(address || address.error() == Errc::kInvalidArgument);
  }
}

TEST(SocketAddress, UnixPathsMayBeAsLongAsTheSystemTakes) {
  constexpr std::size_t kCapacity = sizeof(sockaddr_un::sun_path);
  const std::string longest_path(kCapacity - 1, 'p');
  ASSERT_TRUE(SocketAddress::unix_path(longest_path));
  EXPECT_EQ(SocketAddress::unix_path(longest_path)->to_string(), "unix:" + longest_path);
  EXPECT_FALSE(SocketAddress::unix_path(longest_path + "p"));
#if defined(__linux__)
  const std::string longest_name = "@" + std::string(kCapacity - 1, 'n');
  ASSERT_TRUE(SocketAddress::unix_path(longest_name));
  EXPECT_EQ(SocketAddress::unix_path(longest_name)->to_string(), "unix:" + longest_name);
  EXPECT_FALSE(SocketAddress::unix_path(longest_name + "n"));
#endif
}

TEST(SocketAddress, HostsAreNumbersWithoutBrackets) {
  EXPECT_EQ(SocketAddress::ip("127.0.0.1", 5), SocketAddress::ipv4_loopback(5));
  EXPECT_EQ(SocketAddress::ip("::1", 5), SocketAddress::ipv6_loopback(5));
  EXPECT_EQ(SocketAddress::ip("0.0.0.0", 5), SocketAddress::ipv4_any(5));
  EXPECT_EQ(SocketAddress::ip("::", 5), SocketAddress::ipv6_any(5));
  for (const std::string_view host : {""sv, "[::1]"sv, "example.org"sv, "1"sv, "1.2.3.4\0"sv}) {
    EXPECT_FALSE(SocketAddress::ip(host, 5)) << host;
  }
}

TEST(SocketAddress, AddressesAreComparedByContent) {
  EXPECT_EQ(SocketAddress::ipv4_loopback(1), SocketAddress::ipv4_loopback(1));
  EXPECT_FALSE(SocketAddress::ipv4_loopback(1) == SocketAddress::ipv4_loopback(2));
  EXPECT_FALSE(SocketAddress::ipv4_loopback(1) == SocketAddress::ipv4_any(1));
  EXPECT_FALSE(SocketAddress::ipv4_loopback(1) == SocketAddress());
  EXPECT_EQ(SocketAddress(), SocketAddress());
}

TEST(SocketAddress, NoAddressIsUnspecified) {
  const SocketAddress none;
  EXPECT_EQ(none.family(), Family::kUnspecified);
  EXPECT_EQ(none.port(), 0);
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(none.to_string(), "unspecified");
}

TEST(SocketAddress, ForeignFamiliesAndFragmentsAreUnspecified) {
  sockaddr_storage other{};
  other.ss_family = AF_APPLETALK;
  EXPECT_EQ(SocketAddress::from_native(&other, sizeof(other)).family(), Family::kUnspecified);
  const char one_byte = 1;
  EXPECT_EQ(SocketAddress::from_native(&one_byte, 1).family(), Family::kUnspecified);
  EXPECT_EQ(SocketAddress::from_native(nullptr, 0), SocketAddress());
  // A sockaddr_in that was cut off is not read beyond its end.
  sockaddr_in cut{};
  cut.sin_family = AF_INET;
  EXPECT_EQ(SocketAddress::from_native(&cut, 4).to_string(), "0.0.0.0:0");
}

// unix(7), "BUGS": a path that fills sun_path, 108 bytes on Linux, has no terminating zero, and its
// length may come back as 111. Nothing beyond sun_path may be read.
TEST(SocketAddress, AUnixAddressLongerThanItsStructureIsCutOff) {
  struct {
    sockaddr_un address;
    char beyond[64];
  } native{};
  native.address.sun_family = AF_UNIX;
  std::memset(native.address.sun_path, 'p', sizeof(native.address.sun_path));
  std::memset(native.beyond, 'x', sizeof(native.beyond));
  const std::string path(sizeof(native.address.sun_path), 'p');
  for (const std::size_t beyond : {0U, 1U, 2U, 18U}) {
    const auto address = SocketAddress::from_native(&native, sizeof(sockaddr_un) + beyond);
    EXPECT_EQ(address.to_string(), "unix:" + path) << beyond;
  }
}

TEST(SocketAddress, AnUnnamedUnixSocketHasNoPath) {
  sockaddr_un native{};
  native.sun_family = AF_UNIX;
  const auto address = SocketAddress::from_native(&native, offsetof(sockaddr_un, sun_path));
  EXPECT_EQ(address.family(), Family::kUnix);
  EXPECT_EQ(address.to_string(), "unix:");
#if !defined(__linux__)
  // There, the path may be all zeros instead of absent.
  EXPECT_EQ(SocketAddress::from_native(&native, sizeof(native)), address);
#endif
}

SocketAddress parsed(std::string_view text) { return SocketAddress::parse(text).value(); }

TEST(SocketAddress, KnowsWhatIsOfThisHostAlone) {
  for (const auto text : {"127.0.0.1:80", "127.255.0.9:0", "[::1]:80", "[::ffff:127.0.0.2]:1"}) {
    EXPECT_TRUE(parsed(text).is_loopback()) << text;
  }
  for (const auto text : {"128.0.0.1:80", "126.255.255.255:1", "0.0.0.0:80", "[::]:80", "[::2]:80",
                          "[::ffff:192.0.2.1]:1", "[::127.0.0.1]:1", "unix:/run/server.sock"}) {
    EXPECT_FALSE(parsed(text).is_loopback()) << text;
  }
  EXPECT_FALSE(SocketAddress().is_loopback());
}

TEST(SocketAddress, ChangesItsPortAndNothingElse) {
  EXPECT_EQ(parsed("192.0.2.1:80").with_port(443), parsed("192.0.2.1:443"));
  EXPECT_EQ(parsed("[fe80::1%7]:80").with_port(0), parsed("[fe80::1%7]:0"));
  EXPECT_EQ(parsed("unix:/run/x").with_port(80), parsed("unix:/run/x"));
  EXPECT_EQ(SocketAddress().with_port(80), SocketAddress());
}

TEST(SocketAddress, IsTakenOutOfIpv6WhereItIsMapped) {
  EXPECT_EQ(parsed("[::ffff:192.0.2.1]:7").unmapped(), parsed("192.0.2.1:7"));
  for (const auto text : {"192.0.2.1:7", "[::1]:7", "[::fffe:192.0.2.1]:7", "[::192.0.2.1]:7",
                          "[64:ff9b::192.0.2.1]:7", "unix:/run/x"}) {
    EXPECT_EQ(parsed(text).unmapped(), parsed(text)) << text;
  }
}

TEST(SocketAddress, HasTheScopeOfItsInterface) {
  EXPECT_EQ(parsed("[fe80::1%7]:80").scope_id(), 7U);
  EXPECT_EQ(parsed("[fe80::1]:80").scope_id(), 0U);
  EXPECT_EQ(parsed("127.0.0.1:80").scope_id(), 0U);
  EXPECT_EQ(parsed("[fe80::1%7]:80").with_scope_id(9), parsed("[fe80::1%9]:80"));
  EXPECT_EQ(parsed("[fe80::1%7]:80").with_scope_id(0), parsed("[fe80::1]:80"));
  EXPECT_EQ(parsed("127.0.0.1:80").with_scope_id(9), parsed("127.0.0.1:80"));
}

// Whatever is made of them, a list is sorted in one way, and a set holds each once.
TEST(SocketAddress, IsOrderedByFamilyHostAndPort) {
  const std::vector<SocketAddress> sorted{
      SocketAddress(),         parsed("1.2.3.4:65535"), parsed("9.0.0.1:80"), parsed("9.0.0.1:256"),
      parsed("10.0.0.1:1"),    parsed("200.0.0.1:1"),   parsed("[::1]:80"),   parsed("[fe80::1]:9"),
      parsed("[fe80::1%1]:1"), parsed("[fe80::1%2]:1"), parsed("unix:/a"),    parsed("unix:/a/b"),
      parsed("unix:/b")};
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    for (std::size_t j = 0; j < sorted.size(); ++j) {
      EXPECT_EQ(sorted[i] <=> sorted[j], i <=> j) << sorted[i] << " and " << sorted[j];
    }
  }
  std::vector<SocketAddress> mixed(sorted.rbegin(), sorted.rend());
  std::sort(mixed.begin(), mixed.end());
  EXPECT_EQ(mixed, sorted);
}

TEST(SocketAddress, HashesByContent) {
  std::unordered_set<SocketAddress> seen;
  for (int port = 0; port < 100; ++port) {
    seen.insert(SocketAddress::ipv4_loopback(static_cast<std::uint16_t>(port)));
    seen.insert(SocketAddress::ipv6_loopback(static_cast<std::uint16_t>(port)));
    seen.insert(SocketAddress::ipv4_loopback(static_cast<std::uint16_t>(port)));
  }
  EXPECT_EQ(seen.size(), 200U);
  EXPECT_TRUE(seen.contains(parsed("127.0.0.1:99")));
  EXPECT_FALSE(seen.contains(parsed("127.0.0.1:100")));
  EXPECT_EQ(std::hash<SocketAddress>{}(parsed("[::1]:5")),
            std::hash<SocketAddress>{}(SocketAddress::ipv6_loopback(5)));
}

}  // namespace
}  // namespace rearm
