// Reading and writing bytes, the same over every transport.
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
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

class StreamTest : public test::TransportTest {};

INSTANTIATE_TEST_SUITE_P(Net, StreamTest, test::kAllTransports, test::transport_test_name);

TEST_P(StreamTest, WhatIsWrittenIsRead) {
  run([] {
    auto [reader, writer, duplex] = ends();
    EXPECT_EQ(expect_value(writer.write_some("hello", patience())), 5U);
    std::array<char, 16> buffer{};
    EXPECT_EQ(expect_value(reader.read_some(buffer, patience())), 5U);
    EXPECT_EQ(std::string_view(buffer.data(), 5), "hello");
  });
}

TEST_P(StreamTest, AReadParksUntilSomethingComes) {
  run([] {
    auto [reader, writer, duplex] = ends();
    auto late = spawn([&] {
      test::let_park();
      expect_ok(writer.write_all("late", patience()));
    });
    std::array<char, 4> buffer{};
    expect_ok(reader.read_exact(buffer, patience()));
    EXPECT_EQ(std::string_view(buffer.data(), 4), "late");
    late.join();
  });
}

TEST_P(StreamTest, AWriteParksUntilThereIsRoom) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::size_t filled = 0;
    const std::vector<char> block(64 * 1024, 'f');
    for (;;) {
      const auto n = writer.write_some(block, test::at_once());
      if (!n) break;
      filled += *n;
    }
    auto parked = spawn([&] { return expect_value(writer.write_some("!", patience())); });
    test::let_park();
    std::vector<char> taken(filled);
    expect_ok(reader.read_exact(taken, patience()));
    EXPECT_EQ(parked.join(), 1U);
    char last = 0;
    expect_ok(reader.read_exact(MutableBuffer(&last, 1), patience()));
    EXPECT_EQ(last, '!');
  });
}

// The end comes after all of the data (R47: a hang-up reported with data is not an error).
TEST_P(StreamTest, AMegabyteAndThenTheEndAreReadWhole) {
  static constexpr std::size_t kBytes = 1 << 20;
  run([] {
    auto [reader, writer, duplex] = ends();
    auto sender = spawn([&writer] {
      const std::string data(kBytes, 'd');
      expect_ok(writer.write_all(data, patience()));
      expect_ok(writer.close());
    });
    std::size_t total = 0;
    std::vector<char> buffer(10'000);
    for (;;) {
      const std::size_t n = expect_value(reader.read_some(buffer, patience()));
      if (n == 0) break;
      total += n;
    }
    EXPECT_EQ(total, kBytes);
    EXPECT_EQ(expect_value(reader.read_some(buffer, patience())), 0U);  // The end stays the end.
    sender.join();
  });
}

TEST_P(StreamTest, AnEndInTheMiddleIsNamed) {
  run([] {
    auto [reader, writer, duplex] = ends();
    expect_ok(writer.write_all("abc", patience()));
    expect_ok(writer.close());
    std::array<char, 4> buffer{};
    expect_error(reader.read_exact(buffer, patience()), Errc::kEndOfStream);
  });
}

// 0 bytes would say that the stream is at its end.
TEST_P(StreamTest, AReadWithoutRoomIsRefused) {
  run([] {
    auto [reader, writer, duplex] = ends();
    expect_ok(writer.write_all("x", patience()));
    const std::array<MutableBuffer, 2> empty{};
    const std::string nothing;
    expect_error(reader.read_some(MutableBuffer(), patience()), Errc::kInvalidArgument);
    expect_error(reader.readv({}, patience()), Errc::kInvalidArgument);
    expect_error(reader.readv(empty, patience()), Errc::kInvalidArgument);
    expect_ok(reader.read_exact(MutableBuffer(), patience()));  // It has all of its bytes.
    char byte = 0;
    expect_ok(reader.read_exact(MutableBuffer(&byte, 1), patience()));
    expect_ok(writer.close());
    expect_error(reader.read_some(MutableBuffer(), patience()), Errc::kInvalidArgument);
    EXPECT_EQ(expect_value(reader.read_some(MutableBuffer(&byte, 1), patience())), 0U);
    expect_ok(reader.close());
    expect_error(reader.read_some(MutableBuffer()), Errc::kClosed);
  });
}

TEST_P(StreamTest, EmptyWritesReturnAtOnceAndLeaveNothingBehind) {
  run([] {
    auto [reader, writer, duplex] = ends();
    EXPECT_EQ(expect_value(writer.write_some(ConstBuffer())), 0U);
    expect_ok(writer.write_all(""));
    EXPECT_EQ(expect_value(writer.writev({})), 0U);
    const std::array<ConstBuffer, 2> empty{};
    EXPECT_EQ(expect_value(writer.writev(empty)), 0U);
    char byte = 0;
    expect_error(reader.read_some(MutableBuffer(&byte, 1), test::at_once()), Errc::kTimedOut);
  });
}

TEST_P(StreamTest, VectorsAreFilledAndSentInOrder) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const std::array<ConstBuffer, 4> out{"ab", "", "cde", "f"};
    EXPECT_EQ(expect_value(writer.writev(out, patience())), 6U);
    std::array<char, 1> first{};
    std::array<char, 3> second{};
    std::array<char, 9> third{};
    const std::array<MutableBuffer, 4> in{MutableBuffer(first), MutableBuffer(), second, third};
    EXPECT_EQ(expect_value(reader.readv(in, patience())), 6U);
    EXPECT_EQ(first[0], 'a');
    EXPECT_EQ(std::string_view(second.data(), 3), "bcd");
    EXPECT_EQ(std::string_view(third.data(), 2), "ef");
  });
}

