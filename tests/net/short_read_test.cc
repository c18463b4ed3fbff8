// The short-read rule (src/net/fd_access.h): after a read that did not fill its buffer the next one
// waits without asking the kernel. Here is everything that could make such a wait miss something:
// a read that waits in vain is a failure.
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "net/net_fixture.h"
#include "net/transfer.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;

class ShortReadTest : public test::WorkersTest {
 protected:
  // A stream of ours whose peer is a plain descriptor.
  struct Mixed {
    TcpStream ours;
    test::UniqueFd peer;
  };
  static Mixed mixed() {
    test::FdPair pair = test::tcp_pair();
    return {.ours = expect_value(TcpStream::adopt(pair.a.release())), .peer = std::move(pair.b)};
  }

  // Reads into more room than there is data. A read that sleeps over data takes it when its time is
  // up: so that it comes late is the failure.
  static std::string read(Stream& fd, Deadline deadline = patience()) {
    std::array<char, 256> buffer{};
    const std::size_t n = expect_value(fd.read_some(buffer, deadline));
    if (!deadline.is_immediate()) {
      EXPECT_LT(Deadline::now().ns(), deadline.ns()) << "a read waited in vain";
    }
    return {buffer.data(), n};
  }
};

INSTANTIATE_TEST_SUITE_P(Net, ShortReadTest, ::testing::Values(1, 2), test::workers_test_name);

TEST_P(ShortReadTest, TheNextDataIsSeenWhetherItCameBeforeOrAfterTheWait) {
  run([] {
    auto [ours, peer] = mixed();
    for (int i = 0; i < 20; ++i) {
      test::send_text(peer.get(), "one");
      EXPECT_EQ(read(ours), "one");
      if (i % 2 == 0) test::send_text(peer.get(), "two");  // The report waits in the kernel.
      auto later = spawn([&peer, i] {
        if (i % 2 == 0) return;
        test::let_park();
        test::send_text(peer.get(), "two");
      });
      EXPECT_EQ(read(ours), "two");
      later.join();
    }
  });
}

// Between the report and the read more data arrives: the read takes it all, the second report is
// then stale.
TEST_P(ShortReadTest, DataBetweenTheReportAndTheReadIsTakenWithIt) {
  run([] {
    auto [ours, peer] = mixed();
    for (int i = 0; i < 50; ++i) {
      test::send_text(peer.get(), "a");
      expect_ok(ours.wait_readable(patience()));
      test::send_text(peer.get(), "b");
      std::string text = read(ours);
      while (text.size() < 2) text += read(ours);
      EXPECT_EQ(text, "ab");
      test::send_text(peer.get(), "c");
      EXPECT_EQ(read(ours), "c");
    }
  });
}

TEST_P(ShortReadTest, AHalfCloseRightBehindTheDataIsSeen) {
  run([] {
    for (int i = 0; i < 50; ++i) {
      auto [ours, peer] = mixed();
      const bool parked = i % 2 == 0;
      auto sender = spawn([&peer, parked] {
        if (parked) test::let_park();
        test::send_text(peer.get(), "last");
        ::shutdown(peer.get(), SHUT_WR);
      });
      EXPECT_EQ(read(ours), "last");
      EXPECT_EQ(read(ours), "");
      EXPECT_EQ(read(ours), "");
      expect_ok(ours.write_all("still open", patience()));  // The other direction goes on.
      sender.join();
    }
  });
}

TEST_P(ShortReadTest, AHalfCloseBetweenTheReportAndTheReadIsSeen) {
  run([] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "data");
    expect_ok(ours.wait_readable(patience()));
    ::shutdown(peer.get(), SHUT_WR);
    EXPECT_EQ(read(ours), "data");
    EXPECT_EQ(read(ours), "");
  });
}

TEST_P(ShortReadTest, AHalfCloseAfterTheShortReadIsSeen) {
  run([] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "data");
    EXPECT_EQ(read(ours), "data");
    auto closer = spawn([&peer] {
      test::let_park();
      ::shutdown(peer.get(), SHUT_WR);
    });
    EXPECT_EQ(read(ours), "");
    closer.join();
  });
}

TEST_P(ShortReadTest, AResetBehindTheDataIsSeen) {
  run([] {
    for (const bool parked : {false, true}) {
      auto [ours, peer] = mixed();
      test::send_text(peer.get(), "data");
      EXPECT_EQ(read(ours), "data");
      auto closer = spawn([&peer, parked] {
        if (parked) test::let_park();
        test::close_with_reset(std::move(peer));
      });
      std::array<char, 16> buffer{};
      expect_error(ours.read_some(buffer, patience()), test::errno_code(ECONNRESET));
      closer.join();
    }
  });
}

