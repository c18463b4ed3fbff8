// Closing: who is woken, with what, and what a closed, moved-from or orphaned descriptor says.
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
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

class CloseTest : public test::TransportTest {
 protected:
  static Result<std::size_t> read_one(Stream& fd) {
    char byte = 0;
    return fd.read_some(MutableBuffer(&byte, 1), patience());
  }
  // What `call` returns when nobody else works in its direction.
  static Result<std::size_t> until_alone(const std::function<Result<std::size_t>()>& call) {
    for (;;) {
      const auto result = call();
      if (result || result.error() != Errc::kBusy) return result;
      this_fiber::yield();
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Net, CloseTest, test::kAllTransports, test::transport_test_name);

// R17, R18. Close from a fiber: the parked reader and the parked writer return, with kClosed.
TEST_P(CloseTest, CloseWakesTheReaderAndTheWriter) {
  run([] {
    auto [reader, writer, duplex] = ends();
    test::fill_up(writer);
    auto writing = spawn([&writer] { return test::write_until_error(writer); });
    auto [other_reader, other_writer, ignored] = ends();
    auto reading = spawn([&other_reader] { return read_one(other_reader); });
    test::let_park();
    expect_ok(writer.close());
    expect_ok(other_reader.close());
    expect_error(writing.join(), Errc::kClosed);
    expect_error(reading.join(), Errc::kClosed);
  });
}

TEST_P(CloseTest, OneCloseWakesBothDirections) {
  run([] {
    auto connected = ends();
    if (!connected.duplex) return;
    auto& [near, far, duplex] = connected;
    test::fill_up(near);
    auto reading = spawn([&near] { return read_one(near); });
    auto writing = spawn([&near] { return test::write_until_error(near); });
    test::let_park();
    expect_ok(near.close());
    expect_error(reading.join(), Errc::kClosed);
    expect_error(writing.join(), Errc::kClosed);
  });
}

TEST_P(CloseTest, CloseFromAPlainThreadWakesThem) {
  run([] {
    auto [near, far, duplex] = ends();
    auto reading = spawn([&near] { return read_one(near); });
    if (!duplex) {
      test::let_park();
      std::thread([&near] { expect_ok(near.close()); }).join();
      expect_error(reading.join(), Errc::kClosed);
      return;
    }
    test::fill_up(near);
    auto writing = spawn([&near] { return test::write_until_error(near); });
    test::let_park();
    std::thread([&near] { expect_ok(near.close()); }).join();
    expect_error(reading.join(), Errc::kClosed);
    expect_error(writing.join(), Errc::kClosed);
  });
}

TEST_P(CloseTest, AReleasedNumberIsOpenAndTheCallers) {
  run([] {
    auto [reader, writer, duplex] = ends();
    const int number = reader.native_handle();
    const test::UniqueFd released(expect_value(reader.release()));
    EXPECT_EQ(released.get(), number);
    EXPECT_FALSE(reader.is_open());
    expect_error(reader.release(), Errc::kClosed);
    expect_ok(writer.write_all("x", patience()));
    EXPECT_TRUE(test::is_readable(released.get(), 1000));
  });
}

TEST_P(CloseTest, AReleaseDuringAnOperationIsRefused) {
  run([] {
    auto [reader, writer, duplex] = ends();
    auto reading = spawn([&reader] { return read_one(reader); });
    test::let_park();
    expect_error(reader.release(), Errc::kBusy);
    EXPECT_TRUE(reader.is_open());
    expect_ok(writer.write_all("x", patience()));
    EXPECT_EQ(expect_value(reading.join()), 1U);
  });
}

void expect_closed(Stream& fd) {
  EXPECT_FALSE(fd.is_open());
  EXPECT_EQ(fd.native_handle(), -1);
  std::array<char, 4> bytes{};
  const std::array<MutableBuffer, 1> in{MutableBuffer(bytes)};
  const std::array<ConstBuffer, 1> out{ConstBuffer("x")};
  expect_error(fd.read_some(bytes), Errc::kClosed);
  expect_error(fd.read_some(MutableBuffer()), Errc::kClosed);
  expect_error(fd.readv(in), Errc::kClosed);
  expect_error(fd.read_exact(bytes), Errc::kClosed);
  expect_error(fd.read_exact(MutableBuffer()), Errc::kClosed);
  expect_error(fd.write_some("x"), Errc::kClosed);
  expect_error(fd.writev(out), Errc::kClosed);
  expect_error(fd.write_all("x"), Errc::kClosed);
  expect_error(fd.write_all(""), Errc::kClosed);
  expect_error(fd.wait_readable(), Errc::kClosed);
  expect_error(fd.wait_writable(), Errc::kClosed);
  expect_error(fd.set_deadline(Deadline::never()), Errc::kClosed);
  expect_error(fd.release(), Errc::kClosed);
  expect_error(fd.close(), Errc::kClosed);
}

TEST_P(CloseTest, AClosedDescriptorSaysSoToEveryCall) {
  run([] {
    auto [reader, writer, duplex] = ends();
    for (Stream* const fd : {&reader, &writer}) {
      expect_ok(fd->close());
      expect_closed(*fd);
    }
  });
}

TEST_P(CloseTest, AMovedFromAndADefaultOneAreClosed) {
  run([] {
    auto [reader, writer, duplex] = ends();
    Stream taken = std::move(reader);
    expect_closed(reader);  // NOLINT(bugprone-use-after-move): that is the point.
    Stream nothing;
    expect_closed(nothing);
    expect_ok(writer.write_all("x", patience()));
    EXPECT_EQ(expect_value(read_one(taken)), 1U);
  });
}

TEST_P(CloseTest, AssigningClosesTheFormerOne) {
  run([] {
    auto [reader, writer, duplex] = ends();
    auto [other_reader, other_writer, ignored] = ends();
    const int former = reader.native_handle();
    reader = std::move(other_reader);
    EXPECT_FALSE(test::is_open(former));
    expect_ok(other_writer.write_all("x", patience()));
    EXPECT_EQ(expect_value(read_one(reader)), 1U);
  });
}

TEST_P(CloseTest, ASecondReaderAndASecondWriterAreToldSo) {
  run([] {
    auto [reader, writer, duplex] = ends();
    test::fill_up(writer);
    auto [quiet, unused, ignored] = ends();
    // Whoever comes first may be the one below, so both go on until they are alone.
    auto reading = spawn([&quiet] { return until_alone([&] { return read_one(quiet); }); });
    auto writing =
        spawn([&writer] { return until_alone([&] { return test::write_until_error(writer); }); });
    const auto is_busy = [](const Result<void>& wait) {
      return !wait && wait.error() == Errc::kBusy;
    };
    ASSERT_TRUE(test::eventually([&] { return is_busy(quiet.wait_readable(test::at_once())); }));
    ASSERT_TRUE(test::eventually([&] { return is_busy(writer.wait_writable(test::at_once())); }));
    expect_error(read_one(quiet), Errc::kBusy);
    expect_error(quiet.wait_readable(patience()), Errc::kBusy);
    expect_error(writer.write_some("y", patience()), Errc::kBusy);
    expect_ok(quiet.close());
    expect_ok(writer.close());
    expect_error(reading.join(), Errc::kClosed);
    expect_error(writing.join(), Errc::kClosed);
  });
}

// A number is reused at once by the next open(); whoever was parked on the former owner must not
// read from the new one.
TEST_P(CloseTest, AParkedReaderNeverReadsFromTheNextOwnerOfTheNumber) {
  const std::uint64_t rounds = test::scaled(200);
  run([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      auto [reader, writer, duplex] = ends();
      auto reading = spawn([&reader] { return read_one(reader); });
      this_fiber::yield();
      expect_ok(reader.close());
      auto [next_reader, next_writer, ignored] = ends();
      expect_ok(next_writer.write_all("n", patience()));
      expect_error(reading.join(), Errc::kClosed);
      EXPECT_EQ(expect_value(read_one(next_reader)), 1U);
    }
  });
}

TEST_P(CloseTest, AHandleOutlivesItsRuntime) {
  Stream orphan;
  {
    Runtime other({.workers = 1});
    other.run([&] { orphan = std::move(ends().reader); });
  }
  expect_closed(orphan);
}

TEST_P(CloseTest, WhatIsLeftOpenIsClosedWithTheRuntime) {
  int number = -1;
  Stream orphan;
  {
    Runtime other({.workers = 1});
    other.run([&] {
      orphan = std::move(ends().reader);
      number = orphan.native_handle();
    });
    EXPECT_TRUE(test::is_open(number));
  }
  EXPECT_FALSE(test::is_open(number));
}

class ResetTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Net, ResetTest, ::testing::Values(1, 2), test::workers_test_name);