TEST_P(StreamTest, AReadAppendsToWhatIsThere) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::string text = "so far, ";
    expect_ok(writer.write_all("so good", patience()));
    EXPECT_EQ(expect_value(reader.read_append(text, 4'096, patience())), 7U);
    EXPECT_EQ(text, "so far, so good");
    expect_ok(writer.write_all("abc", patience()));
    std::vector<std::byte> bytes(1, std::byte{9});
    EXPECT_EQ(expect_value(reader.read_append(bytes, 2, patience())), 2U);
    EXPECT_EQ(bytes, (std::vector{std::byte{9}, std::byte{'a'}, std::byte{'b'}}));
    EXPECT_EQ(expect_value(reader.read_append(bytes, 2, patience())), 1U);
    EXPECT_EQ(bytes.size(), 4U);
  });
}

TEST_P(StreamTest, WhatCannotBeAppendedToIsLeftAsItWas) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::string text = "kept";
    expect_error(reader.read_append(text, 100, test::at_once()), Errc::kTimedOut);
    EXPECT_EQ(text, "kept");
    expect_ok(writer.write_all("x", patience()));
    expect_error(reader.read_append(text, 0, patience()), Errc::kInvalidArgument);
    for (const std::size_t too_many : {text.max_size(), text.max_size() - text.size(),
                                       std::numeric_limits<std::size_t>::max()}) {
      if (test::kSanitized && too_many <= text.max_size() - text.size()) continue;  // It would end.
      expect_error(reader.read_append(text, too_many, patience()), errno_code(ENOMEM));
    }
    EXPECT_EQ(text, "kept");
    EXPECT_EQ(expect_value(reader.read_append(text, 100, patience())), 1U);
    expect_ok(writer.close());
    EXPECT_EQ(expect_value(reader.read_append(text, 100, patience())), 0U);
    EXPECT_EQ(text, "keptx");
  });
}

TEST_P(StreamTest, SeveralBuffersAreWrittenWhole) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const std::string body(5, 'b');
    expect_ok(writer.write_all({"head ", body, "", " tail"}, patience()));
    const std::vector<ConstBuffer> more{"x", "y"};
    expect_ok(writer.write_all(more, patience()));
    expect_ok(writer.write_all(std::span<const ConstBuffer>()));
    expect_ok(writer.write_all({"", ""}));
    std::array<char, 17> buffer{};
    expect_ok(reader.read_exact(buffer, patience()));
    EXPECT_EQ(std::string_view(buffer.data(), buffer.size()), "head bbbbb tailxy");
    char byte = 0;
    expect_error(reader.read_some(MutableBuffer(&byte, 1), test::at_once()), Errc::kTimedOut);
  });
}

