// Connecting and listening.
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "sched/fiber.h"
#include "sched/worker.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::errno_code;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;

class ConnectTest : public test::WorkersTest {
 protected:
  static TcpListener listener(int backlog = 128) {
    return expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0), {.backlog = backlog}));
  }

  // A listener that never accepts and whose backlog is full: whoever connects now gets no answer,
  // as from a host that swallows packets.
  struct Blackhole {
    TcpListener listener = ConnectTest::listener(0);
    SocketAddress address = expect_value(listener.local_address());
    std::list<TcpStream> filling;

    Blackhole() {
      for (int i = 0; i < 100; ++i) {
        auto stream = TcpStream::connect(address, Deadline::after(200ms));
        if (!stream) {
          EXPECT_EQ(stream.error(), Errc::kTimedOut);
          return;
        }
        filling.push_back(std::move(*stream));
      }
      ADD_FAILURE() << "the backlog is never full";
    }
  };
};

INSTANTIATE_TEST_SUITE_P(Net, ConnectTest, ::testing::Values(1, 2), test::workers_test_name);

TEST_P(ConnectTest, BothSidesKnowEachOther) {
  run([] {
    for (const SocketAddress& any :
         {SocketAddress::ipv4_loopback(0), SocketAddress::ipv6_loopback(0)}) {
      auto bound = TcpListener::bind(any);
      if (!bound && bound.error() == std::errc::address_not_available) continue;  // No IPv6 here.
      TcpListener acceptor = expect_value(std::move(bound));
      const SocketAddress address = expect_value(acceptor.local_address());
      EXPECT_NE(address.port(), 0);
      TcpStream client = expect_value(TcpStream::connect(address, patience()));
      TcpStream server = expect_value(acceptor.accept(patience()));
      EXPECT_EQ(expect_value(client.peer_address()), address);
      EXPECT_EQ(expect_value(server.local_address()), address);
      EXPECT_EQ(expect_value(client.local_address()), expect_value(server.peer_address()));
      expect_ok(client.write_all("ping", patience()));
      std::array<char, 4> buffer{};
      expect_ok(server.read_exact(buffer, patience()));
    }
  });
}

TEST_P(ConnectTest, AcceptParksUntilSomebodyConnects) {
  run([] {
    TcpListener acceptor = listener();
    auto accepting = spawn([&] { return acceptor.accept(patience()).has_value(); });
    test::let_park();
    TcpStream client =
        expect_value(TcpStream::connect(expect_value(acceptor.local_address()), patience()));
    EXPECT_TRUE(accepting.join());
  });
}

TEST_P(ConnectTest, ARefusalIsReported) {
  run([] {
    SocketAddress nobody;
    {
      const TcpListener gone = listener();
      nobody = expect_value(gone.local_address());
    }
    for (int i = 0; i < 20; ++i) {
      expect_error(TcpStream::connect(nobody, patience()), errno_code(ECONNREFUSED));
    }
  });
}

TEST_P(ConnectTest, AConnectWithoutAnAnswerEndsAtItsDeadline) {
  run([] {
    const Blackhole blackhole;
    const auto start = std::chrono::steady_clock::now();
    expect_error(TcpStream::connect(blackhole.address, Deadline::after(20ms)), Errc::kTimedOut);
    EXPECT_GE(test::since(start), 20ms);
    expect_error(TcpStream::connect(blackhole.address, Deadline::after(-1s)), Errc::kTimedOut);
  });
}

TEST_P(ConnectTest, AStopEndsAConnectWithoutAnAnswer) {
  run([this] {
    const Blackhole blackhole;
    auto connecting = spawn([&] { return TcpStream::connect(blackhole.address, patience()); });
    test::let_park();
    runtime().request_stop();
    expect_error(connecting.join(), Errc::kCancelled);
  });
}