// tcp(7): a read stops at the urgent mark, so a short read does not mean that there is no more.
TEST_P(ShortReadTest, DataBehindTheUrgentMarkIsRead) {
  run([] {
    for (const bool one_by_one : {false, true}) {
      auto [ours, peer] = mixed();
      auto sender = spawn([&peer, one_by_one] {
        test::send_text(peer.get(), "before");
        if (one_by_one) test::let_park();
        EXPECT_EQ(::send(peer.get(), "!", 1, MSG_OOB), 1);
        if (one_by_one) test::let_park();
        test::send_text(peer.get(), "behind");
      });
      std::string text;
      while (text.size() < 12 && !::testing::Test::HasFailure()) text += read(ours);
      EXPECT_EQ(text, "beforebehind");
      // And again, once the urgent data is over.
      test::send_text(peer.get(), "later");
      EXPECT_EQ(read(ours), "later");
      sender.join();
    }
  });
}

TEST_P(ShortReadTest, UrgentDataBetweenTheReportAndTheReadIsPassed) {
  run([] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "ab");
    expect_ok(ours.wait_readable(patience()));
    EXPECT_EQ(::send(peer.get(), "!", 1, MSG_OOB), 1);
    test::send_text(peer.get(), "cd");
    std::string text;
    while (text.size() < 4 && !::testing::Test::HasFailure()) text += read(ours);
    EXPECT_EQ(text, "abcd");
  });
}

// Deadline::immediate(): take what is there now.
TEST_P(ShortReadTest, WhatIsThereIsTakenByAReadThatDoesNotWait) {
  run([] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "one");
    EXPECT_EQ(read(ours), "one");
    test::send_text(peer.get(), "two");
    EXPECT_EQ(read(ours, test::at_once()), "two");
    std::array<char, 8> buffer{};
    expect_error(ours.read_some(buffer, test::at_once()), Errc::kTimedOut);
    test::send_text(peer.get(), "three");
    EXPECT_EQ(read(ours), "three");
  });
}

TEST_P(ShortReadTest, WhatIsThereIsTakenEvenWhileTheRuntimeStops) {
  run([this] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "one");
    EXPECT_EQ(read(ours), "one");
    test::send_text(peer.get(), "two");
    runtime().request_stop();
    EXPECT_EQ(read(ours), "two");
    std::array<char, 8> buffer{};
    expect_error(ours.read_some(buffer, patience()), Errc::kCancelled);
  });
}

// A read of a vector goes by the rule, too.
TEST_P(ShortReadTest, VectorsAndPlainReadsMix) {
  run([] {
    auto [ours, peer] = mixed();
    std::array<char, 2> first{};
    std::array<char, 8> second{};
    const std::array<MutableBuffer, 2> both{MutableBuffer(first), MutableBuffer(second)};
    for (int i = 0; i < 10; ++i) {
      test::send_text(peer.get(), "abc");
      EXPECT_EQ(expect_value(ours.readv(both, patience())), 3U);
      test::send_text(peer.get(), "d");
      EXPECT_EQ(read(ours), "d");
    }
  });
}

// unix(7): a read stops where descriptors are attached.
TEST_P(ShortReadTest, AUnixReadThatStopsAtDescriptorsIsNotTheEnd) {
  run([] {
    test::FdPair pair = test::socket_pair();
    UnixStream ours = expect_value(UnixStream::adopt(pair.a.release()));
    test::send_text(pair.b.get(), "first");
    EXPECT_EQ(read(ours), "first");
    // All of it has one report, if the next read waits for one.
    test::send_text(pair.b.get(), "plain");
    iovec vector{.iov_base = const_cast<char*>("passed"), .iov_len = 6};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int passed = pair.b.get();
    std::memcpy(CMSG_DATA(header), &passed, sizeof(passed));
    EXPECT_EQ(::sendmsg(pair.b.get(), &message, 0), 6);
    test::send_text(pair.b.get(), "tail");
    std::string text;
    while (text.size() < 15 && !::testing::Test::HasFailure()) text += read(ours);
    EXPECT_EQ(text, "plainpassedtail");
  });
}

// A wait that is not followed by a read has taken the report that the next read would wait for.
TEST_P(ShortReadTest, AReadAfterAWaitTakesWhatTheWaitWasToldOf) {
  run([] {
    auto [ours, peer] = mixed();
    for (int i = 0; i < 20; ++i) {
      test::send_text(peer.get(), "one");
      EXPECT_EQ(read(ours), "one");
      test::send_text(peer.get(), "two");
      expect_ok(ours.wait_readable(patience()));
      EXPECT_EQ(read(ours), "two");
    }
  });
}

