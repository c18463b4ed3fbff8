// Options of sockets: each is set, and then the kernel is asked, or does what it was told.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <limits>
#include <optional>
#include <string>

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

int option(const Fd& fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof(value);
  EXPECT_EQ(::getsockopt(fd.native_handle(), level, name, &value, &size), 0);
  return value;
}

linger linger_of(const Fd& fd) {
  linger value{};
  socklen_t size = sizeof(value);
  EXPECT_EQ(::getsockopt(fd.native_handle(), SOL_SOCKET, SO_LINGER, &value, &size), 0);
  return value;
}

constexpr int kBytes = 20 * 1024;

class OptionsTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Net, OptionsTest, ::testing::Values(1), test::workers_test_name);

TEST_P(OptionsTest, AStreamsOptionsReachTheKernel) {
  run([] {
    auto [a, b] = test::tcp_streams();
    for (const bool on : {true, false}) {
      expect_ok(a.set_no_delay(on));
      EXPECT_EQ(option(a, IPPROTO_TCP, TCP_NODELAY) != 0, on);
      expect_ok(a.set_keep_alive(on));
      EXPECT_EQ(option(a, SOL_SOCKET, SO_KEEPALIVE) != 0, on);
    }
    expect_ok(a.set_linger(1min));
    EXPECT_NE(linger_of(a).l_onoff, 0);
    EXPECT_EQ(linger_of(a).l_linger, 60);
    expect_ok(a.set_linger(0s));
    EXPECT_NE(linger_of(a).l_onoff, 0);
    EXPECT_EQ(linger_of(a).l_linger, 0);
    expect_ok(a.set_linger(std::nullopt));
    EXPECT_EQ(linger_of(a).l_onoff, 0);
    for (const std::chrono::seconds bad : {-1s, std::chrono::seconds::max()}) {
      expect_error(a.set_linger(bad), Errc::kInvalidArgument);
    }
    EXPECT_EQ(linger_of(a).l_onoff, 0);
    EXPECT_EQ(option(b, IPPROTO_TCP, TCP_NODELAY), 0);
  });
}

#if defined(TCP_KEEPIDLE)
TEST_P(OptionsTest, TheTimesOfProbesReachTheKernel) {
  run([] {
    auto [a, b] = test::tcp_streams();
    const int interval_before = option(a, IPPROTO_TCP, TCP_KEEPINTVL);
    for (const auto& bad :
         {TcpStream::KeepAlive{.idle = 0s}, TcpStream::KeepAlive{.interval = -1s},
          TcpStream::KeepAlive{.idle = std::chrono::seconds::max()},
          TcpStream::KeepAlive{.idle = std::chrono::hours(24 * 365)},
          TcpStream::KeepAlive{.count = 0}, TcpStream::KeepAlive{.count = 1000}}) {
      expect_error(a.set_keep_alive(bad), Errc::kInvalidArgument);
    }
    EXPECT_EQ(option(a, SOL_SOCKET, SO_KEEPALIVE), 0) << "nothing is probed at half of the times";
    expect_ok(a.set_keep_alive({.idle = 2min, .count = 3}));
    EXPECT_NE(option(a, SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_KEEPIDLE), 120);
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_KEEPCNT), 3);
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_KEEPINTVL), interval_before);
    expect_ok(a.set_keep_alive({.interval = 9s}));
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_KEEPINTVL), 9);
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_KEEPIDLE), 120);
  });
}
#endif

#if defined(TCP_USER_TIMEOUT)
TEST_P(OptionsTest, TheUserTimeoutReachesTheKernel) {
  run([] {
    auto [a, b] = test::tcp_streams();
    expect_ok(a.set_user_timeout(1500ms));
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_USER_TIMEOUT), 1500);
    expect_ok(a.set_user_timeout(0s));
    EXPECT_EQ(option(a, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    for (const std::chrono::milliseconds bad : {-1ms, std::chrono::milliseconds::max()}) {
      expect_error(a.set_user_timeout(bad), Errc::kInvalidArgument);
    }
  });
}
#endif

