// Unix sockets and pipes, and writes that nobody reads.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <string>
#include <thread>

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

class UnixTest : public test::WorkersTest {
 protected:
  test::SocketDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Net, UnixTest, ::testing::Values(1, 2), test::workers_test_name);

void ping_pong(UnixListener& listener, const SocketAddress& address) {
  auto serving = spawn([&listener] {
    UnixStream server = expect_value(listener.accept(patience()));
    std::array<char, 4> buffer{};
    expect_ok(server.read_exact(buffer, patience()));
    expect_ok(server.write_all(buffer, patience()));
  });
  UnixStream client = expect_value(UnixStream::connect(address, patience()));
  expect_ok(client.write_all("ping", patience()));
  std::array<char, 4> buffer{};
  expect_ok(client.read_exact(buffer, patience()));
  EXPECT_EQ(std::string_view(buffer.data(), 4), "ping");
  EXPECT_EQ(expect_value(client.peer_address()), address);
  serving.join();
}

TEST_P(UnixTest, APathInTheFileSystemConnects) {
  const std::string path = directory_.fresh_path();
  run([&] {
    const SocketAddress address = expect_value(SocketAddress::unix_path(path));
    UnixListener listener = expect_value(UnixListener::bind(address));
    EXPECT_EQ(expect_value(listener.local_address()), address);
    ping_pong(listener, address);
    expect_ok(listener.close());
    // The path stays, and is its owner's to remove.
    expect_error(UnixListener::bind(address), errno_code(EADDRINUSE));
    expect_error(UnixStream::connect(address), errno_code(ECONNREFUSED));
    EXPECT_EQ(::unlink(path.c_str()), 0);
    expect_error(UnixStream::connect(address), errno_code(ENOENT));
    expect_ok(UnixListener::bind(address));
    EXPECT_EQ(::unlink(path.c_str()), 0);
  });
}

#if defined(__linux__)

TEST_P(UnixTest, AnAbstractNameConnectsAndVanishes) {
  run([] {
    // A name that no other test of this machine has.
    const SocketAddress address =
        expect_value(SocketAddress::unix_path("@rearm-test-" + std::to_string(::getpid())));
    UnixListener listener = expect_value(UnixListener::bind(address));
    ping_pong(listener, address);
    expect_ok(listener.close());
    expect_error(UnixStream::connect(address), errno_code(ECONNREFUSED));
    expect_ok(UnixListener::bind(address));
  });
}

// unix(7): connect() says EAGAIN while the backlog is full, and no report ever says otherwise.
// Other systems refuse the connection.
TEST_P(UnixTest, ConnectWaitsWhileTheBacklogIsFull) {
  run([this] {
    const SocketAddress address = directory_.fresh();
    UnixListener listener = expect_value(UnixListener::bind(address, {.backlog = 0}));
    std::list<UnixStream> filling;
    for (;;) {
      auto stream = UnixStream::connect(address, Deadline::immediate());
      if (!stream) {
        EXPECT_EQ(stream.error(), Errc::kTimedOut);
        break;
      }
      filling.push_back(std::move(*stream));
      ASSERT_LT(filling.size(), 100U);
    }
    expect_error(UnixStream::connect(address, Deadline::after(-1s)), Errc::kTimedOut);
    auto waiting = spawn([&address] { return UnixStream::connect(address, patience()); });
    test::let_park();
    EXPECT_FALSE(waiting.wait(Deadline::after(0s)));
    expect_ok(listener.accept(patience()));
    expect_ok(waiting.join());
  });
}

TEST_P(UnixTest, AStopEndsAConnectThatWaitsForTheBacklog) {
  run([this] {
    const SocketAddress address = directory_.fresh();
    const UnixListener listener = expect_value(UnixListener::bind(address, {.backlog = 0}));
    std::list<UnixStream> filling;
    while (auto stream = UnixStream::connect(address, Deadline::immediate())) {
      filling.push_back(std::move(*stream));
    }
    auto waiting = spawn([&address] { return UnixStream::connect(address, patience()); });
    test::let_park();
    runtime().request_stop();
    expect_error(waiting.join(), Errc::kCancelled);
  });
}

#else

TEST_P(UnixTest, AbstractNamesAreLinuxAlone) {
  expect_error(SocketAddress::unix_path("@rearm-test"), Errc::kNotSupported);
}

#endif