// socket(7), SO_RCVLOWAT: nothing is reported until there is as much, but a read takes less.
TEST_P(ShortReadTest, WhoAsksForTheNumberHasEveryReadMade) {
  run([] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "a short read before");
    EXPECT_EQ(read(ours), "a short read before");
    const int mark = 100;
    ASSERT_EQ(::setsockopt(ours.native_handle(), SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)), 0);
    for (int i = 0; i < 3; ++i) {
      test::send_text(peer.get(), "little");
      EXPECT_TRUE(test::eventually([&] {
        char byte = 0;
        return ::recv(ours.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
      }));
      EXPECT_EQ(read(ours), "little");
    }
  });
}

TEST_P(ShortReadTest, WhoSetsAnOptionHasEveryReadMade) {
  run([] {
    auto [ours, peer] = mixed();
    test::send_text(peer.get(), "a short read before");
    EXPECT_EQ(read(ours), "a short read before");
    expect_ok(ours.set_option(SOL_SOCKET, SO_RCVLOWAT, 100));
    test::send_text(peer.get(), "little");
    // Nothing tells when it is there without a number, which would turn the rule off itself.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(read(ours, Deadline::after(std::chrono::seconds(1))), "little");
  });
}

// A pair of sockets over loopback, of this protocol.
test::FdPair pair_of(int protocol) {
  const test::UniqueFd listener(::socket(AF_INET, SOCK_STREAM, protocol));
  if (listener.get() < 0) return {};
  const sockaddr_in address = test::bind_to_loopback(listener.get());
  (void)test::require(::listen(listener.get(), 1), "listen");
  test::FdPair pair;
  pair.a = test::UniqueFd(test::require(::socket(AF_INET, SOCK_STREAM, protocol), "socket"));
  test::connect_to(pair.a.get(), address);
  pair.b = test::UniqueFd(test::require(::accept(listener.get(), nullptr, nullptr), "accept"));
  return pair;
}

constexpr auto kRule = detail::FdAccess::kShortReadDrains;

TEST(StreamTraits, TheRuleIsForTcpAlone) {
  const test::FdPair tcp = test::tcp_pair();
  EXPECT_EQ(detail::stream_traits(tcp.a.get()) & kRule, kRule);
  EXPECT_EQ(detail::stream_traits(tcp.b.get()) & kRule, kRule);
  // Where the kernel has them: streams that TcpStream::adopt() takes, and whose reads stop at
  // records, or are another layer's.
  int there = 0;
  for (const int protocol : {132 /* SCTP */, 262 /* MPTCP */}) {
    const test::FdPair other = pair_of(protocol);
    if (other.a.get() < 0) continue;
    ++there;
    EXPECT_EQ(detail::stream_traits(other.a.get()) & kRule, 0) << protocol;
    EXPECT_EQ(detail::stream_traits(other.b.get()) & kRule, 0) << protocol;
  }
#if defined(TCP_ULP)
  if (::setsockopt(tcp.a.get(), IPPROTO_TCP, TCP_ULP, "tls", 3) == 0) {
    ++there;
    EXPECT_EQ(detail::stream_traits(tcp.a.get()) & kRule, 0) << "tls";
  }
#endif
  std::printf("layers beside TCP that this kernel has: %d\n", there);
}

// What is accepted is of the listener's protocol.
TEST_P(ShortReadTest, WhatAnAdoptedListenerAcceptsGoesByItsProtocol) {
  run([] {
    for (const int protocol : {0, 262 /* MPTCP */}) {
      test::UniqueFd number(::socket(AF_INET, SOCK_STREAM, protocol));
      if (number.get() < 0) continue;
      const sockaddr_in address = test::bind_to_loopback(number.get());
      (void)test::require(::listen(number.get(), 1), "listen");
      TcpListener listener = expect_value(TcpListener::adopt(number.release()));
      const test::UniqueFd peer(test::require(::socket(AF_INET, SOCK_STREAM, protocol), "socket"));
      test::connect_to(peer.get(), address);
      const TcpStream ours = expect_value(listener.accept(patience()));
      EXPECT_EQ(detail::FdAccess::has_trait(ours, kRule), protocol == 0);
    }
  });
}

// One call transfers a part of what is large: what it reads is measured by that.
using TransferTest = test::RuntimeTest;

