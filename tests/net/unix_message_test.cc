// Unix sockets that carry messages, and what all Unix sockets carry: descriptors, credentials.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "rearm/net/unix_datagram.h"
#include "rearm/net/unix_seqpacket.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::errno_code;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;

class UnixMessageTest : public test::WorkersTest {
 protected:
  test::SocketDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Net, UnixMessageTest, ::testing::Values(1, 2), test::workers_test_name);

// --- Datagrams. ---

TEST_P(UnixMessageTest, DatagramsComeWholeWithTheirSender) {
  const SocketAddress here = directory_.fresh();
  const SocketAddress there = directory_.fresh();
  run([&] {
    UnixDatagram a = expect_value(UnixDatagram::bind(here));
    UnixDatagram b = expect_value(UnixDatagram::bind(there));
    UnixDatagram nameless = expect_value(UnixDatagram::open());
    std::array<char, 4> buffer{};
    expect_ok(a.send_to("0123456789", there, patience()));
    const auto cut = expect_value(b.recv_from(buffer, patience()));
    EXPECT_EQ(cut.bytes, 4U);
    EXPECT_TRUE(cut.truncated);
    EXPECT_EQ(cut.from, here);
    expect_ok(b.send_to("", cut.from, patience()));
    EXPECT_EQ(expect_value(a.recv_from(buffer, patience())).bytes, 0U);
    expect_ok(nameless.connect(here));
    EXPECT_EQ(expect_value(nameless.peer_address()), here);
    expect_ok(nameless.send("hi", patience()));
    const auto hi = expect_value(a.recv_from(buffer, patience()));
    EXPECT_EQ(hi.bytes, 2U);
    EXPECT_EQ(hi.from.to_string(), hi.from.size() == 0 ? "unspecified" : "unix:");
    const std::array<Datagram::Outgoing, 2> both{
        {{.datagram = "1", .to = here}, {.datagram = "2", .to = here}}};
    EXPECT_GE(expect_value(b.send_batch(both, patience())), 1U);
    expect_error(UnixDatagram::bind(here), errno_code(EADDRINUSE));
    expect_error(UnixDatagram::bind(SocketAddress::ipv4_loopback(0)), Errc::kInvalidArgument);
    expect_error(a.send_to("x", directory_.fresh(), patience()), errno_code(ENOENT));
  });
}

// The kernel reports room to a connected sender alone; another one has to look again.
TEST_P(UnixMessageTest, ASenderWaitsUntilTheReceiverHasRoom) {
  const SocketAddress there = directory_.fresh();
  run([&] {
    UnixDatagram receiver = expect_value(UnixDatagram::bind(there));
    for (const bool is_connected : {true, false}) {
      UnixDatagram sender = expect_value(UnixDatagram::open());
      if (is_connected) expect_ok(sender.connect(there));
      const auto send = [&](Deadline deadline) {
        return is_connected ? sender.send("x", deadline) : sender.send_to("x", there, deadline);
      };
      // Full of what another sender has sent, to which the room for it is reported.
      UnixDatagram filler = expect_value(UnixDatagram::open());
      std::size_t sent = 0;
      while (filler.send_to("x", there, test::at_once())) ++sent;
      expect_error(send(test::at_once()), Errc::kTimedOut);
      expect_error(send(Deadline::after(3ms)), Errc::kTimedOut);
      expect_ok(sender.set_write_deadline(Deadline::after(3ms)));
      expect_error(send({}), Errc::kTimedOut);
      expect_error(send({}), Errc::kTimedOut);
      expect_ok(sender.set_write_deadline(Deadline::never()));
      auto waiting = spawn([&] { return send(patience()); });
      test::let_park();
      // What the kernel reports of each try in vain is no room.
      const std::uint64_t before = runtime().stats().switches;
      expect_ok(this_fiber::sleep_for(30ms));
      EXPECT_LT(runtime().stats().switches - before, 200U) << "it tries all the time";
      std::array<char, 4> buffer{};
      for (std::size_t i = 0; i <= sent; ++i) expect_ok(receiver.recv_from(buffer, patience()));
      expect_ok(waiting.join());
      expect_error(receiver.recv_from(buffer, test::at_once()), Errc::kTimedOut);
      while (filler.send_to("x", there, test::at_once())) {
      }
      auto closed = spawn([&] { return send(patience()); });
      test::let_park();
      expect_ok(sender.close());
      expect_error(closed.join(), Errc::kClosed);
      while (receiver.recv_from(buffer, test::at_once())) {
      }
    }
  });
}

// --- Connections that carry messages. ---

