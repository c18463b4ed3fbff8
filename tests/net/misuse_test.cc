// What cannot be adopted, who may use what, and plain threads.
#include <fcntl.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#endif

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <thread>

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

class MisuseTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Net, MisuseTest, ::testing::Values(1, 2), test::workers_test_name);

test::UniqueFd temporary_file() {
  char path[] = "/tmp/rearm-test-XXXXXX";
  test::UniqueFd file(test::require(::mkstemp(path), "mkstemp"));
  ::unlink(path);
  return file;
}

// R52. What the kernel cannot report readiness for is refused at once and stays the caller's.
TEST_P(MisuseTest, FilesAndDirectoriesAreNotPollable) {
  run([] {
    const test::UniqueFd file = temporary_file();
    expect_error(Fd::adopt(file.get()), Errc::kNotPollable);
    EXPECT_TRUE(test::is_open(file.get()));
    const test::UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    expect_error(Fd::adopt(directory.get()), Errc::kNotPollable);
    EXPECT_TRUE(test::is_open(directory.get()));
  });
}

TEST_P(MisuseTest, ClosedAndNegativeNumbersAreRefused) {
  run([] {
    const int closed = test::duplicate(STDERR_FILENO).get();  // Closed again at once.
    expect_error(Fd::adopt(closed), Errc::kClosed);
    expect_error(TcpStream::adopt(closed), Errc::kClosed);
    expect_error(UnixListener::adopt(closed), Errc::kClosed);
    for (const int negative : {-1, -100}) {
      expect_error(Fd::adopt(negative), Errc::kInvalidArgument);
      expect_error(TcpStream::adopt(negative), Errc::kInvalidArgument);
      expect_error(UdpSocket::adopt(negative), Errc::kInvalidArgument);
    }
  });
}

TEST_P(MisuseTest, ADescriptorIsAdoptedOnlyOnce) {
  run([] {
    test::FdPair pair = test::pipe_pair();
    const int number = pair.a.release();
    const Fd first = expect_value(Fd::adopt(number));
    expect_error(Fd::adopt(number), errno_code(EEXIST));
    EXPECT_TRUE(first.is_open());
    EXPECT_TRUE(test::is_open(number));
  });
}

// R72 (liburing#849): a spurious report must not make a read block.
TEST_P(MisuseTest, AdoptingMakesNonBlockingAndCloseOnExec) {
  run([] {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const test::UniqueFd other(ends[1]);
    const Fd adopted = expect_value(Fd::adopt(ends[0]));
    EXPECT_NE(::fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(ends[0], F_GETFD) & FD_CLOEXEC, 0);
  });
}

#if defined(__linux__)

TEST_P(MisuseTest, AnEventfdIsReadAndWritten) {
  run([] {
    Fd counter = expect_value(Fd::adopt(::eventfd(0, 0)));
    auto reading = spawn([&counter] {
      std::uint64_t value = 0;
      expect_ok(counter.read_exact(MutableBuffer(&value, sizeof(value)), patience()));
      return value;
    });
    test::let_park();
    const std::uint64_t five = 5;
    expect_ok(counter.write_all(ConstBuffer(&five, sizeof(five)), patience()));
    EXPECT_EQ(reading.join(), 5U);
  });
}

#endif

TEST_P(MisuseTest, ADescriptorOfAnotherRuntimeIsRefused) {
  run([] {
    Runtime other({.workers = 1});
    test::FdPair pair = test::socket_pair();
    Fd foreign = expect_value(Fd::adopt(pair.a.release(), other));
    std::array<char, 4> bytes{};
    expect_error(foreign.read_some(bytes, patience()), Errc::kWrongRuntime);
    expect_error(foreign.write_all("x", patience()), Errc::kWrongRuntime);
    expect_error(foreign.wait_readable(patience()), Errc::kWrongRuntime);
    // Refused, and still usable at home and to be closed from anywhere.
    test::send_text(pair.b.get(), "home");
    std::thread([&] {
      other.run([&] { expect_ok(foreign.read_exact(bytes, patience())); });
    }).join();
    expect_ok(foreign.close());
  });
}

TEST_P(MisuseTest, APlainThreadReadsAndWritesOnARunningRuntimesDescriptors) {
  run([] {
    auto [near, far] = test::tcp_streams();
    std::atomic<bool> done{false};
    std::thread plain([&near, &done] {
      std::array<char, 4> bytes{};
      expect_ok(near.read_exact(bytes, patience()));
      EXPECT_EQ(std::string_view(bytes.data(), 4), "ping");
      expect_error(near.read_some(bytes, Deadline::after(2ms)), Errc::kTimedOut);
      expect_ok(near.write_all("pong", patience()));
      done.store(true);
    });
    test::let_park();
    expect_ok(far.write_all("ping", patience()));
    std::array<char, 4> bytes{};
    expect_ok(far.read_exact(bytes, patience()));
    EXPECT_EQ(std::string_view(bytes.data(), 4), "pong");
    EXPECT_TRUE(test::eventually([&] { return done.load(); }));
    plain.join();
  });
}