TEST_F(TransferTest, OneCallTakesWhatFitsIntoIt) {
  using detail::kLargestPart;
  using detail::one_transfer;
  char byte = 0;
  const auto of = [&byte](std::size_t size) { return ConstBuffer(&byte, size); };
  const auto expect = [](std::vector<ConstBuffer> buffers, std::size_t at, std::size_t count,
                         std::size_t bytes) {
    const auto transfer = one_transfer(std::span<const ConstBuffer>(buffers));
    EXPECT_EQ(transfer.at, at);
    EXPECT_EQ(transfer.count, count);
    EXPECT_EQ(transfer.bytes, bytes);
  };
  expect({}, 0, 0, 0);
  expect({of(0), of(0)}, 2, 0, 0);
  expect({of(0), of(3), of(0), of(4)}, 1, 3, 7);
  expect({of(kLargestPart)}, 0, 1, kLargestPart);
  expect({of(kLargestPart + 1)}, 0, 1, kLargestPart);
  expect({of(1), of(kLargestPart)}, 0, 1, kLargestPart);  // The second one is cut.
  EXPECT_EQ(one_transfer(std::span<const ConstBuffer>(std::vector{of(1), of(kLargestPart)})).cut,
            kLargestPart - 1);
  expect({of(1), of(kLargestPart - 1), of(1)}, 0, 2, kLargestPart);
  expect(std::vector<ConstBuffer>(IOV_MAX + 1, of(1)), 0, IOV_MAX, IOV_MAX);
}

// What the headers of Stream promise, where the system would take and give more in one call: that
// is what keeps a deadline from being looked at, and other fibers from running.
TEST_F(TransferTest, OneCallMovesAMegabyteAtMost) {
  run([] {
    constexpr std::size_t kMost = std::size_t{1} << 20;
    auto [writer, reader] = expect_value(UnixStream::pair());
#if defined(SO_SNDBUFFORCE)
    // Room for all of it, where the test may: then the system would take it in one call for sure.
    const int bytes = 16 << 20;
    ::setsockopt(writer.native_handle(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
#endif
    const std::string much(4 * kMost, 'm');
    auto writing = spawn([&writer, &much] {
      std::size_t most = 0;
      for (int i = 0; i < 8; ++i) {
        most = std::max(most, expect_value(writer.write_some(much, patience())));
      }
      expect_ok(writer.close());
      return most;
    });
    test::let_park();
    std::string into(much.size(), '\0');
    for (std::size_t n = 1; n != 0;) {
      n = expect_value(reader.read_some(into, patience()));
      EXPECT_LE(n, kMost);
    }
    EXPECT_LE(writing.join(), kMost);
  });
}

#if defined(__linux__)

// pipe(7), O_DIRECT: a read ends where a write ended.
TEST_P(ShortReadTest, PacketsOfAPipeAreReadOneByOne) {
  run([] {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
    Stream ours = expect_value(Stream::adopt(ends[0]));
    const test::UniqueFd peer(ends[1]);
    for (const char* const packet : {"one", "two", "three"}) test::send_text(peer.get(), packet);
    EXPECT_EQ(read(ours), "one");
    EXPECT_EQ(read(ours), "two");
    EXPECT_EQ(read(ours), "three");
  });
}

#endif

// The rule is TCP's own: other sockets that say they are streams do not get in.
TEST_P(ShortReadTest, OnlyTcpSocketsBecomeTcpStreams) {
  run([] {
    const test::FdPair unix_pair = test::socket_pair();
    expect_error(TcpStream::adopt(unix_pair.a.get()), Errc::kInvalidArgument);
    expect_error(TcpListener::adopt(unix_pair.a.get()), Errc::kInvalidArgument);
    expect_error(UdpSocket::adopt(unix_pair.a.get()), Errc::kInvalidArgument);
    const test::FdPair tcp = test::tcp_pair();
    expect_error(UnixStream::adopt(tcp.a.get()), Errc::kInvalidArgument);
    expect_error(UnixListener::adopt(tcp.a.get()), Errc::kInvalidArgument);
    expect_error(UdpSocket::adopt(tcp.a.get()), Errc::kInvalidArgument);
    const test::FdPair pipe = test::pipe_pair();
    expect_error(TcpStream::adopt(pipe.a.get()), Errc::kInvalidArgument);
    const test::FdPair datagrams = test::socket_pair(SOCK_DGRAM);
    expect_error(UdpSocket::adopt(datagrams.a.get()), Errc::kInvalidArgument);
  });
}

// A plain thread sends pieces, ends and resets at random moments, against a reader that always has
// room for more. Forbidden: a piece, or the end, that the reader waits for in vain.
TEST_P(ShortReadTest, NothingIsMissedAtRandomMoments) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 20 : 150);
  run([&] {
    for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
      auto [ours, peer] = mixed();
      std::size_t sent = 0;
      std::thread sender([&, round] {
        for (std::uint64_t i = 0; i < 30; ++i) {
          const std::string piece(1 + (round + i) % 90, 'p');
          test::send_text(peer.get(), piece);
          sent += piece.size();
          if ((round + i) % 7 == 0) std::this_thread::sleep_for(20us);
        }
        ::shutdown(peer.get(), SHUT_WR);
      });
      std::size_t received = 0;
      for (;;) {
        const std::string piece = read(ours);
        if (piece.empty()) break;
        received += piece.size();
      }
      sender.join();
      EXPECT_EQ(received, sent);
    }
  });
}

}  // namespace
}  // namespace rearm