// R03. A spurious report must not pass for a connection: while the handshake has no answer, a
// deadline that is set over and over wakes the waiter for nothing.
TEST_P(ConnectTest, ASpuriousReportIsNotAConnection) {
  run([] {
    const Blackhole blackhole;
    auto connecting = spawn([&] { return TcpStream::connect(blackhole.address, patience()); });
    test::let_park();
    // The connecting socket is the newest descriptor; publish into both of its words.
    int disturbed = 0;
    for (int i = 0; i < 20; ++i) {
      detail::DescriptorTable::instance().for_each([&](detail::Descriptor& descriptor) {
        if (descriptor.lifetime.open_generation() == 0) return;
        WaiterList woken;
        descriptor.publish(detail::Ready::both(), woken);
        disturbed += woken.empty() ? 0 : 1;
        while (Waiter* const waiter = woken.pop_front()) detail::Worker::wake(*waiter);
      });
      (void)this_fiber::sleep_for(500us);
      EXPECT_FALSE(connecting.wait(Deadline::after(0s)));
    }
    EXPECT_GT(disturbed, 0);
    Runtime::current()->request_stop();
    expect_error(connecting.join(), Errc::kCancelled);
  });
}

TEST_P(ConnectTest, WrongFamiliesAreRefused) {
  run([] {
    const SocketAddress path = expect_value(SocketAddress::unix_path("/tmp/rearm-nobody"));
    const SocketAddress none;
    for (const SocketAddress& address : {path, none}) {
      expect_error(TcpStream::connect(address), Errc::kInvalidArgument);
      expect_error(TcpListener::bind(address), Errc::kInvalidArgument);
      expect_error(UdpSocket::bind(address), Errc::kInvalidArgument);
    }
    const SocketAddress ip = SocketAddress::ipv4_loopback(1);
    expect_error(UnixStream::connect(ip), Errc::kInvalidArgument);
    expect_error(UnixListener::bind(ip), Errc::kInvalidArgument);
    expect_error(UnixStream::connect(none), Errc::kInvalidArgument);
  });
}

TEST_P(ConnectTest, APortInUseIsReported) {
  run([] {
    const TcpListener first = listener();
    expect_error(TcpListener::bind(expect_value(first.local_address())), errno_code(EADDRINUSE));
  });
}

TEST_P(ConnectTest, ALingerOfZeroResets) {
  run([] {
    auto [a, b] = test::tcp_streams();
    expect_ok(b.set_linger(std::chrono::seconds(0)));
    expect_ok(b.close());
    std::array<char, 4> buffer{};
    expect_error(a.read_some(buffer, patience()), errno_code(ECONNRESET));
  });
}

