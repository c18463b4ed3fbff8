// Many of everything: floods, closes during everything, a thousand parked connections.
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "net/net_fixture.h"
#include "sched/signal_storm.h"
#include "support/scale.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using test::expect_error;
using test::expect_ok;
using test::expect_value;
using test::patience;

class NetStressTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Net, NetStressTest, ::testing::Values(1, 3), test::workers_test_name);

void echo(TcpStream stream) {
  std::array<char, 512> buffer{};
  for (;;) {
    const auto n = stream.read_some(buffer, patience());
    if (!n || *n == 0) return;
    if (!stream.write_all(ConstBuffer(buffer.data(), *n), patience())) return;
  }
}

// Serves echoes until the listener is closed.
void serve(TcpListener& listener) {
  for (;;) {
    auto stream = listener.accept(patience());
    if (!stream) {
      EXPECT_EQ(stream.error(), Errc::kClosed);
      return;
    }
    spawn([stream = std::move(*stream)]() mutable { echo(std::move(stream)); }).detach();
  }
}

void ask(TcpStream& stream, const std::string& text) {
  const auto written = stream.write_all(text, patience());
  ASSERT_TRUE(written) << written.error().message();
  std::string answer(text.size(), ' ');
  const auto read = stream.read_exact(answer, patience());
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_EQ(answer, text);
}

TEST_P(NetStressTest, ManyConnectionsEchoAtOnce) {
  constexpr int kConnections = 200;
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 3 : 30);
  run([&] {
    TcpListener listener = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    const SocketAddress address = expect_value(listener.local_address());
    auto server = spawn([&] { serve(listener); });
    std::vector<JoinHandle<void>> clients;
    for (int i = 0; i < kConnections; ++i) {
      clients.push_back(spawn([&, i] {
        TcpStream stream = expect_value(TcpStream::connect(address, patience()));
        for (std::uint64_t round = 0; round < rounds; ++round) {
          ask(stream, std::string(1 + (round * 37) % 400, static_cast<char>('a' + i % 26)));
        }
      }));
    }
    for (auto& client : clients) client.join();
    expect_ok(listener.close());
    server.join();
  });
}

TEST_P(NetStressTest, AFloodOfConnectsAndClosesLeavesNothing) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 50 : 500);
  run([&] {
    TcpListener listener = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
    const SocketAddress address = expect_value(listener.local_address());
    auto server = spawn([&] { serve(listener); });
    std::vector<JoinHandle<void>> clients;
    for (std::uint64_t i = 0; i < 8; ++i) {
      clients.push_back(spawn([&, i] {
        for (std::uint64_t round = i; round < rounds; round += 8) {
          TcpStream stream = expect_value(TcpStream::connect(address, patience()));
          if (round % 3 == 0)
            expect_ok(stream.set_linger(std::chrono::seconds(0)));  // Ends with a reset.
          if (round % 2 == 0) ask(stream, "flood");
        }
      }));
    }
    for (auto& client : clients) client.join();
    expect_ok(listener.close());
    server.join();
  });
}

// R20. A thousand connections parked in reads; the runtime is asked to stop: all of them return.
TEST_P(NetStressTest, AStopReturnsAThousandParkedReaders) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const int connections = files.rlim_cur >= 2'200 ? 1'000 : static_cast<int>(files.rlim_cur / 3);
  std::atomic<int> cancelled{0};
  run([&] {
    std::atomic<int> parked{0};
    std::vector<test::UniqueFd> peers;
    for (int i = 0; i < connections; ++i) {
      test::FdPair pair = test::socket_pair();
      peers.push_back(std::move(pair.b));
      spawn([&, stream = expect_value(UnixStream::adopt(pair.a.release()))]() mutable {
        char byte = 0;
        ++parked;
        const auto n = stream.read_some(MutableBuffer(&byte, 1), Deadline::never());
        cancelled += !n && n.error() == Errc::kCancelled;
      }).detach();
    }
    EXPECT_TRUE(test::eventually([&] { return parked.load() == connections; }));
    std::thread([this] { runtime().request_stop(); }).join();
    while (cancelled.load() < connections)
      this_fiber::yield();  // The test's own limit of time ends it.
  });
  EXPECT_EQ(cancelled.load(), connections);
}

// Whatever a read or write may say while others close the same descriptor.
template <class T>
void expect_harmless(const Result<T>& result) {
  if (result) return;
  const std::error_code error = result.error();
  EXPECT_TRUE(error == Errc::kClosed || error == Errc::kBusy || error == Errc::kTimedOut ||
              error == test::errno_code(EPIPE) || error == test::errno_code(ECONNRESET))
      << error.message();
}

