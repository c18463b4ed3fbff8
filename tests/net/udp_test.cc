// Datagrams.
#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::errno_code;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;

class UdpTest : public test::WorkersTest {
 protected:
  static UdpSocket bound() {
    return expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
  }
};

INSTANTIATE_TEST_SUITE_P(Net, UdpTest, ::testing::Values(1, 2), test::workers_test_name);

TEST_P(UdpTest, ADatagramComesWithItsSender) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    const SocketAddress server_address = expect_value(server.local_address());
    auto echo = spawn([&server] {
      std::array<char, 64> buffer{};
      const auto received = expect_value(server.recv_from(buffer, patience()));
      expect_ok(
          server.send_to(ConstBuffer(buffer.data(), received.bytes), received.from, patience()));
    });
    expect_ok(client.send_to("datagram", server_address, patience()));
    std::array<char, 64> buffer{};
    const auto received = expect_value(client.recv_from(buffer, patience()));
    EXPECT_EQ(std::string_view(buffer.data(), received.bytes), "datagram");
    EXPECT_FALSE(received.truncated);
    EXPECT_EQ(received.from, server_address);
    echo.join();
  });
}

TEST_P(UdpTest, ALongDatagramIsCutAndSaysSo) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    const SocketAddress address = expect_value(server.local_address());
    expect_ok(client.send_to("0123456789", address, patience()));
    expect_ok(client.send_to("next", address, patience()));
    std::array<char, 4> buffer{};
    const auto cut = expect_value(server.recv_from(buffer, patience()));
    EXPECT_EQ(cut.bytes, 4U);
    EXPECT_TRUE(cut.truncated);
    const auto whole = expect_value(server.recv_from(buffer, patience()));
    EXPECT_EQ(std::string_view(buffer.data(), whole.bytes), "next");
    EXPECT_FALSE(whole.truncated);
  });
}

TEST_P(UdpTest, AnEmptyDatagramIsADatagram) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    expect_ok(client.send_to("", expect_value(server.local_address()), patience()));
    std::array<char, 4> buffer{};
    const auto received = expect_value(server.recv_from(buffer, patience()));
    EXPECT_EQ(received.bytes, 0U);
    EXPECT_EQ(received.from, expect_value(client.local_address()));
  });
}

