// Datagrams in batches, with what comes beside them, to groups, and in segments.
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::errno_code;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;

class UdpPacketTest : public test::WorkersTest {
 protected:
  static UdpSocket bound(std::string_view address = "127.0.0.1:0") {
    return expect_value(UdpSocket::bind(expect_value(SocketAddress::parse(address))));
  }
  static int value_of(const UdpSocket& socket, int level, int name) {
    return expect_value(socket.get_option<int>(level, name));
  }
};

INSTANTIATE_TEST_SUITE_P(Net, UdpPacketTest, ::testing::Values(1, 2), test::workers_test_name);

struct Room {
  std::vector<std::array<char, 8>> bytes;
  std::vector<Datagram::Incoming> datagrams;

  explicit Room(std::size_t count) : bytes(count) {
    for (auto& one : bytes) datagrams.push_back({.buffer = one});
  }
  [[nodiscard]] std::string_view text(std::size_t i) const {
    return {bytes[i].data(), datagrams[i].received.bytes};
  }
};

// More than one call takes, of all lengths, one of them too long, one of them empty.
TEST_P(UdpPacketTest, ABatchIsSentAndReceivedInOrder) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    UdpSocket other = bound();
    const SocketAddress to = expect_value(server.local_address());
    expect_ok(other.send_to("first", to, patience()));
    expect_ok(client.send_to("second", to, patience()));
    Room two(2);
    for (std::size_t seen = 0; seen < 2;) {
      const std::size_t n =
          expect_value(server.recv_batch(std::span(two.datagrams).subspan(seen), patience()));
      ASSERT_GE(n, 1U);
      seen += n;
    }
    EXPECT_EQ(two.datagrams[0].received.from, expect_value(other.local_address()));
    EXPECT_EQ(two.datagrams[1].received.from, expect_value(client.local_address()));
    std::vector<std::string> texts;
    for (int i = 0; i < 70; ++i) texts.push_back(std::to_string(i));
    texts[5] = "longer than the room for it";
    texts[6] = "";
    std::vector<Datagram::Outgoing> out;
    for (const std::string& text : texts) out.push_back({.datagram = text, .to = to});
    std::size_t calls = 0;
    for (std::span<const Datagram::Outgoing> left = out; !left.empty(); ++calls) {
      left = left.subspan(expect_value(client.send_batch(left, patience())));
    }
    EXPECT_LE(calls, 5U);
    std::size_t seen = 0;
    while (seen < texts.size()) {
      Room room(40);
      const std::size_t n = expect_value(server.recv_batch(room.datagrams, patience()));
      ASSERT_GE(n, 1U);
      ASSERT_LE(n, 40U);
      for (std::size_t i = 0; i < n; ++i, ++seen) {
        const std::string& sent = texts.at(seen);
        EXPECT_EQ(room.text(i), sent.substr(0, 8));
        EXPECT_EQ(room.datagrams[i].received.truncated, sent.size() > 8);
        EXPECT_EQ(room.datagrams[i].received.from, expect_value(client.local_address()));
      }
    }
    EXPECT_EQ(seen, texts.size());
    Room room(3);
    expect_error(server.recv_batch(room.datagrams, test::at_once()), Errc::kTimedOut);
  });
}

TEST_P(UdpPacketTest, ABatchWaitsForItsFirstAndNotForMore) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    expect_ok(client.connect(expect_value(server.local_address())));
    Room room(4);
    expect_error(server.recv_batch(room.datagrams, Deadline::after(2ms)), Errc::kTimedOut);
    expect_error(server.recv_batch({}, patience()), Errc::kInvalidArgument);
    EXPECT_EQ(expect_value(client.send_batch({}, patience())), 0U);
    auto receiving = spawn([&] { return server.recv_batch(room.datagrams, patience()); });
    test::let_park();
    const std::array<Datagram::Outgoing, 1> one{{{.datagram = "x"}}};  // To the peer.
    EXPECT_EQ(expect_value(client.send_batch(one, patience())), 1U);
    EXPECT_EQ(expect_value(receiving.join()), 1U);
    EXPECT_EQ(room.text(0), "x");
    auto parked = spawn([&] { return server.recv_batch(room.datagrams, patience()); });
    test::let_park();
    expect_ok(server.close());
    expect_error(parked.join(), Errc::kClosed);
    expect_error(server.send_batch(one, patience()), Errc::kClosed);
  });
}

// What stops a batch in its middle is told by the call that begins with it.
TEST_P(UdpPacketTest, ABatchEndsBeforeWhatCannotBeSent) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    const SocketAddress to = expect_value(server.local_address());
    const std::string huge(70'000, 'h');
    const std::array<Datagram::Outgoing, 3> out{
        {{.datagram = "a", .to = to}, {.datagram = huge, .to = to}, {.datagram = "c", .to = to}}};
    EXPECT_EQ(expect_value(client.send_batch(out, patience())), 1U);
    expect_error(client.send_batch(std::span(out).subspan(1), patience()), errno_code(EMSGSIZE));
    EXPECT_EQ(expect_value(client.send_batch(std::span(out).subspan(2), patience())), 1U);
    Room room(4);
    std::string got;
    while (got.size() < 2) {
      const std::size_t n = expect_value(server.recv_batch(room.datagrams, patience()));
      for (std::size_t i = 0; i < n; ++i) got += room.text(i);
    }
    EXPECT_EQ(got, "ac");
  });
}