// More than the system takes in one call, longer than its buffers, ending in the middle of each of
// them: what one call has left of a buffer is the next one's first.
TEST_P(StreamTest, WhatACallLeavesOfSeveralBuffersIsWrittenByTheNext) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::string numbers;
    for (int i = 0; numbers.size() < 1'500'000; ++i) numbers += std::to_string(i) + ' ';
    std::vector<ConstBuffer> pieces;
    for (std::size_t at = 0, size = 0; at < numbers.size(); at += size) {
      // Small ones, more than IOV_MAX of them; empty ones; and then large ones.
      size = pieces.size() < 3'000 ? pieces.size() % 7 : 300'001;
      size = std::min(size, numbers.size() - at);
      pieces.emplace_back(numbers.data() + at, size);
    }
    const std::vector<ConstBuffer> before = pieces;
    auto writing = spawn([&] { expect_ok(writer.write_all(pieces, patience())); });
    std::string got;
    while (got.size() < numbers.size()) {
      if (expect_value(reader.read_append(got, 7'001, patience())) == 0) break;
    }
    writing.join();
    EXPECT_TRUE(got == numbers);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ASSERT_EQ(pieces[i].data(), before[i].data());
      ASSERT_EQ(pieces[i].size(), before[i].size());
    }
  });
}

TEST_P(StreamTest, SeveralBuffersHaveOneDeadlineAndOneClose) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const std::string block(1 << 20, 'b');
    const std::vector<ConstBuffer> blocks(64, block);
    expect_error(writer.write_all(blocks, Deadline::after(5ms)), Errc::kTimedOut);
    expect_error(writer.write_all(blocks, Deadline::after(-1s)), Errc::kTimedOut);
    auto parked = spawn([&] { return writer.write_all(blocks, patience()); });
    test::let_park();
    expect_error(writer.write_all({"x"}, patience()), Errc::kBusy);
    expect_ok(writer.close());
    expect_error(parked.join(), Errc::kClosed);
    expect_error(writer.write_all({"x"}), Errc::kClosed);
  });
}

TEST_P(StreamTest, MoreVectorsThanTheSystemTakesAreTakenInParts) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const std::vector<ConstBuffer> out(3000, ConstBuffer("x"));
    std::size_t sent = 0;
    while (sent < out.size()) {
      const auto rest = std::span(out).subspan(sent);
      const std::size_t n = expect_value(writer.writev(rest, patience()));
      ASSERT_GT(n, 0U);
      sent += n;
    }
    std::vector<char> bytes(out.size());
    std::vector<MutableBuffer> in;
    for (char& byte : bytes) in.emplace_back(&byte, 1);
    std::size_t received = 0;
    while (received < bytes.size()) {
      const std::size_t n = expect_value(reader.readv(std::span(in).subspan(received), patience()));
      ASSERT_GT(n, 0U);
      received += n;
    }
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), std::string(3000, 'x'));
  });
}

// One call moves a part of what is large (src/net/transfer.h), from its beginning on.
TEST_P(StreamTest, ALargeBufferBehindASmallOneIsCut) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::string body(3 << 20, '\0');
    for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i % 251);
    const std::array<ConstBuffer, 2> out{ConstBuffer("head "), ConstBuffer(body)};
    const std::size_t begun = expect_value(writer.writev(out, patience()));
    std::array<char, 5> head{};
    std::string received(body.size(), '\0');
    const std::array<MutableBuffer, 2> in{MutableBuffer(head), MutableBuffer(received)};
    const std::size_t taken = expect_value(reader.readv(in, patience()));
    EXPECT_GT(std::min(begun, taken), 5U) << "the head alone";
    auto rest = spawn([&writer, &body, begun] {
      return writer.write_all(std::string_view(body).substr(begun - 5), patience());
    });
    expect_ok(reader.read_exact({received.data() + taken - 5, received.size() - (taken - 5)},
                                patience()));
    expect_ok(rest.join());
    EXPECT_EQ(std::string_view(head.data(), head.size()), "head ");
    EXPECT_TRUE(received == body);
  });
}