std::chrono::microseconds processor_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// Race: reads, writes, deadlines and release against close from fibers and a plain thread, while
// numbers are reused at once (R01, R02, R12, R17, R61). Forbidden: a byte of one connection that
// arrives in another, an operation that never returns, a number closed twice; the fixture counts.
TEST_P(NetStressTest, ClosingDuringEverythingMixesNothingUp) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 30 : 300);
  run([&] {
    for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
      auto [near, far] = test::tcp_streams();
      expect_ok(near.set_send_buffer_bytes(4096));
      expect_ok(far.set_send_buffer_bytes(4096));
      const char letter = static_cast<char>('a' + round % 26);
      std::vector<JoinHandle<void>> handles;
      for (Stream* const fd : {static_cast<Stream*>(&near), static_cast<Stream*>(&far)}) {
        handles.push_back(spawn([fd, letter] {
          std::array<char, 64> buffer{};
          for (;;) {
            const auto n = fd->read_some(buffer, patience());
            expect_harmless(n);
            if (!n || *n == 0) return;
            const std::string_view bytes(buffer.data(), *n);
            ASSERT_EQ(bytes.find_first_not_of(letter), bytes.npos) << "a stranger's: " << bytes;
          }
        }));
        handles.push_back(spawn([fd, letter] {
          const std::string block(1000, letter);
          for (;;) {
            const auto n = fd->write_some(block, patience());
            expect_harmless(n);
            if (!n) return;
          }
        }));
      }
      handles.push_back(spawn([&near] {
        for (int i = 0; i < 3; ++i) {
          expect_harmless(near.set_deadline(Deadline::after(1h)));
          this_fiber::yield();
        }
      }));
      std::thread plain;
      if (round % 3 == 0) {
        plain = std::thread([&far] { expect_harmless(far.close()); });
      }
      for (std::uint64_t k = round % 20; k > 0; --k) this_fiber::yield();
      expect_harmless(near.close());
      for (auto& handle : handles) handle.join();
      if (plain.joinable()) plain.join();
    }
  });
}

// R58. close() from everywhere at once: one of them closes, the number is closed once.
TEST_P(NetStressTest, OnlyOneOfManyClosesCloses) {
  const std::uint64_t rounds = test::scaled(200);
  run([&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      auto [near, far] = test::tcp_streams();
      std::atomic<int> closed{0};
      std::vector<JoinHandle<void>> closers;
      for (int i = 0; i < 4; ++i) {
        closers.push_back(spawn([&] { closed += near.close().has_value(); }));
      }
      for (auto& closer : closers) closer.join();
      EXPECT_EQ(closed.load(), 1);
    }
  });
}

// R60. A writer that is stuck and a reader that gets a byte now and then, on one descriptor: the
// reports for one must not keep the other awake.
TEST_P(NetStressTest, AStuckWriterSleepsWhileTheReaderOfTheSameStreamWorks) {
  run([] {
    auto [near, far] = test::tcp_streams();
    test::fill_up(near);
    auto stuck = spawn([&near] { return test::write_until_error(near); });
    constexpr int kBytes = 40;
    auto reader = spawn([&near] {
      std::array<char, 16> buffer{};
      for (std::size_t received = 0; received < kBytes;) {
        received += expect_value(near.read_some(buffer, patience()));
      }
    });
    test::let_park();
    const auto before = processor_time();
    for (int i = 0; i < kBytes; ++i) {
      expect_ok(far.write_all("y", patience()));
      (void)this_fiber::sleep_for(5ms);
    }
    const auto used = processor_time() - before;
    EXPECT_LT(used, test::kSanitized ? 100ms : 40ms) << used.count() << " us of 200 ms";
    reader.join();
    EXPECT_FALSE(stuck.wait(Deadline::after(0s)));
    expect_ok(near.close());
    expect_error(stuck.join(), Errc::kClosed);
  });
}

// Signals at every thread, a thousand a second: no operation ends early, none says EINTR.
TEST_P(NetStressTest, SignalsHaveNoEffectOnInputAndOutput) {
  const std::uint64_t rounds = test::scaled(test::kSanitized ? 5 : 50);
  const long before = test::SignalStorm::received();
  {
    const test::SignalStorm storm;
    run([&] {
      TcpListener listener = expect_value(TcpListener::bind(SocketAddress::ipv4_loopback(0)));
      const SocketAddress address = expect_value(listener.local_address());
      auto server = spawn([&] { serve(listener); });
      std::vector<JoinHandle<void>> clients;
      for (int i = 0; i < 8; ++i) {
        clients.push_back(spawn([&] {
          for (std::uint64_t round = 0; round < rounds; ++round) {
            TcpStream stream = expect_value(TcpStream::connect(address, patience()));
            ask(stream, std::string(300, 's'));
            char byte = 0;
            const auto start = std::chrono::steady_clock::now();
            expect_error(stream.read_some(MutableBuffer(&byte, 1), Deadline::after(3ms)),
                         Errc::kTimedOut);
            EXPECT_GE(test::since(start), 3ms);
          }
        }));
      }
      for (auto& client : clients) client.join();
      expect_ok(listener.close());
      server.join();
    });
  }
  EXPECT_GT(test::SignalStorm::received(), before);
}

}  // namespace
}  // namespace rearm