// What it accepts belongs to the listener's runtime.
TEST_P(MisuseTest, APlainThreadAccepts) {
  run([] {
    TcpListener tcp = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    const SocketAddress address = expect_value(tcp.local_address());
    std::atomic<bool> done{false};
    TcpStream server;
    std::thread plain([&] {
      server = expect_value(tcp.accept(patience()));
      expect_ok(server.write_all("ping", patience()));
      done.store(true);
    });
    TcpStream client = expect_value(TcpStream::connect(address, patience()));
    std::array<char, 4> bytes{};
    expect_ok(client.read_exact(bytes, patience()));
    EXPECT_TRUE(test::eventually([&] { return done.load(); }));
    plain.join();
    expect_ok(client.write_all("pong", patience()));
    expect_ok(server.read_exact(bytes, patience()));
    EXPECT_EQ(std::string_view(bytes.data(), 4), "pong");
  });
}

TEST_P(MisuseTest, CloseWakesAPlainThread) {
  run([] {
    auto [near, far] = test::tcp_streams();
    std::atomic<bool> done{false};
    std::thread plain([&near, &done] {
      char byte = 0;
      expect_error(near.read_some(MutableBuffer(&byte, 1), patience()), Errc::kClosed);
      done.store(true);
    });
    test::let_park();
    expect_ok(near.close());
    EXPECT_TRUE(test::eventually([&] { return done.load(); }));
    plain.join();
  });
}

TEST_P(MisuseTest, AStopEndsAPlainThreadsWaits) {
  run([this] {
    auto [near, far] = test::tcp_streams();
    std::atomic<bool> done{false};
    std::thread plain([&near, &done] {
      char byte = 0;
      expect_error(near.read_some(MutableBuffer(&byte, 1), patience()), Errc::kCancelled);
      done.store(true);
    });
    test::let_park();
    runtime().request_stop();
    while (!done.load()) this_fiber::yield();
    plain.join();
  });
}

// Between two runs nobody would wake it.
TEST_P(MisuseTest, APlainThreadDoesNotWaitBetweenTwoRuns) {
  test::TcpPair pair;
  char byte = 0;
  const MutableBuffer room(&byte, 1);
  run([&] { pair = test::tcp_streams(); });
  expect_error(pair.a.read_some(room, Deadline::after(1s)), Errc::kCancelled);
  expect_ok(pair.b.write_all("x", patience()));  // What need not wait goes on.
  run([&] {
    expect_ok(pair.a.read_exact(room, patience()));
    spawn([&] { expect_ok(pair.b.write_all("y", patience())); }).detach();
    expect_ok(pair.a.read_exact(room, patience()));
  });
  runtime().request_stop();  // Counts for the next run.
  run([&] { expect_error(pair.a.read_some(room, patience()), Errc::kCancelled); });
  run([&] { expect_error(pair.a.read_some(room, Deadline::after(1ms)), Errc::kTimedOut); });
}

// Race: a plain thread that parks (prepares, looks whether waits are refused, commits) against the
// end of run() (refuses waits, ends those in progress). Forbidden: a wait that nobody ends.
TEST_P(MisuseTest, APlainThreadThatParksIsNotLeftBehindByTheEndOfTheRun) {
  test::TcpPair pair;
  run([&] { pair = test::tcp_streams(); });
  std::atomic<bool> over{false};
  std::thread plain([&] {
    char byte = 0;
    do {
      expect_error(pair.a.read_some(MutableBuffer(&byte, 1), patience()), Errc::kCancelled);
    } while (!over.load() && !HasFailure());
  });
  const auto rounds = test::scaled(200);
  for (std::uint64_t i = 0; i < rounds && !HasFailure(); ++i) run([] {});
  over.store(true);
  plain.join();
}

class MisuseDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(MisuseDeathTest, OpeningOnAPlainThreadIsRefused) {
  EXPECT_DEATH((void)Pipe::create(), "a descriptor was opened on a plain thread");
  EXPECT_DEATH((void)Fd::adopt(STDIN_FILENO), "a descriptor was opened on a plain thread");
}

}  // namespace
}  // namespace rearm