TEST_P(StreamTest, SingleBytesArriveInOrder) {
  run([] {
    auto [reader, writer, duplex] = ends();
    static constexpr int kBytes = 2000;
    auto sender = spawn([&writer] {
      for (int i = 0; i < kBytes; ++i) {
        const auto byte = static_cast<std::uint8_t>(i);
        expect_ok(writer.write_all(ConstBuffer(&byte, 1), patience()));
        if (i % 16 == 0) this_fiber::yield();
      }
      expect_ok(writer.close());
    });
    std::array<std::uint8_t, 7> buffer{};
    int received = 0;
    for (;;) {
      const std::size_t n = expect_value(reader.read_some(buffer, patience()));
      if (n == 0) break;
      for (std::size_t i = 0; i < n; ++i)
        EXPECT_EQ(buffer[i], static_cast<std::uint8_t>(received++));
    }
    EXPECT_EQ(received, kBytes);
    sender.join();
  });
}

// A stream of numbers that says where each byte belongs, so that a lost, doubled or swapped block
// is found.
std::uint8_t byte_at(std::uint64_t position) {
  return static_cast<std::uint8_t>((position * 2'654'435'761U) >> 13);
}

void send_numbers(Stream& out, std::uint64_t bytes, std::size_t block) {
  std::vector<std::uint8_t> buffer(block);
  for (std::uint64_t sent = 0; sent < bytes;) {
    const std::size_t n = std::min<std::uint64_t>(buffer.size(), bytes - sent);
    for (std::size_t i = 0; i < n; ++i) buffer[i] = byte_at(sent + i);
    const auto written = out.write_all(ConstBuffer(buffer.data(), n), patience());
    ASSERT_TRUE(written) << written.error().message();
    sent += n;
  }
}

void receive_numbers(Stream& in, std::uint64_t bytes, std::size_t block) {
  std::vector<std::uint8_t> buffer(block);
  for (std::uint64_t received = 0; received < bytes;) {
    const auto n = in.read_some(buffer, patience());
    ASSERT_TRUE(n) << n.error().message();
    ASSERT_NE(*n, 0U);
    for (std::size_t i = 0; i < *n; ++i) ASSERT_EQ(buffer[i], byte_at(received + i));
    received += *n;
  }
}

TEST_P(StreamTest, ALargeTransferArrivesIntact) {
  const std::uint64_t bytes = test::scaled(test::kSanitized ? 1 << 18 : 4 << 20);
  run([&] {
    auto [reader, writer, duplex] = ends();
    auto sender = spawn([&writer, bytes] { send_numbers(writer, bytes, 30'011); });
    receive_numbers(reader, bytes, 7'001);
    sender.join();
  });
}

// R49, R60: a reader and a writer on each end, over small buffers, all four waiting in turn.
TEST_P(StreamTest, BothDirectionsFlowAtOnce) {
  const std::uint64_t bytes = test::scaled(test::kSanitized ? 1 << 17 : 2 << 20);
  run([&] {
    auto connected = ends();
    if (!connected.duplex) return;
    auto& [near, far, duplex] = connected;
    for (const Fd* fd : {&near, &far}) {
      const int small = 8 * 1024;
      EXPECT_EQ(::setsockopt(fd->native_handle(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    }
    auto out = spawn([&near, bytes] { send_numbers(near, bytes, 50'000); });
    auto back = spawn([&far, bytes] { send_numbers(far, bytes, 50'000); });
    auto in = spawn([&far, bytes] { receive_numbers(far, bytes, 3'000); });
    receive_numbers(near, bytes, 3'000);
    in.join();
    out.join();
    back.join();
  });
}

// write_all() is one operation: a second writer is told so instead of writing in between.
TEST_P(StreamTest, NobodyWritesIntoTheMiddleOfAWriteAll) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const std::string data(4 << 20, 'd');  // More than fits.
    auto first = spawn([&writer, &data] { expect_ok(writer.write_all(data, patience())); });
    test::let_park();
    expect_error(writer.write_all("intruder", patience()), Errc::kBusy);
    std::vector<char> received(data.size());
    expect_ok(reader.read_exact(received, patience()));
    EXPECT_EQ(std::string_view(received.data(), received.size()), data);
    first.join();
  });
}

// Race: another thread's reads against a read_exact() that gets its bytes one by one. Forbidden:
// that it comes in between, takes one, and leaves the first reader with kBusy.
TEST_P(StreamTest, NobodyReadsInTheMiddleOfAReadExact) {
  run([] {
    auto [reader, writer, duplex] = ends();
    std::vector<char> received(test::scaled(5'000));
    std::atomic<bool> done{false};
    std::atomic<int> refused{0};
    auto first = spawn([&] {
      expect_ok(reader.read_exact(received, patience()));
      done.store(true);
    });
    test::let_park();
    std::thread intruder([&] {
      char byte = 0;
      while (!done.load()) {
        const auto n = reader.read_some(MutableBuffer(&byte, 1), test::at_once());
        EXPECT_FALSE(n);
        if (!n && n.error() == Errc::kBusy) ++refused;
      }
    });
    while (refused.load() == 0) this_fiber::yield();
    for (std::size_t i = 0; i < received.size(); ++i) {
      expect_ok(writer.write_all("x", patience()));
      this_fiber::yield();
    }
    first.join();
    intruder.join();
    EXPECT_EQ(std::string_view(received.data(), received.size()),
              std::string(received.size(), 'x'));
    EXPECT_GT(refused.load(), 0);
  });
}

TEST_P(StreamTest, AWaitEndsWhenWhatItWaitsForComes) {
  run([] {
    auto [reader, writer, duplex] = ends();
    char byte = 0;
    // Consumes what the registration has reported.
    expect_error(reader.read_some(MutableBuffer(&byte, 1), Deadline::after(5ms)), Errc::kTimedOut);
    auto waiter = spawn([&reader] { return reader.wait_readable(patience()).has_value(); });
    test::let_park();
    expect_ok(writer.write_all("r", patience()));
    EXPECT_TRUE(waiter.join());
    EXPECT_EQ(::read(reader.native_handle(), &byte, 1), 1);
    // Nothing is there any more, though there may be a report that says otherwise.
    expect_error(reader.wait_readable(Deadline::after(5ms)), Errc::kTimedOut);
  });
}

// The level, and not what has been reported since: the same on every backend.
TEST_P(StreamTest, AWaitForWhatIsThereReturnsAtOnceAsOftenAsItIsMade) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const auto at_once = [](const Result<void>& waited, Deadline late) {
      expect_ok(waited);
      EXPECT_LT(Deadline::now().ns(), late.ns()) << "it waited for a report";
    };
    expect_ok(writer.write_all("rest", patience()));
    for (int i = 0; i < 3; ++i) {
      const Deadline late = Deadline::after(10s);
      at_once(reader.wait_readable(late), late);
      at_once(writer.wait_writable(late), late);
      char byte = 0;  // Bytes are left.
      expect_ok(reader.read_exact(MutableBuffer(&byte, 1), late));
    }
    test::fill_up(writer);
    auto waiter = spawn([&writer] { return writer.wait_writable(patience()).has_value(); });
    test::let_park();
    std::vector<char> sink(64 * 1024);
    while (reader.read_some(sink, test::at_once())) continue;
    EXPECT_TRUE(waiter.join());
    expect_ok(writer.close());
    for (int i = 0; i < 2; ++i) {  // The end does not block.
      const Deadline late = Deadline::after(10s);
      at_once(reader.wait_readable(late), late);
    }
  });
}

TEST_P(StreamTest, AConnectionIsWritableAtOnce) {
  run([] {
    TcpListener acceptor = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    TcpStream stream =
        expect_value(TcpStream::connect(expect_value(acceptor.local_address()), patience()));
    const Deadline late = Deadline::after(10s);
    expect_ok(stream.wait_writable(late));
    expect_ok(stream.wait_writable(late));
    EXPECT_LT(Deadline::now().ns(), late.ns());
  });
}

}  // namespace
}  // namespace rearm
