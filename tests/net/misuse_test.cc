// What cannot be adopted, who may use what, and plain threads.
#include <fcntl.h>
#include <sys/socket.h>
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
#include <utility>
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
    Stream counter = expect_value(Stream::adopt(::eventfd(0, 0)));
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
    Stream foreign = expect_value(Stream::adopt(pair.a.release(), other));
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

struct FlagsOf {
  explicit FlagsOf(int fd) : status(::fcntl(fd, F_GETFL)), flags(::fcntl(fd, F_GETFD)) {}
  friend bool operator==(const FlagsOf&, const FlagsOf&) = default;
  int status;
  int flags;
};

// Those who share a description, and children, see the flags.
TEST_P(MisuseTest, ARefusedAdoptChangesNothing) {
  const test::UniqueFd file = temporary_file();
  const test::UniqueFd watched = test::event_fd();
  const test::UniqueFd socket(test::require(::socket(AF_INET, SOCK_DGRAM, 0), "socket"));
  run([&] {
    const FlagsOf file_before(file.get());
    expect_error(Fd::adopt(file.get()), Errc::kNotPollable);
    EXPECT_EQ(FlagsOf(file.get()), file_before);

    Fd owner = expect_value(Fd::adopt(watched.get()));
    ASSERT_EQ(::fcntl(watched.get(), F_SETFL, 0), 0);
    ASSERT_EQ(::fcntl(watched.get(), F_SETFD, 0), 0);
    const FlagsOf watched_before(watched.get());
    expect_error(Fd::adopt(watched.get()), errno_code(EEXIST));
    EXPECT_EQ(FlagsOf(watched.get()), watched_before);
    (void)owner.release();

    const FlagsOf socket_before(socket.get());
    expect_error(TcpStream::adopt(socket.get()), Errc::kInvalidArgument);
    expect_error(TcpListener::adopt(socket.get()), Errc::kInvalidArgument);
    expect_error(UnixStream::adopt(socket.get()), Errc::kInvalidArgument);
    EXPECT_EQ(FlagsOf(socket.get()), socket_before);
  });
}

TEST_P(MisuseTest, WhatWasTakenIsGivenBackAsItWas) {
  for (const bool is_nonblocking : {false, true}) {
    const test::FdPair pair = test::socket_pair();
    const test::UniqueFd& ours = pair.a;
    ASSERT_EQ(::fcntl(ours.get(), is_nonblocking ? F_SETFD : F_SETFL, 0), 0);
    const FlagsOf before(ours.get());
    run([&] {
      Fd fd = expect_value(Fd::adopt(ours.get()));
      EXPECT_NE(FlagsOf(ours.get()).status & O_NONBLOCK, 0);
      EXPECT_NE(FlagsOf(ours.get()).flags & FD_CLOEXEC, 0);
      Fd moved = std::move(fd);
      EXPECT_EQ(expect_value(moved.release(Fd::Flags::kRestore)), ours.get());
      EXPECT_EQ(FlagsOf(ours.get()), before);
      UnixStream again = expect_value(UnixStream::adopt(ours.get()));
      EXPECT_EQ(expect_value(again.release()), ours.get());
      EXPECT_NE(FlagsOf(ours.get()).status & O_NONBLOCK, 0);
    });
    (void)::fcntl(ours.get(), F_SETFL, before.status);
  }
}

// Servers bind first, drop privileges, and then run.
TEST_P(MisuseTest, EverythingOpensOnAPlainThreadBeforeTheRun) {
  const SocketAddress any_port = SocketAddress::ipv4_loopback(0);
  test::SocketDirectory directory;
  const SocketAddress path = directory.fresh();
  TcpListener tcp = expect_value(TcpListener::bind(any_port, runtime()));
  UnixListener local = expect_value(UnixListener::bind(path, runtime()));
  UdpSocket udp = expect_value(UdpSocket::bind(any_port, runtime(), {.reuse_address = true}));
  Pipe pipe = expect_value(Pipe::create(runtime()));
  auto pair = expect_value(UnixStream::pair(runtime()));
  TcpStream tcp_client =
      expect_value(TcpStream::connect(expect_value(tcp.local_address()), runtime(), patience()));
  UnixStream local_client = expect_value(UnixStream::connect(path, runtime(), patience()));
  test::FdPair foreign = test::tcp_pair();
  TcpStream adopted = expect_value(TcpStream::adopt(foreign.a.release(), runtime()));
  UdpSocket adopted_udp = expect_value(
      UdpSocket::adopt(test::require(::socket(AF_INET, SOCK_DGRAM, 0), "socket"), runtime()));
  run([&] {
    TcpStream tcp_server = expect_value(tcp.accept(patience()));
    UnixStream local_server = expect_value(local.accept(patience()));
    char byte = 0;
    const auto passes = [&byte](Stream& from, Stream& to) {
      expect_ok(from.write_all("x", patience()));
      expect_ok(to.read_exact(MutableBuffer(&byte, 1), patience()));
    };
    passes(tcp_client, tcp_server);
    passes(local_server, local_client);
    passes(pipe.write_end, pipe.read_end);
    passes(pair.first, pair.second);
    expect_ok(udp.send_to("x", expect_value(udp.local_address()), patience()));
    EXPECT_EQ(expect_value(udp.recv_from(MutableBuffer(&byte, 1), patience())).bytes, 1U);
    test::send_text(foreign.b.get(), "x");
    expect_ok(adopted.read_exact(MutableBuffer(&byte, 1), patience()));
  });
}

// A connection that is not answered, on a plain thread: nothing polls, and its deadline ends it.
TEST_P(MisuseTest, APlainThreadConnectsWithADeadline) {
  const SocketAddress nobody = [] {
    test::UniqueFd socket(test::require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
    const sockaddr_in address = test::bind_to_loopback(socket.get());
    return SocketAddress::from_native(&address, sizeof(address));
  }();
  expect_error(TcpStream::connect(nobody, runtime(), patience()), errno_code(ECONNREFUSED));
  // A listener whose backlog is full answers nobody (Linux).
  test::UniqueFd full(test::require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
  const sockaddr_in native = test::bind_to_loopback(full.get());
  (void)test::require(::listen(full.get(), 0), "listen");
  const SocketAddress address = SocketAddress::from_native(&native, sizeof(native));
  std::vector<TcpStream> filling;
  for (;;) {
    auto stream = TcpStream::connect(address, runtime(), Deadline::after(20ms));
    if (!stream) {
      expect_error(stream, Errc::kTimedOut);
      break;
    }
    filling.push_back(std::move(*stream));
    ASSERT_LT(filling.size(), 100U);
  }
  expect_error(TcpStream::connect(address, runtime(), test::at_once()), Errc::kTimedOut);
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