TEST_P(OptionsTest, AnyOptionIsSetAndAskedForByItsType) {
  static_assert(!detail::OptionValue<int*> && !detail::OptionValue<bool>);
  static_assert(!detail::OptionValue<std::string> && detail::OptionValue<linger>);
  run([] {
    auto [a, b] = test::tcp_streams();
    expect_ok(a.set_option(IPPROTO_TCP, TCP_NODELAY, 1));
    EXPECT_NE(expect_value(a.get_option<int>(IPPROTO_TCP, TCP_NODELAY)), 0);
    expect_ok(a.set_option(SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 7}));
    EXPECT_EQ(expect_value(a.get_option<linger>(SOL_SOCKET, SO_LINGER)).l_linger, 7);
    // What the kernel does not fill is zero.
    const auto wide = expect_value(a.get_option<std::array<int, 4>>(SOL_SOCKET, SO_TYPE));
    EXPECT_EQ(wide, (std::array<int, 4>{SOCK_STREAM, 0, 0, 0}));
    expect_error(a.get_option<int>(IPPROTO_TCP, 30'000), errno_code(ENOPROTOOPT));
    expect_error(a.set_option(IPPROTO_TCP, 30'000, 1), errno_code(ENOPROTOOPT));

    auto listener = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    expect_ok(listener.set_option(SOL_SOCKET, SO_KEEPALIVE, 1));
    EXPECT_NE(expect_value(listener.get_option<int>(SOL_SOCKET, SO_ACCEPTCONN)), 0);
    auto udp = expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
    EXPECT_EQ(expect_value(udp.get_option<int>(SOL_SOCKET, SO_TYPE)), SOCK_DGRAM);
    auto [c, d] = expect_value(UnixStream::pair());
    EXPECT_EQ(expect_value(c.get_option<int>(SOL_SOCKET, SO_TYPE)), SOCK_STREAM);
    expect_ok(a.close());
    expect_error(a.set_option(IPPROTO_TCP, TCP_NODELAY, 1), Errc::kClosed);
    expect_error(a.get_option<int>(IPPROTO_TCP, TCP_NODELAY), Errc::kClosed);
  });
}

TEST_P(OptionsTest, BufferSizesReachTheKernel) {
  run([] {
    auto [a, b] = test::tcp_streams();
    expect_ok(a.set_receive_buffer_bytes(kBytes));
    expect_ok(a.set_send_buffer_bytes(kBytes));
    EXPECT_EQ(expect_value(a.receive_buffer_bytes()), option(a, SOL_SOCKET, SO_RCVBUF));
    EXPECT_EQ(expect_value(a.send_buffer_bytes()), option(a, SOL_SOCKET, SO_SNDBUF));
    for (const int bytes :
         {expect_value(a.receive_buffer_bytes()), expect_value(a.send_buffer_bytes())}) {
      EXPECT_GE(bytes, kBytes);
      EXPECT_LE(bytes, 2 * kBytes);  // Linux doubles it.
    }
  });
}

TEST_P(OptionsTest, ANegativeBacklogIsRefusedBeforeAnythingIsBound) {
  test::SocketDirectory directory;
  const SocketAddress path = directory.fresh();
  run([&] {
    for (const int backlog : {-1, std::numeric_limits<int>::min()}) {
      expect_error(TcpListener::bind(SocketAddress::ipv4_loopback(0), {.backlog = backlog}),
                   Errc::kInvalidArgument);
      expect_error(UnixListener::bind(path, {.backlog = backlog}), Errc::kInvalidArgument);
    }
    for (const int backlog : {0, 1, std::numeric_limits<int>::max()}) {
      (void)expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0), {.backlog = backlog}));
    }
    (void)expect_value(UnixListener::bind(path, {.backlog = std::numeric_limits<int>::max()}));
  });
}

TEST_P(OptionsTest, WhatAListenerIsGivenItsConnectionsInherit) {
  run([] {
    TcpListener listener = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    expect_ok(listener.set_receive_buffer_bytes(kBytes));
    expect_ok(listener.set_send_buffer_bytes(kBytes));
    const TcpStream client =
        expect_value(TcpStream::connect(expect_value(listener.local_address()), patience()));
    const TcpStream server = expect_value(listener.accept(patience()));
    EXPECT_EQ(expect_value(server.receive_buffer_bytes()),
              expect_value(listener.receive_buffer_bytes()));
    EXPECT_EQ(expect_value(server.send_buffer_bytes()), expect_value(listener.send_buffer_bytes()));
    EXPECT_LE(expect_value(server.receive_buffer_bytes()), 2 * kBytes);
  });
}