TEST_P(UnixTest, ClosingAListenerWakesItsAcceptor) {
  run([this] {
    UnixListener listener = expect_value(UnixListener::bind(directory_.fresh()));
    auto accepting = spawn([&listener] { return listener.accept(patience()); });
    test::let_park();
    expect_ok(listener.close());
    expect_error(accepting.join(), Errc::kClosed);
  });
}

TEST_P(UnixTest, ThePeersOfAPairAreUnnamed) {
  run([] {
    auto [first, second] = expect_value(UnixStream::pair());
    EXPECT_EQ(expect_value(first.local_address()).to_string(), "unix:");
    expect_ok(second.shutdown(Shutdown::kWrite));
    std::array<char, 4> buffer{};
    EXPECT_EQ(expect_value(first.read_some(buffer, patience())), 0U);
    expect_ok(first.write_all("half", patience()));
    expect_ok(second.read_exact(buffer, patience()));
  });
}

// --- Writes that nobody reads: an error, never a signal. ---

class SigpipeTest : public test::TransportTest {
 protected:
  void SetUp() override {
    TransportTest::SetUp();
    // Whoever raises it dies, as in a program that knows nothing of SIGPIPE.
    ::signal(SIGPIPE, SIG_DFL);
  }

  static bool sigpipe_is_pending() {
    sigset_t pending;
    ::sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
  }

  // A writer whose reader is gone.
  static Stream broken_writer() {
    auto [reader, writer, duplex] = ends();
    expect_ok(reader.close());
    return std::move(writer);
  }
};

INSTANTIATE_TEST_SUITE_P(Net, SigpipeTest, test::kAllTransports, test::transport_test_name);

TEST_P(SigpipeTest, AWriteToNobodyIsAnError) {
  run([] {
    Stream writer = broken_writer();
    const std::array<ConstBuffer, 2> vectors{ConstBuffer("a"), ConstBuffer("b")};
    // TCP takes the first one, and learns of the reset from the answer.
    const bool gone = test::eventually([&] {
      const auto written = writer.write_some("x", patience());
      return !written && written.error() == errno_code(EPIPE);
    });
    EXPECT_TRUE(gone);
    for (int i = 0; i < 3; ++i) {
      expect_error(writer.write_some("x", patience()), errno_code(EPIPE));
      expect_error(writer.write_all("x", patience()), errno_code(EPIPE));
      expect_error(writer.writev(vectors, patience()), errno_code(EPIPE));
    }
  });
}

TEST_P(SigpipeTest, ASignalThatWasPendingStaysPending) {
  run([] {
    // Nothing in here parks, so it is all one thread's mask.
    Stream writer = broken_writer();
    sigset_t sigpipe;
    sigset_t before;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    while (writer.write_some("x", test::at_once())) {
    }
    EXPECT_FALSE(sigpipe_is_pending()) << "the library left one behind";
    ::pthread_kill(::pthread_self(), SIGPIPE);
    expect_error(writer.write_some("x", test::at_once()), errno_code(EPIPE));
    EXPECT_TRUE(sigpipe_is_pending()) << "the library took somebody else's";
    int taken = 0;
    ::sigwait(&sigpipe, &taken);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
}

TEST_P(SigpipeTest, TheMaskIsAsItWasAfterAWrite) {
  run([] {
    auto [reader, writer, duplex] = ends();
    expect_ok(writer.write_all("x", test::at_once()));
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, SIGPIPE), 0);
  });
}

TEST_P(SigpipeTest, AWriterThatIsParkedLearnsThatItsReaderHasGone) {
  run([] {
    auto [reader, writer, duplex] = ends();
    test::fill_up(writer);
    auto parked = spawn([&writer] { return test::write_until_error(writer); });
    test::let_park();
    expect_ok(reader.close());
    const auto written = parked.join();
    ASSERT_FALSE(written);
    EXPECT_TRUE(written.error() == errno_code(EPIPE) || written.error() == errno_code(ECONNRESET))
        << written.error().message();
  });
}

TEST_P(SigpipeTest, AWriterThatIsParkedOnAPlainThreadLearnsItToo) {
  run([] {
    auto [reader, writer, duplex] = ends();
    test::fill_up(writer);
    std::atomic<bool> done{false};
    std::thread plain([&] {
      EXPECT_FALSE(test::write_until_error(writer));
      EXPECT_FALSE(sigpipe_is_pending());
      done.store(true);
    });
    test::let_park();
    expect_ok(reader.close());
    EXPECT_TRUE(test::eventually([&] { return done.load(); }));
    plain.join();
  });
}

}  // namespace
}  // namespace rearm