TEST_P(UnixMessageTest, MessagesOnAConnectionKeepTheirEnds) {
  const SocketAddress there = directory_.fresh();
  run([&] {
    auto bound = UnixSeqpacketListener::bind(there);
    if (!bound) return expect_error(bound, Errc::kNotSupported);  // macOS.
    UnixSeqpacket client = expect_value(UnixSeqpacket::connect(there, patience()));
    UnixSeqpacket server = expect_value(bound->accept(patience()));
    expect_error(bound->accept(test::at_once()), Errc::kTimedOut);
    EXPECT_EQ(expect_value(client.peer_address()), there);
    std::array<char, 4> buffer{};
    auto parked = spawn([&] {
      std::array<char, 4> own{};
      return server.recv(own, patience());
    });
    test::let_park();
    expect_ok(client.send("one", patience()));
    EXPECT_EQ(expect_value(parked.join()).bytes, 3U);
    expect_ok(client.send("longer", patience()));
    expect_ok(client.send("two", patience()));
    const auto cut = expect_value(server.recv(buffer, patience()));
    EXPECT_EQ(cut.bytes, 4U);
    EXPECT_TRUE(cut.truncated);
    const auto whole = expect_value(server.recv(buffer, patience()));
    EXPECT_EQ(std::string_view(buffer.data(), whole.bytes), "two");
    EXPECT_FALSE(whole.truncated);
    expect_error(server.recv(MutableBuffer(), patience()), Errc::kInvalidArgument);
    expect_error(client.send("", patience()), Errc::kInvalidArgument);
    while (client.send("fills", test::at_once())) {
    }
    expect_ok(client.shutdown(Shutdown::kWrite));
    for (;;) {
      const auto received = expect_value(server.recv(buffer, patience()));
      if (received.bytes == 0) break;
      EXPECT_EQ(received.bytes, 4U);
    }
    expect_ok(server.send("answer", patience()));
    expect_ok(client.recv(buffer, patience()));
    expect_ok(server.close());
    expect_error(client.send("x", patience()), errno_code(EPIPE));
  });
}

TEST_P(UnixMessageTest, PairsOfBothKindsAreConnected) {
  run([] {
    auto datagrams = expect_value(UnixDatagram::pair());
    std::array<char, 4> buffer{};
    expect_ok(datagrams.first.send("x", patience()));
    EXPECT_EQ(expect_value(datagrams.second.recv_from(buffer, patience())).bytes, 1U);
    const int number = expect_value(datagrams.first.release());
    expect_error(UnixStream::adopt(number), Errc::kInvalidArgument);
    expect_error(UnixSeqpacket::adopt(number), Errc::kInvalidArgument);
    expect_ok(UnixDatagram::adopt(number));
    auto packets = UnixSeqpacket::pair();
    if (!packets) return expect_error(packets, Errc::kNotSupported);
    expect_ok(packets->first.send("yz", patience()));
    EXPECT_EQ(expect_value(packets->second.recv(buffer, patience())).bytes, 2U);
    const int packet = expect_value(packets->first.release());
    expect_error(UnixDatagram::adopt(packet), Errc::kInvalidArgument);
    expect_ok(UnixSeqpacket::adopt(packet));
  });
}

// --- The peer. ---

TEST_P(UnixMessageTest, TheKernelSaysWhoThePeerIs) {
  run([] {
    const auto expect_us = [](const PeerCredentials& peer) {
      EXPECT_EQ(peer.user, ::geteuid());
      EXPECT_EQ(peer.group, ::getegid());
#if defined(__linux__)
      EXPECT_EQ(peer.process, ::getpid());
#endif
    };
    auto streams = expect_value(UnixStream::pair());
    expect_us(expect_value(streams.first.peer_credentials()));
    if (auto packets = UnixSeqpacket::pair()) {
      expect_us(expect_value(packets->second.peer_credentials()));
    }
    expect_ok(streams.first.close());
    expect_error(streams.first.peer_credentials(), Errc::kClosed);
  });
}

// --- Descriptors. ---