TEST_P(OptionsTest, APendingErrorIsTakenOnce) {
  run([] {
    UdpSocket closed = expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
    const SocketAddress nobody = expect_value(closed.local_address());
    expect_ok(closed.close());
    UdpSocket socket = expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
    EXPECT_EQ(expect_value(socket.take_error()), std::error_code(0, std::system_category()));
    expect_ok(socket.connect(nobody));
    expect_ok(socket.send("x", patience()));
    std::error_code error;
    EXPECT_TRUE(test::eventually([&] {
      error = expect_value(socket.take_error());
      return error.value() != 0;
    }));
    EXPECT_EQ(error, errno_code(ECONNREFUSED));
    EXPECT_EQ(expect_value(socket.take_error()), std::error_code(0, std::system_category()));
  });
}

TEST_P(OptionsTest, AClosedSocketHasNone) {
  run([] {
    auto [a, b] = test::tcp_streams();
    expect_ok(a.close());
    expect_error(a.set_no_delay(true), Errc::kClosed);
    expect_error(a.set_keep_alive(true), Errc::kClosed);
    expect_error(a.set_linger(0s), Errc::kClosed);
    expect_error(a.set_keep_alive({.idle = 1s}), Errc::kClosed);
    expect_error(a.set_receive_buffer_bytes(4096), Errc::kClosed);
    expect_error(a.send_buffer_bytes(), Errc::kClosed);
    expect_error(a.take_error(), Errc::kClosed);
  });
}

// The side that closes first keeps its port in TIME_WAIT.
TEST_P(OptionsTest, ReuseAddressBindsBesideAnOldConnection) {
  run([] {
    TcpListener first = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    const SocketAddress address = expect_value(first.local_address());
    TcpStream client = expect_value(TcpStream::connect(address, patience()));
    TcpStream server = expect_value(first.accept(patience()));
    expect_ok(server.close());
    std::array<char, 1> byte{};
    EXPECT_EQ(expect_value(client.read_some(byte, patience())), 0U);
    expect_ok(client.close());
    expect_ok(first.close());
    expect_error(TcpListener::bind(address, {.reuse_address = false}), errno_code(EADDRINUSE));
    expect_ok(TcpListener::bind(address, {.reuse_address = true}));
  });
}

TEST_P(OptionsTest, ReusePortSharesAPort) {
  run([] {
    const TcpListener::Options shared{.reuse_port = true};
    const TcpListener first =
        expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0), shared));
    const SocketAddress address = expect_value(first.local_address());
    expect_error(TcpListener::bind(address), errno_code(EADDRINUSE));
    expect_ok(TcpListener::bind(address, shared));
  });
}

TEST_P(OptionsTest, DatagramSocketsShareAPortIfAllOfThemSaySo) {
  run([] {
    for (const UdpSocket::Options& shared :
         {UdpSocket::Options{.reuse_address = true}, UdpSocket::Options{.reuse_port = true}}) {
      const UdpSocket first =
          expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0), shared));
      const SocketAddress address = expect_value(first.local_address());
      expect_error(UdpSocket::bind(address), errno_code(EADDRINUSE));
      expect_ok(UdpSocket::bind(address, shared));
    }
  });
}

TEST_P(OptionsTest, AnIpv6WildcardTakesIpv4UnlessToldNotTo) {
  run([] {
    for (const bool ipv6_only : {false, true}) {
      auto bound =
          TcpListener::bind(expect_value(SocketAddress::parse("[::]:0")), {.ipv6_only = ipv6_only});
      if (!bound) return;  // No IPv6 here.
      const std::uint16_t port = expect_value(bound->local_address()).port();
      const auto client = TcpStream::connect(SocketAddress::ipv4_loopback(port), patience());
      if (ipv6_only) {
        expect_error(client, errno_code(ECONNREFUSED));
      } else {
        expect_ok(client);
        expect_ok(bound->accept(patience()));
      }
    }
  });
}

}  // namespace
}  // namespace rearm