// Takes every free descriptor number of the process while it lives.
class NoFreeDescriptors {
 public:
  NoFreeDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // The lowest free number becomes the limit: nothing more can be opened.
    const test::UniqueFd lowest = test::duplicate(STDERR_FILENO);
    // Holes above it do not count; numbers are handed out from below.
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(lowest.get());
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  NoFreeDescriptors(const NoFreeDescriptors&) = delete;
  NoFreeDescriptors& operator=(const NoFreeDescriptors&) = delete;
  ~NoFreeDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_P(ConnectTest, AcceptSaysThatDescriptorsHaveRunOutAndWorksWhenTheyAreBack) {
  run([] {
    TcpListener acceptor = listener();
    const SocketAddress address = expect_value(acceptor.local_address());
    // UBSan needs a descriptor to look at an error category for the first time: have it done.
    expect_error(acceptor.accept(test::at_once()), Errc::kTimedOut);
    TcpStream client = expect_value(TcpStream::connect(address, patience()));
    {
      const NoFreeDescriptors none;
      for (int i = 0; i < 3; ++i) {
        expect_error(acceptor.accept(patience()), errno_code(EMFILE));
      }
      expect_error(TcpStream::connect(address), errno_code(EMFILE));
      expect_error(Pipe::create(), errno_code(EMFILE));
      expect_error(UnixStream::pair(), errno_code(EMFILE));
      expect_error(UdpSocket::bind(SocketAddress::ipv4_loopback(0)), errno_code(EMFILE));
    }
    // The connection has stayed in the backlog.
    TcpStream server = expect_value(acceptor.accept(patience()));
    expect_ok(client.write_all("x", patience()));
    char byte = 0;
    expect_ok(server.read_exact(MutableBuffer(&byte, 1), patience()));
  });
}

TEST_P(ConnectTest, AnAcceptEndsAtItsDeadlineAndNotBefore) {
  const auto expect_timeout = [](auto& listener) {
    constexpr auto kTimeout = 3ms;
    const auto start = std::chrono::steady_clock::now();
    expect_error(listener.accept(Deadline::after(kTimeout)), Errc::kTimedOut);
    EXPECT_GE(test::since(start), kTimeout);
  };
  run([&] {
    TcpListener tcp = listener();
    expect_timeout(tcp);
    UnixListener local = expect_value(UnixListener::bind(expect_value(
        SocketAddress::unix_path("@rearm-test-accept-" + std::to_string(::getpid())))));
    expect_timeout(local);
  });
}

// A connection that was reset while it waited must not end accept().
TEST_P(ConnectTest, AbortedConnectionsDoNotStopTheAcceptor) {
  run([] {
    TcpListener acceptor = listener();
    const SocketAddress address = expect_value(acceptor.local_address());
    for (int i = 0; i < 10; ++i) {
      TcpStream aborted = expect_value(TcpStream::connect(address, patience()));
      expect_ok(aborted.set_linger(std::chrono::seconds(0)));
      expect_ok(aborted.close());
    }
    TcpStream client = expect_value(TcpStream::connect(address, patience()));
    expect_ok(client.write_all("!", patience()));
    // Linux hands aborted connections out; a read then says what became of them.
    for (int i = 0; i < 11; ++i) {
      TcpStream server = expect_value(acceptor.accept(patience()));
      char byte = 0;
      const auto n = server.read_some(MutableBuffer(&byte, 1), patience());
      if (n && byte == '!') return;
      expect_error(n, errno_code(ECONNRESET));
    }
    ADD_FAILURE() << "the live connection was never accepted";
  });
}

TEST_P(ConnectTest, AcceptHasADeadline) {
  run([] {
    TcpListener acceptor = listener();
    expect_error(acceptor.accept(Deadline::after(3ms)), Errc::kTimedOut);
    expect_error(acceptor.accept(Deadline::after(-1s)), Errc::kTimedOut);
    expect_ok(acceptor.set_deadline(Deadline::after(3ms)));
    expect_error(acceptor.accept(), Errc::kTimedOut);
    expect_ok(acceptor.set_deadline(Deadline::never()));
    const auto client = TcpStream::connect(expect_value(acceptor.local_address()), patience());
    expect_ok(client);
    expect_error(acceptor.accept(Deadline::after(-1s)), Errc::kTimedOut);  // Though it is there.
    expect_ok(acceptor.accept(test::at_once()));
    expect_error(acceptor.accept(test::at_once()), Errc::kTimedOut);
  });
}

// One byte of a client's says which connection it is.
char first_byte(TcpStream& stream) {
  char byte = 0;
  expect_ok(stream.read_exact(MutableBuffer(&byte, 1), patience()));
  return byte;
}

TEST_P(ConnectTest, AcceptorsStandInLineFirstComeFirstServed) {
  run([] {
    TcpListener acceptor = listener();
    const SocketAddress address = expect_value(acceptor.local_address());
    constexpr int kAcceptors = 8;
    std::vector<JoinHandle<Result<TcpStream>>> acceptors;
    for (int i = 0; i < kAcceptors; ++i) {
      acceptors.push_back(spawn([&] { return acceptor.accept(patience()); }));
      test::let_park();
    }
    // One that does not wait does not stand in line.
    expect_error(acceptor.accept(test::at_once()), Errc::kTimedOut);
    std::vector<TcpStream> clients;
    for (int i = 0; i < kAcceptors; ++i) {
      clients.push_back(expect_value(TcpStream::connect(address, patience())));
      const char name = static_cast<char>('a' + i);
      expect_ok(clients.back().write_all(ConstBuffer(&name, 1), patience()));
    }
    for (int i = 0; i < kAcceptors; ++i) {
      TcpStream accepted = expect_value(acceptors[static_cast<std::size_t>(i)].join());
      EXPECT_EQ(first_byte(accepted), 'a' + i);
    }
  });
}

TEST_P(ConnectTest, ADeadlineOfOneInTheMiddleOfTheLineEndsThatOneAlone) {
  run([] {
    TcpListener acceptor = listener();
    const SocketAddress address = expect_value(acceptor.local_address());
    auto first = spawn([&] { return acceptor.accept(patience()); });
    test::let_park();
    auto second = spawn([&] { return acceptor.accept(Deadline::after(3ms)); });
    test::let_park();
    auto third = spawn([&] { return acceptor.accept(patience()); });
    expect_error(second.join(), Errc::kTimedOut);
    const auto one = TcpStream::connect(address, patience());
    expect_ok(first.join());
    const auto two = TcpStream::connect(address, patience());
    expect_ok(third.join());
  });
}

// The one that has the turn gives up: the next one takes it.
TEST_P(ConnectTest, ADeadlineOfTheFirstInLinePassesTheTurnOn) {
  run([] {
    TcpListener acceptor = listener();
    auto first = spawn([&] { return acceptor.accept(Deadline::after(3ms)); });
    test::let_park();
    auto second = spawn([&] { return acceptor.accept(patience()); });
    auto third = spawn([&] { return acceptor.accept(patience()); });
    expect_error(first.join(), Errc::kTimedOut);
    const SocketAddress address = expect_value(acceptor.local_address());
    const auto one = TcpStream::connect(address, patience());
    const auto two = TcpStream::connect(address, patience());
    expect_ok(second.join());
    expect_ok(third.join());
  });
}

TEST_P(ConnectTest, AStandingDeadlineReachesAllThatStandInLine) {
  run([] {
    TcpListener acceptor = listener();
    std::vector<JoinHandle<Result<TcpStream>>> acceptors;
    for (int i = 0; i < 5; ++i) acceptors.push_back(spawn([&] { return acceptor.accept(); }));
    test::let_park();
    expect_ok(acceptor.set_deadline(Deadline::after(1ms)));
    for (auto& one : acceptors) expect_error(one.join(), Errc::kTimedOut);
  });
}

// The one that has the turn has a deadline of its own, so that it passes nothing on.
TEST_P(ConnectTest, AStandingDeadlineReachesTheLineBehindOneThatStays) {
  run([] {
    TcpListener acceptor = listener();
    auto first = spawn([&] { return acceptor.accept(patience()); });
    test::let_park();
    std::vector<JoinHandle<Result<TcpStream>>> others;
    for (int i = 0; i < 3; ++i) others.push_back(spawn([&] { return acceptor.accept(); }));
    test::let_park();
    expect_ok(acceptor.set_deadline(Deadline::after(1ms)));
    for (auto& one : others) expect_error(one.join(), Errc::kTimedOut);
    EXPECT_TRUE(first.joinable());
    const auto client = TcpStream::connect(expect_value(acceptor.local_address()), patience());
    expect_ok(first.join());
  });
}

TEST_P(ConnectTest, ACloseAndAStopReachAllThatStandInLine) {
  for (const bool by_close : {true, false}) {
    run([&] {
      TcpListener acceptor = listener();
      std::vector<JoinHandle<Result<TcpStream>>> acceptors;
      for (int i = 0; i < 5; ++i) {
        acceptors.push_back(spawn([&] { return acceptor.accept(); }));
      }
      test::let_park();
      by_close ? expect_ok(acceptor.close()) : runtime().request_stop();
      for (auto& one : acceptors) {
        expect_error(one.join(), by_close ? Errc::kClosed : Errc::kCancelled);
      }
    });
  }
}

// Race: acceptors with deadlines that come and go in the line, against connections at all moments.
// Forbidden: an acceptor without a deadline that sleeps although a connection waits.
TEST_P(ConnectTest, NoConnectionIsLeftInTheBacklogWhileAcceptorsComeAndGo) {
  const std::uint64_t connections = test::scaled(test::kSanitized ? 100 : 600);
  run([&] {
    TcpListener acceptor = listener();
    const SocketAddress address = expect_value(acceptor.local_address());
    std::atomic<std::uint64_t> accepted{0};
    std::vector<JoinHandle<void>> acceptors;
    for (const auto timeout : {0us, 40us, 90us, 20'000'000us, 20'000'000us}) {
      acceptors.push_back(spawn([&, timeout] {
        for (;;) {
          const auto stream = acceptor.accept(Deadline::after(timeout));
          if (stream) {
            accepted.fetch_add(1);
          } else if (stream.error() == Errc::kClosed) {
            return;
          } else {
            EXPECT_EQ(stream.error(), Errc::kTimedOut);
            this_fiber::yield();
          }
        }
      }));
    }
    for (std::uint64_t i = 0; i < connections; ++i) {
      const auto client = TcpStream::connect(address, patience());
      expect_ok(client);
      if (i % 3 == 0) {
        EXPECT_TRUE(test::eventually([&] { return accepted.load() == i + 1; }));
      }
    }
    EXPECT_TRUE(test::eventually([&] { return accepted.load() == connections; }));
    expect_ok(acceptor.close());
    for (auto& one : acceptors) one.join();
  });
}

// A connect() to a port of this machine that nothing listens on now and then meets itself, if the
// kernel chooses that port for it. Linux takes every other port of its range in turn for one
// destination: so the destination is a port that it takes.
TEST_P(ConnectTest, AConnectionToItselfIsNone) {
  run([] {
    const SocketAddress nobody = [] {
      TcpListener acceptor = listener();
      const auto client =
          expect_value(TcpStream::connect(expect_value(acceptor.local_address()), patience()));
      const std::uint16_t port = expect_value(client.local_address()).port();
      return SocketAddress::ipv4_loopback(static_cast<std::uint16_t>(port - 200));
    }();
    for (int i = 0; i < 16'384; ++i) {
      const auto stream = TcpStream::connect(nobody, patience());
      ASSERT_FALSE(stream) << "after " << i << " tries, from "
                           << expect_value(stream->local_address()).to_string();
      ASSERT_EQ(stream.error(), errno_code(ECONNREFUSED));
    }
  });
}

TEST_P(ConnectTest, ClosingAListenerWakesItsAcceptor) {
  run([] {
    TcpListener acceptor = listener();
    const SocketAddress address = expect_value(acceptor.local_address());
    auto accepting = spawn([&] { return acceptor.accept(patience()); });
    test::let_park();
    expect_ok(acceptor.close());
    expect_error(accepting.join(), Errc::kClosed);
    EXPECT_FALSE(acceptor.is_open());
    expect_error(acceptor.accept(patience()), Errc::kClosed);
    expect_error(TcpStream::connect(address, patience()), errno_code(ECONNREFUSED));
  });
}

TEST_P(ConnectTest, AListenerIsAdopted) {
  run([] {
    TcpListener original = listener();
    TcpListener adopted =
        expect_value(TcpListener::adopt(test::duplicate(original.native_handle()).release()));
    expect_ok(original.close());
    const auto client = TcpStream::connect(expect_value(adopted.local_address()), patience());
    expect_ok(client);
    expect_ok(adopted.accept(patience()));
  });
}

// The accepted and the connecting side are close-on-exec and non-blocking, however they came about.
TEST_P(ConnectTest, EverySocketIsCloseOnExecAndNonBlocking) {
  run([] {
    TcpListener acceptor = listener();
    const TcpStream client =
        expect_value(TcpStream::connect(expect_value(acceptor.local_address()), patience()));
    const TcpStream server = expect_value(acceptor.accept(patience()));
    const UdpSocket udp = expect_value(UdpSocket::bind(SocketAddress::ipv4_loopback(0)));
    const auto unix_pair = expect_value(UnixStream::pair());
    const Pipe pipe = expect_value(Pipe::create());
    for (const int fd :
         {acceptor.native_handle(), client.native_handle(), server.native_handle(),
          udp.native_handle(), unix_pair.first.native_handle(), unix_pair.second.native_handle(),
          pipe.read_end.native_handle(), pipe.write_end.native_handle()}) {
      EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
      EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    }
  });
}

}  // namespace
}  // namespace rearm