// Says `text` into the pipe whose end was sent, and expects to read it at the other.
void expect_same_pipe(int number, Stream& read_end, std::string_view text) {
  const test::UniqueFd owner(number);
  EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(::write(number, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  std::string got(text.size(), '\0');
  expect_ok(read_end.read_exact(got, patience()));
  EXPECT_EQ(got, text);
}

TEST_P(UnixMessageTest, AStreamTakesDescriptorsWithItsBytes) {
  run([] {
    auto [near, far] = expect_value(UnixStream::pair());
    Pipe pipe = expect_value(Pipe::create());
    const std::array<int, 1> ours{pipe.write_end.native_handle()};
    std::array<char, 16> bytes{};
    std::array<int, 4> numbers{-1, -1, -1, -1};
    auto parked = spawn([&] { return far.recv_descriptors(bytes, numbers, patience()); });
    test::let_park();
    EXPECT_EQ(expect_value(near.send_descriptors("with", ours, patience())), 4U);
    const auto received = expect_value(parked.join());
    EXPECT_EQ(std::string_view(bytes.data(), received.bytes), "with");
    ASSERT_EQ(received.descriptors, 1U);
    EXPECT_FALSE(received.descriptors_lost);
    EXPECT_EQ(numbers[1], -1);
    expect_same_pipe(numbers[0], pipe.read_end, "through it");
    // Bytes without any; and those of one call are not mixed with those of the next.
    expect_ok(near.write_all("plain", patience()));
    const auto plain = expect_value(far.recv_descriptors(bytes, numbers, patience()));
    EXPECT_EQ(plain.bytes, 5U);
    EXPECT_EQ(plain.descriptors, 0U);
    EXPECT_EQ(expect_value(near.send_descriptors("last", ours, patience())), 4U);
    EXPECT_EQ(expect_value(near.send_descriptors("next", ours, patience())), 4U);
    const auto last = expect_value(far.recv_descriptors(bytes, numbers, patience()));
    EXPECT_EQ(last.bytes, 4U);
    ASSERT_EQ(last.descriptors, 1U);
    expect_same_pipe(numbers[0], pipe.read_end, "once");
    const auto next = expect_value(far.recv_descriptors(bytes, numbers, patience()));
    EXPECT_EQ(next.bytes, 4U);
    ASSERT_EQ(next.descriptors, 1U);
    expect_same_pipe(numbers[0], pipe.read_end, "again");
    expect_error(near.send_descriptors("", ours, patience()), Errc::kInvalidArgument);
    expect_error(far.recv_descriptors(MutableBuffer(), numbers, patience()),
                 Errc::kInvalidArgument);
    expect_error(
        near.send_descriptors("x", std::vector<int>(kMostDescriptors + 1, ours[0]), patience()),
        Errc::kInvalidArgument);
    const std::array<int, 1> closed{-1};
    expect_error(near.send_descriptors("x", closed, patience()), errno_code(EBADF));
    expect_ok(near.close());
    EXPECT_EQ(expect_value(far.recv_descriptors(bytes, numbers, patience())).bytes, 0U);
  });
}

// More than there is room for are closed, and said to be lost; what is read plainly closes them.
TEST_P(UnixMessageTest, DescriptorsWithoutRoomAreClosed) {
  run([] {
    auto [near, far] = expect_value(UnixStream::pair());
    for (const std::size_t room : {0U, 1U, 2U}) {
      Pipe pipe = expect_value(Pipe::create());
      const std::vector<int> three(3, pipe.write_end.native_handle());
      EXPECT_EQ(expect_value(near.send_descriptors("x", three, patience())), 1U);
      std::array<char, 4> bytes{};
      std::vector<int> numbers(room, -1);
      const auto received = expect_value(far.recv_descriptors(bytes, numbers, patience()));
      EXPECT_EQ(received.bytes, 1U);
      EXPECT_EQ(received.descriptors, room);
      EXPECT_TRUE(received.descriptors_lost);
      for (const int number : numbers) test::UniqueFd owner(number);
      // Nobody has the writing end any more: the pipe is at its end.
      expect_ok(pipe.write_end.close());
      EXPECT_EQ(expect_value(pipe.read_end.read_some(bytes, patience())), 0U);
    }
    Pipe pipe = expect_value(Pipe::create());
    const std::array<int, 1> one{pipe.write_end.native_handle()};
    EXPECT_EQ(expect_value(near.send_descriptors("x", one, patience())), 1U);
    std::array<char, 4> bytes{};
    EXPECT_EQ(expect_value(far.read_some(bytes, patience())), 1U);
    expect_ok(pipe.write_end.close());
    EXPECT_EQ(expect_value(pipe.read_end.read_some(bytes, patience())), 0U);
  });
}

TEST_P(UnixMessageTest, AsManyDescriptorsAsThereMayBeArePassed) {
  run([] {
    auto [near, far] = expect_value(UnixStream::pair());
    Pipe pipe = expect_value(Pipe::create());
    const std::vector<int> many(kMostDescriptors, pipe.write_end.native_handle());
    EXPECT_EQ(expect_value(near.send_descriptors("x", many, patience())), 1U);
    std::array<char, 4> bytes{};
    std::vector<int> numbers(kMostDescriptors + 10, -1);
    const auto received = expect_value(far.recv_descriptors(bytes, numbers, patience()));
    EXPECT_EQ(received.descriptors, kMostDescriptors);
    EXPECT_FALSE(received.descriptors_lost);
    for (std::size_t i = 0; i < received.descriptors; ++i) test::UniqueFd owner(numbers[i]);
  });
}

TEST_P(UnixMessageTest, MessagesTakeDescriptorsToo) {
  run([] {
    Pipe pipe = expect_value(Pipe::create());
    const std::array<int, 1> ours{pipe.write_end.native_handle()};
    std::array<char, 4> bytes{};
    std::array<int, 2> numbers{};
    auto datagrams = expect_value(UnixDatagram::pair());
    expect_ok(datagrams.first.send_descriptors("longer", ours, patience()));
    const auto got = expect_value(datagrams.second.recv_descriptors(bytes, numbers, patience()));
    EXPECT_EQ(got.bytes, 4U);
    EXPECT_TRUE(got.truncated);
    ASSERT_EQ(got.descriptors, 1U);
    expect_same_pipe(numbers[0], pipe.read_end, "datagram");
    auto packets = UnixSeqpacket::pair();
    if (!packets) return expect_error(packets, Errc::kNotSupported);
    expect_ok(packets->first.send_descriptors("x", ours, patience()));
    const auto packet = expect_value(packets->second.recv_descriptors(bytes, numbers, patience()));
    EXPECT_EQ(packet.bytes, 1U);
    ASSERT_EQ(packet.descriptors, 1U);
    expect_same_pipe(numbers[0], pipe.read_end, "packet");
  });
}

// --- Paths that are left. ---

bool exists(const SocketAddress& address) {
  struct stat status{};
  return ::lstat(address.to_string().substr(5).c_str(), &status) == 0;
}

TEST_P(UnixMessageTest, APathThatAServerLeftIsTakenOver) {
  const SocketAddress path = directory_.fresh();
  run([&] {
    expect_ok(expect_value(UnixListener::bind(path)).close());
    EXPECT_TRUE(exists(path));
    expect_error(UnixListener::bind(path), errno_code(EADDRINUSE));
    UnixListener second = expect_value(UnixListener::bind(path, {.remove_stale = true}));
    const UnixStream client = expect_value(UnixStream::connect(path, patience()));
    expect_ok(second.accept(patience()));
    // And of one kind by the other.
    expect_ok(second.close());
    UnixDatagram receiver = expect_value(UnixDatagram::bind(path, {.remove_stale = true}));
    UnixDatagram sender = expect_value(UnixDatagram::open());
    expect_ok(sender.send_to("x", path, patience()));
    expect_ok(receiver.close());
    expect_ok(UnixSeqpacketListener::bind(path, {.remove_stale = true}));
  });
}

TEST_P(UnixMessageTest, APathThatIsInUseStays) {
  const SocketAddress path = directory_.fresh();
  const SocketAddress datagrams = directory_.fresh();
  const std::string file = directory_.fresh_path();
  std::ofstream(file) << "precious";
  run([&] {
    const UnixListener::Options take_over{.backlog = 0, .remove_stale = true};
    UnixListener living = expect_value(UnixListener::bind(path, take_over));
    const UnixDatagram receiver = expect_value(UnixDatagram::bind(datagrams));
    std::vector<UnixStream> filling;
    for (int i = 0; i < 3; ++i) {
      // Alive with room in its backlog, and when that is full.
      expect_error(UnixListener::bind(path, take_over), errno_code(EADDRINUSE));
      auto stream = UnixStream::connect(path, test::at_once());
      if (stream) filling.push_back(std::move(*stream));
    }
    expect_error(UnixDatagram::bind(path, {.remove_stale = true}), errno_code(EADDRINUSE));
    expect_error(UnixDatagram::bind(datagrams, {.remove_stale = true}), errno_code(EADDRINUSE));
    expect_error(UnixListener::bind(datagrams, take_over), errno_code(EADDRINUSE));
    EXPECT_TRUE(exists(path));
    EXPECT_TRUE(exists(datagrams));
    expect_error(UnixListener::bind(expect_value(SocketAddress::unix_path(file)), take_over),
                 errno_code(EADDRINUSE));
    std::string content;
    std::ifstream(file) >> content;
    EXPECT_EQ(content, "precious");
    expect_ok(living.accept(patience()));
#if defined(__linux__)
    const auto name = expect_value(
        SocketAddress::unix_path("@rearm-" + std::to_string(::getpid()) + path.to_string()));
    const auto abstract = expect_value(UnixListener::bind(name, take_over));
    expect_error(UnixListener::bind(name, take_over), errno_code(EADDRINUSE));
#endif
  });
}

}  // namespace
}  // namespace rearm
