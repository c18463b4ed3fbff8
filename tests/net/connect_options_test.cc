// Connections with options: our end, a mark, Fast Open; and who the peer is.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string_view>

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

class ConnectOptionsTest : public test::WorkersTest {
 protected:
  static TcpListener listener() {
    return expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
  }
};

INSTANTIATE_TEST_SUITE_P(Net, ConnectOptionsTest, ::testing::Values(1, 2), test::workers_test_name);

TEST_P(ConnectOptionsTest, AnAcceptSaysWhoTheConnectionIsOf) {
  run([] {
    TcpListener listening = listener();
    const SocketAddress address = expect_value(listening.local_address());
    TcpStream client = expect_value(TcpStream::connect(address, patience()));
    const SocketAddress ours = expect_value(client.local_address());
    const auto accepted = expect_value(listening.accept_from(patience()));
    EXPECT_EQ(accepted.peer, ours);
    EXPECT_EQ(expect_value(accepted.stream.peer_address()), ours);
    // It is known of a connection that is gone, which the kernel would not say any more.
    TcpStream gone = expect_value(TcpStream::connect(address, patience()));
    const SocketAddress its = expect_value(gone.local_address());
    expect_ok(gone.set_linger(0s));
    expect_ok(gone.close());
    const auto late = listening.accept_from(patience());
    if (late) {  // Some systems skip it.
      EXPECT_EQ(late->peer, its);
    }
    expect_error(listening.accept_from(test::at_once()), Errc::kTimedOut);
  });
}

TEST_P(ConnectOptionsTest, OurEndIsWhereItIsBound) {
  run([] {
    TcpListener listening = listener();
    const SocketAddress address = expect_value(listening.local_address());
    const SocketAddress any_port = expect_value(SocketAddress::parse("127.0.0.2:0"));
    const TcpStream first =
        expect_value(TcpStream::connect(address, {.local = any_port}, patience()));
    const SocketAddress chosen = expect_value(first.local_address());
    EXPECT_EQ(chosen.with_port(0), any_port);
    EXPECT_NE(chosen.port(), 0);
    EXPECT_EQ(expect_value(listening.accept_from(patience())).peer, chosen);
    // The same end cannot have the same peer twice, and a port is a port.
    expect_error(TcpStream::connect(address, {.local = chosen}, patience()),
                 errno_code(EADDRINUSE));
    TcpListener other = listener();
    const SocketAddress elsewhere = expect_value(other.local_address());
    const auto second =
        TcpStream::connect(elsewhere, {.local = chosen, .reuse_address = true}, patience());
    if (second) {
      EXPECT_EQ(expect_value(second->local_address()), chosen);
    }
    expect_error(
        TcpStream::connect(address, {.local = expect_value(SocketAddress::parse("192.0.2.77:0"))},
                           patience()),
        errno_code(EADDRNOTAVAIL));
    for (const SocketAddress& wrong :
         {SocketAddress::ipv6_loopback(0), expect_value(SocketAddress::unix_path("/x"))}) {
      expect_error(TcpStream::connect(address, {.local = wrong}, patience()),
                   Errc::kInvalidArgument);
    }
  });
}

#if defined(__linux__)

TEST_P(ConnectOptionsTest, AMarkIsOnTheConnectionFromTheStart) {
  run([] {
    TcpListener listening = listener();
    const SocketAddress address = expect_value(listening.local_address());
    const auto marked = TcpStream::connect(address, {.mark = 0xFFFF'0001U}, patience());
    if (!marked) return expect_error(marked, errno_code(EPERM));  // Not root.
    EXPECT_EQ(expect_value(marked->get_option<std::uint32_t>(SOL_SOCKET, SO_MARK)), 0xFFFF'0001U);
  });
}

// Whether the system lets the first bytes go with the SYN or not, they come.
TEST_P(ConnectOptionsTest, AFastOpenConnectsWithItsFirstWrite) {
  run([] {
    TcpListener listening =
        expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0), {.fast_open = 16}));
    EXPECT_EQ(expect_value(listening.get_option<int>(IPPROTO_TCP, TCP_FASTOPEN)), 16);
    expect_error(TcpListener::bind(SocketAddress::ipv4_loopback(0), {.fast_open = -1}),
                 Errc::kInvalidArgument);
    const SocketAddress address = expect_value(listening.local_address());
    // The first brings home a cookie, the others may use it.
    for (int round = 0; round < 3; ++round) {
      TcpStream client = expect_value(TcpStream::connect(address, {.fast_open = true}, patience()));
      EXPECT_NE(expect_value(client.get_option<int>(IPPROTO_TCP, TCP_FASTOPEN_CONNECT)), 0);
      char byte = 0;
      auto reading = spawn([&] { return client.read_some(MutableBuffer(&byte, 1), patience()); });
      test::let_park();
      if (round == 2) {  // Nothing to send goes with no SYN: it is waited for the connection.
        const auto nothing = client.write_some(ConstBuffer(), test::at_once());
        if (!nothing) expect_error(nothing, Errc::kTimedOut);
      }
      expect_ok(client.write_all("first", patience()));
      TcpStream server = expect_value(listening.accept(patience()));
      std::array<char, 5> got{};
      expect_ok(server.read_exact(got, patience()));
      EXPECT_EQ(std::string_view(got.data(), got.size()), "first");
      expect_ok(server.write_all("!", patience()));
      EXPECT_EQ(expect_value(reading.join()), 1U);
      EXPECT_EQ(byte, '!');
    }
  });
}

#endif

}  // namespace
}  // namespace rearm