TEST_P(UdpTest, AnImpossibleDatagramIsRefused) {
  run([] {
    UdpSocket client = bound();
    const std::string huge(70'000, 'h');
    expect_error(client.send_to(huge, SocketAddress::ipv4_loopback(9), patience()),
                 errno_code(EMSGSIZE));
  });
}

TEST_P(UdpTest, AConnectedSocketLearnsThatNobodyListens) {
  run([] {
    UdpSocket gone = bound();
    const SocketAddress nobody = expect_value(gone.local_address());
    expect_ok(gone.close());
    UdpSocket client = bound();
    expect_ok(client.connect(nobody));
    EXPECT_EQ(expect_value(client.peer_address()), nobody);
    expect_ok(client.send("anybody?", patience()));
    std::array<char, 4> buffer{};
    expect_error(client.recv_from(buffer, patience()), errno_code(ECONNREFUSED));
  });
}

TEST_P(UdpTest, ReceivingHasADeadlineAndIsClosed) {
  run([] {
    UdpSocket socket = bound();
    std::array<char, 4> buffer{};
    expect_error(socket.recv_from(buffer, Deadline::after(3ms)), Errc::kTimedOut);
    expect_error(socket.recv_from(buffer, Deadline::after(-1s)), Errc::kTimedOut);
    auto parked = spawn([&socket] {
      std::array<char, 4> own{};
      return socket.recv_from(own, patience());
    });
    test::let_park();
    auto behind = spawn([&socket] {
      std::array<char, 4> own{};
      return socket.recv_from(own, patience());
    });
    test::let_park();
    expect_error(socket.recv_from(buffer, Deadline::after(1ms)), Errc::kTimedOut);
    expect_ok(socket.close());
    expect_error(parked.join(), Errc::kClosed);
    expect_error(behind.join(), Errc::kClosed);
    expect_error(socket.send_to("x", SocketAddress::ipv4_loopback(9)), Errc::kClosed);
  });
}

TEST_P(UdpTest, ReceiversStandInLineFirstComeFirstServed) {
  run([] {
    UdpSocket socket = bound();
    UdpSocket sender = bound();
    const SocketAddress address = expect_value(socket.local_address());
    std::vector<JoinHandle<char>> receivers;
    for (int i = 0; i < 6; ++i) {
      receivers.push_back(spawn([&] {
        char byte = 0;
        expect_ok(socket.recv_from(MutableBuffer(&byte, 1), patience()));
        return byte;
      }));
      test::let_park();
    }
    for (const char name : {'a', 'b', 'c', 'd', 'e', 'f'}) {
      expect_ok(sender.send_to(ConstBuffer(&name, 1), address, patience()));
    }
    for (int i = 0; i < 6; ++i) EXPECT_EQ(receivers[static_cast<std::size_t>(i)].join(), 'a' + i);
  });
}

// A datagram socket is waited for by one that does not take turns, too.
TEST_P(UdpTest, AReceiverThatStandsBehindAWaitIsServedAfterIt) {
  run([] {
    UdpSocket socket = bound();
    UdpSocket sender = bound();
    auto waiting = spawn([&] { return socket.wait_readable(patience()); });
    test::let_park();
    auto receiving = spawn([&] {
      char byte = 0;
      return socket.recv_from(MutableBuffer(&byte, 1), patience());
    });
    test::let_park();
    expect_ok(sender.send_to("x", expect_value(socket.local_address()), patience()));
    expect_ok(waiting.join());
    expect_ok(receiving.join());
  });
}

TEST_P(UdpTest, TwoSendersShareASocketAndNoDatagramIsMixed) {
  run([] {
    UdpSocket server = bound();
    UdpSocket client = bound();
    const SocketAddress address = expect_value(server.local_address());
    constexpr int kEach = 100;
    const auto send = [&](char letter) {
      return spawn([&client, address, letter] {
        for (int i = 0; i < kEach; ++i) {
          expect_ok(client.send_to(std::string(100, letter), address, patience()));
          this_fiber::yield();
        }
      });
    };
    auto first = send('a');
    auto second = send('b');
    std::array<char, 200> buffer{};
    std::array<int, 2> count{};
    // Loopback drops what its buffer cannot hold, so not every one must come.
    for (;;) {
      const auto received = server.recv_from(buffer, Deadline::after(100ms));
      if (!received) break;
      ASSERT_EQ(received->bytes, 100U);
      EXPECT_EQ(std::string_view(buffer.data(), 100), std::string(100, buffer[0]));
      ++count.at(static_cast<std::size_t>(buffer[0] - 'a'));
    }
    first.join();
    second.join();
    EXPECT_GT(count[0], 0);
    EXPECT_GT(count[1], 0);
  });
}

// One waiter's deadline must not end another's wait. A parks with a deadline, is woken, and before
// it gets to run B parks in its place and A's deadline passes. Two hogs hold the workers so that it
// happens in this order: both must be let go for A to run.
TEST(UdpSharing, ADeadlineEndsOnlyItsOwnWait) {
  Runtime runtime({.workers = 2});
  runtime.run([] {
    UdpSocket socket = expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
    std::atomic<bool> hogging{false};
    std::atomic<bool> release{false};
    const auto hold = [](std::atomic<bool>& until, std::chrono::milliseconds longest) {
      const auto start = std::chrono::steady_clock::now();
      while (!until.load() && test::since(start) < longest) {
      }
    };
    auto hog = spawn([&] {
      hogging.store(true);
      hold(release, 60ms);
    });
    auto displaces = spawn([] {});  // The hog is now where the other worker finds it.
    const auto start = std::chrono::steady_clock::now();
    while (!hogging.load() && test::since(start) < test::kPatience) std::this_thread::yield();
    EXPECT_TRUE(hogging.load());
    const Deadline soon = Deadline::after(30ms);
    auto first = spawn([&] {
      std::array<char, 4> buffer{};
      return socket.recv_from(buffer, soon);
    });
    this_fiber::yield();
    expect_ok(socket.set_deadline(Deadline::never()));  // Wakes it for nothing.
    auto second = spawn([&] {
      auto holder = spawn([&] { hold(release, 100ms); });
      std::array<char, 4> buffer{};
      const auto received = socket.recv_from(buffer, Deadline::after(10s));
      holder.join();
      return received;
    });
    expect_error(first.join(), Errc::kTimedOut);
    release.store(true);
    UdpSocket sender = expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
    expect_ok(sender.send_to("x", expect_value(socket.local_address())));
    const auto received = second.join();
    EXPECT_TRUE(received) << received.error().message();
    hog.join();
    displaces.join();
  });
}

// Race: several receivers with all kinds of deadlines, which take each other's place in the wait,
// against a sender. Forbidden: a wait that ends before its deadline, or never.
TEST_P(UdpTest, ReceiversThatTakeTurnsDoNotDisturbEachOther) {
  const std::uint64_t datagrams = test::scaled(test::kSanitized ? 300 : 3000);
  run([&] {
    UdpSocket socket = bound();
    UdpSocket sender = bound();
    const SocketAddress address = expect_value(socket.local_address());
    std::atomic<bool> stop{false};
    std::vector<JoinHandle<void>> receivers;
    for (const auto timeout : {50us, 90us, 20'000'000us}) {
      receivers.push_back(spawn([&, timeout] {
        std::array<char, 4> buffer{};
        while (!stop.load()) {
          const auto start = std::chrono::steady_clock::now();
          const auto received = socket.recv_from(buffer, Deadline::after(timeout));
          if (received || received.error() == Errc::kClosed) continue;
          EXPECT_EQ(received.error(), Errc::kTimedOut);
          EXPECT_GE(test::since(start), timeout) << "ended by somebody else's deadline";
        }
      }));
    }
    for (std::uint64_t i = 0; i < datagrams; ++i) {
      expect_ok(sender.send_to("x", address, patience()));
      if (i % 3 == 0) (void)this_fiber::sleep_for(std::chrono::microseconds(30 + i % 70));
    }
    stop.store(true);
    expect_ok(socket.close());
    for (auto& receiver : receivers) receiver.join();
  });
}

}  // namespace
}  // namespace rearm