TEST_P(UdpPacketTest, HopsAndBroadcastReachTheKernelOfBothFamilies) {
  run([] {
    UdpSocket four = bound();
    expect_ok(four.set_ttl(7));
    EXPECT_EQ(value_of(four, IPPROTO_IP, IP_TTL), 7);
    expect_ok(four.set_multicast_ttl(0));
    EXPECT_EQ(value_of(four, IPPROTO_IP, IP_MULTICAST_TTL), 0);
    expect_ok(four.set_multicast_ttl(255));
    EXPECT_EQ(value_of(four, IPPROTO_IP, IP_MULTICAST_TTL), 255);
    for (const bool on : {false, true}) {
      expect_ok(four.set_multicast_loop(on));
      EXPECT_EQ(value_of(four, IPPROTO_IP, IP_MULTICAST_LOOP) != 0, on);
    }
    for (const int bad : {-1, 256}) {
      expect_error(four.set_ttl(bad), Errc::kInvalidArgument);
      expect_error(four.set_multicast_ttl(bad), Errc::kInvalidArgument);
    }
    expect_error(four.set_ttl(0), Errc::kInvalidArgument);
    const SocketAddress broadcast = expect_value(SocketAddress::parse("255.255.255.255:9"));
    expect_error(four.send_to("x", broadcast, patience()), errno_code(EACCES));
    for (const bool on : {true, false}) {
      expect_ok(four.set_broadcast(on));
      EXPECT_EQ(value_of(four, SOL_SOCKET, SO_BROADCAST) != 0, on);
    }
    auto six = UdpSocket::bind(SocketAddress::ipv6_loopback(0));
    if (!six) return;  // No IPv6 here.
    expect_ok(six->set_ttl(9));
    EXPECT_EQ(value_of(*six, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 9);
    expect_ok(six->set_multicast_ttl(3));
    EXPECT_EQ(value_of(*six, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 3);
    expect_ok(six->set_multicast_loop(false));
    EXPECT_EQ(value_of(*six, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0);
  });
}

#if defined(__linux__)

// Over the loopback interface, so that nothing leaves this machine.
TEST_P(UdpPacketTest, AGroupIsJoinedAndLeft) {
  const std::uint32_t loopback = ::if_nametoindex("lo");
  run([loopback] {
    UdpSocket member = bound("0.0.0.0:0");
    UdpSocket sender = bound();
    const SocketAddress group = expect_value(SocketAddress::parse("239.255.77.77:0"))
                                    .with_port(expect_value(member.local_address()).port());
    expect_ok(sender.set_multicast_interface(loopback));
    expect_ok(sender.set_multicast_ttl(0));
    expect_ok(member.join_group(group, loopback));
    expect_error(member.join_group(group, loopback), errno_code(EADDRINUSE));
    expect_ok(sender.send_to("to all", group, patience()));
    std::array<char, 16> buffer{};
    const auto received = expect_value(member.recv_from(buffer, patience()));
    EXPECT_EQ(std::string_view(buffer.data(), received.bytes), "to all");
    EXPECT_EQ(received.from, expect_value(sender.local_address()));
    expect_ok(member.leave_group(group, loopback));
    expect_error(member.leave_group(group, loopback), errno_code(EADDRNOTAVAIL));
    expect_ok(sender.send_to("to none", group, patience()));
    expect_error(member.recv_from(buffer, Deadline::after(10ms)), Errc::kTimedOut);
    for (const auto text : {"127.0.0.1:9", "[::1]:9", "unix:/x"}) {
      expect_error(member.join_group(expect_value(SocketAddress::parse(text))),
                   Errc::kInvalidArgument);
    }
    expect_error(member.join_group(group, 1'000'000), errno_code(ENODEV));
    expect_error(sender.set_multicast_interface(1'000'000), errno_code(EADDRNOTAVAIL));

    auto six = UdpSocket::bind(expect_value(SocketAddress::parse("[::]:0")));
    if (!six) return;
    const SocketAddress all = expect_value(SocketAddress::parse("[ff01::77]:9"));
    if (!six->join_group(all, loopback)) return;  // No IPv6 on this interface.
    expect_ok(six->set_multicast_interface(loopback));
    expect_ok(six->leave_group(all, loopback));
  });
}

TEST_P(UdpPacketTest, APacketSaysWhereItWasSentTo) {
  const std::uint32_t loopback = ::if_nametoindex("lo");
  run([loopback] {
    UdpSocket server = bound("0.0.0.0:0");
    UdpSocket client = bound();
    const std::uint16_t port = expect_value(server.local_address()).port();
    std::array<char, 8> buffer{};
    const SocketAddress second = expect_value(SocketAddress::parse("127.0.0.2:0"));
    expect_ok(client.send_packet("x", {.to = second.with_port(port)}, patience()));
    const auto before = expect_value(server.recv_packet(buffer, patience()));
    EXPECT_EQ(before.to, SocketAddress());
    EXPECT_EQ(before.interface, 0U);
    expect_ok(server.set_packet_info(true));
    expect_ok(client.send_packet("0123456789", {.to = second.with_port(port)}, patience()));
    const auto packet = expect_value(server.recv_packet(buffer, patience()));
    EXPECT_EQ(packet.to, second);
    EXPECT_EQ(packet.interface, loopback);
    EXPECT_EQ(packet.segment_bytes, 0U);
    EXPECT_EQ(packet.datagram.bytes, 8U);
    EXPECT_TRUE(packet.datagram.truncated);
    EXPECT_EQ(packet.datagram.from, expect_value(client.local_address()));
    // The answer comes from where the question was sent to.
    expect_ok(server.send_packet(
        "y", {.to = packet.datagram.from, .from = packet.to, .interface = packet.interface},
        patience()));
    EXPECT_EQ(expect_value(client.recv_packet(buffer, patience())).datagram.from,
              second.with_port(port));
    const SocketAddress not_ours = expect_value(SocketAddress::parse("192.0.2.77:0"));
    const auto sent =
        server.send_packet("y", {.to = packet.datagram.from, .from = not_ours}, patience());
    ASSERT_FALSE(sent);
    EXPECT_TRUE(sent.error() == errno_code(EINVAL) || sent.error() == errno_code(ENETUNREACH))
        << sent.error();
    expect_error(server.send_packet("y", {.interface = loopback}, patience()),
                 Errc::kInvalidArgument);
    expect_ok(server.set_packet_info(false));
    expect_ok(client.connect(second.with_port(port)));
    expect_ok(client.send_packet("z", {}, patience()));  // To the peer.
    EXPECT_EQ(expect_value(server.recv_packet(buffer, patience())).to, SocketAddress());
  });
}

TEST_P(UdpPacketTest, AnIpv6PacketSaysWhereItWasSentTo) {
  run([] {
    auto server = UdpSocket::bind(expect_value(SocketAddress::parse("[::]:0")));
    auto client = UdpSocket::bind(SocketAddress::ipv6_loopback(0));
    if (!server || !client) return;  // No IPv6 here.
    expect_ok(server->set_packet_info(true));
    const std::uint16_t port = expect_value(server->local_address()).port();
    expect_ok(client->send_packet("x", {.to = SocketAddress::ipv6_loopback(port)}, patience()));
    std::array<char, 8> buffer{};
    const auto packet = expect_value(server->recv_packet(buffer, patience()));
    EXPECT_EQ(packet.to, SocketAddress::ipv6_loopback(0));
    EXPECT_NE(packet.interface, 0U);
    expect_ok(server->send_packet(
        "y", {.to = packet.datagram.from, .from = packet.to, .interface = packet.interface},
        patience()));
    expect_ok(client->recv_packet(buffer, patience()));
  });
}

#endif

#if defined(UDP_SEGMENT) && defined(UDP_GRO)

TEST_P(UdpPacketTest, ABufferIsSentAsSegmentsAndReceivedTogether) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    const SocketAddress to = expect_value(server.local_address());
    const std::string text(3'500, 's');
    expect_ok(client.send_packet(text, {.to = to, .segment_bytes = 1'000}, patience()));
    std::vector<char> buffer(65'536);
    for (const std::size_t expected : {1'000U, 1'000U, 1'000U, 500U}) {
      const auto packet = expect_value(server.recv_packet(buffer, patience()));
      EXPECT_EQ(packet.datagram.bytes, expected);
      EXPECT_EQ(packet.segment_bytes, 0U);
    }
    expect_ok(server.set_coalescing(true));
    expect_ok(client.send_packet(text, {.to = to, .segment_bytes = 1'000}, patience()));
    const auto together = expect_value(server.recv_packet(buffer, patience()));
    EXPECT_EQ(together.datagram.bytes, text.size());
    EXPECT_EQ(together.segment_bytes, 1'000U);
    expect_ok(client.send_packet("one", {.to = to, .segment_bytes = 1'000}, patience()));
    const auto alone = expect_value(server.recv_packet(buffer, patience()));
    EXPECT_EQ(alone.datagram.bytes, 3U);
    EXPECT_EQ(alone.segment_bytes, 0U);
    // The kernel says so of what is left of several, too, which may be one.
    for (const std::size_t room : {600U, 1'000U, 1'001U}) {
      expect_ok(client.send_packet(text, {.to = to, .segment_bytes = 1'000}, patience()));
      const auto cut = expect_value(server.recv_packet(std::span(buffer).first(room), patience()));
      EXPECT_EQ(cut.datagram.bytes, room);
      EXPECT_TRUE(cut.datagram.truncated);
      EXPECT_EQ(cut.segment_bytes, room > 1'000 ? 1'000U : 0U);
    }
    expect_error(client.send_packet(text, {.to = to, .segment_bytes = 65'536}, patience()),
                 Errc::kInvalidArgument);
  });
}

#endif

}  // namespace
}  // namespace rearm