// R45. A reset is reported once, for both directions.
TEST_P(ResetTest, AResetWakesTheReaderAndTheWriter) {
  run([] {
    test::FdPair pair = test::tcp_pair();
    TcpStream ours = expect_value(TcpStream::adopt(pair.a.release()));
    test::fill_up(ours);
    auto writing = spawn([&ours] { return test::write_until_error(ours); });
    auto reading = spawn([&ours] {
      char byte = 0;
      return ours.read_some(MutableBuffer(&byte, 1), patience());
    });
    test::let_park();
    test::close_with_reset(std::move(pair.b));
    const auto read = reading.join();
    const auto written = writing.join();
    // One of them takes the socket's error; the other finds it closed.
    const bool one_was_reset = (!read && read.error() == errno_code(ECONNRESET)) ||
                               (!written && written.error() == errno_code(ECONNRESET));
    EXPECT_TRUE(one_was_reset);
    EXPECT_TRUE(!read || *read == 0);
    EXPECT_FALSE(written);
  });
}

TEST_P(ResetTest, ShutdownEndsTheOwnReaderToo) {
  run([] {
    auto [a, b] = test::tcp_streams();
    auto reading = spawn([&a] {
      char byte = 0;
      return a.read_some(MutableBuffer(&byte, 1), patience());
    });
    test::let_park();
    expect_ok(a.shutdown(Shutdown::kRead));
    EXPECT_EQ(expect_value(reading.join()), 0U);
    expect_ok(a.shutdown(Shutdown::kBoth));
    expect_error(a.write_some("x", patience()), errno_code(EPIPE));
    expect_ok(a.close());
    expect_error(a.shutdown(Shutdown::kBoth), Errc::kClosed);
  });
}

// R17. shutdown() and close() back to back: whoever is parked returns, and soon (10 ms in the
// catalogue of such bugs; here what a busy machine may take).
TEST_P(ResetTest, ShutdownAndCloseBackToBackWakeTheReader) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 300 : 2'000);
  std::chrono::nanoseconds slowest{0};
  run([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      auto [a, b] = expect_value(UnixStream::pair());
      auto reading = spawn([&a] {
        char byte = 0;
        return a.read_some(MutableBuffer(&byte, 1), patience());
      });
      for (std::uint64_t k = i % 4; k > 0; --k) this_fiber::yield();
      const auto start = std::chrono::steady_clock::now();
      expect_ok(a.shutdown(Shutdown::kBoth));
      expect_ok(a.close());
      const auto read = reading.join();
      slowest = std::max(slowest, test::since(start));
      EXPECT_TRUE(read ? *read == 0 : read.error() == Errc::kClosed);
    }
  });
  EXPECT_LT(slowest, 1s);
}

}  // namespace
}  // namespace rearm
