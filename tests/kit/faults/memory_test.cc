// Exhausted memory: whichever allocation of the library fails, alone or with all that follow it,
// over every backend, the call that needed it says so, and nothing is lost.
//
// What is held against the library
//   - A call that returns a Result says not_enough_memory, a spawn kStacksExhausted; a Runtime's
//     constructor and run() throw, run() before anything has run. Nothing else throws, and nothing
//     ends the process.
//   - A number that a failing call was given stays the caller's.
//   - Afterwards no fd, descriptor, fiber or stack is left, and no block of memory but the segments
//     of the descriptor table, which stay for ever; and the same runtime runs.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "faults/heap.h"
#include "poller/descriptor_table.h"
#include "rearm/rearm.h"
#include "support/leak_check.h"
#include "support/sockets.h"

namespace rearm::test::faults {
namespace {

// What came of a run. From any fiber or thread; allocates nothing.
class Outcome {
 public:
  // Whether `result` is a success. An error must be of memory, or come after one that was.
  template <class T>
  bool good(const Result<T>& result, const char* what) noexcept {
    if (result) return true;
    if (result.error() == std::errc::not_enough_memory ||
        result.error() == Errc::kStacksExhausted) {
      refuse();
    } else {
      expect(was_refused() && result.error() != Errc::kTimedOut, what);
    }
    return false;
  }
  void expect(bool condition, const char* what) noexcept {
    if (!condition) wrong_.store(what);
  }
  void refuse() noexcept { refused_.store(true); }

  // Whether somebody was told that there is no memory.
  [[nodiscard]] bool was_refused() const noexcept { return refused_.load(); }
  // What is not as it should be; empty if all is.
  [[nodiscard]] std::string_view wrong() const noexcept { return wrong_.load(); }

 private:
  std::atomic<bool> refused_{false};
  std::atomic<const char*> wrong_{""};
};

Deadline patience() { return Deadline::after(std::chrono::seconds(20)); }

// Opens a runtime, runs `first` in it if that can be, and proves that nothing is left and that it
// works when there is memory.
template <class F>
void run(Outcome& outcome, const Runtime::Options& options, F first) {
  std::optional<Runtime> runtime;
  try {
    runtime.emplace(options);
  } catch (const std::bad_alloc&) {
    return outcome.refuse();
  }
  bool has_run = false;
  bool threw = true;
  try {
    runtime->run([&] {
      has_run = true;
      first();
    });
    threw = false;
  } catch (const std::bad_alloc&) {
    outcome.refuse();
  } catch (const std::system_error& error) {
    outcome.expect(error.code() == Errc::kStacksExhausted, "run() threw another error");
    outcome.refuse();
  }
  outcome.expect(threw != has_run, "run() threw after something had run");
  const Relief relief;
  outcome.expect(runtime->run([] { return spawn([] { return 5; }).join(); }) == 5,
                 "the runtime does not work again");
  outcome.expect(threw != has_run, "run() threw and left its first fiber behind");
  const Runtime::Stats stats = runtime->stats();
  outcome.expect(stats.fibers_alive == 0, "a fiber is left");
  outcome.expect(stats.stacks_taken == 0, "a stack is left");
  outcome.expect(stats.poller.descriptors == 0, "a descriptor is left in its poller");
}

// --- Scenarios: they allocate nothing themselves. ---

struct CountingWaiter final : Waiter {
  unsigned returns = 0;
};

// One number in its poller: a report comes, and the waiter with it.
void await_report(Outcome& outcome, Poller& poller, Token token, int peer) {
  CountingWaiter waiter;
  for (;;) {
    const auto parked = poller.wait(token, Direction::kRead, waiter);
    if (!outcome.good(parked, "wait")) return;
    if (*parked == Poller::Prepared::kParked) break;
  }
  send_text(peer, "x");
  while (waiter.returns == 0) {
    WaiterList list = poller.collect(patience());
    while (Waiter* const one = list.pop_front()) ++static_cast<CountingWaiter*>(one)->returns;
  }
  outcome.expect(waiter.returns == 1, "a waiter came back twice");
}

// More numbers than the table's first segment has room for, and a pipe's end that kqueue refuses
// in a way that must be remembered (kqueue(2) of FreeBSD, EPIPE).
void poller_alone(Outcome& outcome, std::string_view backend) {
  constexpr std::size_t kPairs = 70;
  std::array<FdPair, kPairs> pairs;
  for (FdPair& pair : pairs) pair = socket_pair();
  FdPair broken = pipe_pair();
  broken.a.reset();

  auto poller = Poller::open({.backend = backend});
  if (!outcome.good(poller, "Poller::open")) return;
  const auto add = [&](UniqueFd& fd) -> std::optional<Token> {
    const auto token = poller->add(fd.get());
    if (!outcome.good(token, "add")) {
      outcome.expect(is_open(fd.get()), "a number that was not added is gone");
      return std::nullopt;
    }
    (void)fd.release();
    return *token;
  };
  (void)add(broken.b);
  for (std::size_t i = 0; i < kPairs; ++i) {
    const auto token = add(pairs[i].a);
    if (!token || i % 8 != 0) continue;
    await_report(outcome, *poller, *token, pairs[i].b.get());
    if (i % 16 == 0) (void)outcome.good(poller->close(*token), "close");
  }
}

// More fibers at once than one mapping has stacks.
void fibers(Outcome& outcome, const Runtime::Options& options) {
  run(outcome, options, [&] {
    std::array<JoinHandle<std::size_t>, 70> handles;
    for (std::size_t i = 0; i < handles.size(); ++i) {
      auto handle = try_spawn([i] { return i; });
      if (outcome.good(handle, "try_spawn")) handles[i] = std::move(*handle);
    }
    for (std::size_t i = 0; i < handles.size(); ++i) {
      if (handles[i].joinable()) outcome.expect(handles[i].join() == i, "another fiber's result");
    }
  });
}

void one_worker(Outcome& outcome, std::string_view backend) {
  fibers(outcome, {.workers = 1, .stack_bytes = 64 * 1024, .backend = backend});
}

void three_workers(Outcome& outcome, std::string_view backend) {
  fibers(outcome, {.workers = 3, .stack_bytes = 64 * 1024, .backend = backend});
}

// Echoes until the client has said all.
void echo(Outcome& outcome, TcpListener& listener) {
  auto stream = listener.accept(patience());
  if (!outcome.good(stream, "accept")) return;
  std::array<char, 16> buffer{};
  for (;;) {
    const auto n = stream->read_some(buffer, patience());
    if (!outcome.good(n, "read") || *n == 0) return;
    const auto done = stream->write_all({buffer.data(), *n}, patience());
    if (!outcome.good(done, "write")) return;
  }
}

void converse(Outcome& outcome, TcpListener& listener) {
  const auto address = listener.local_address();
  if (!outcome.good(address, "local_address")) return;
  auto stream = TcpStream::connect(*address, patience());
  if (!outcome.good(stream, "connect")) return;
  if (!outcome.good(stream->write_all("hello", patience()), "write")) return;
  std::array<char, 5> heard{};
  if (!outcome.good(stream->read_exact(heard, patience()), "read")) return;
  outcome.expect(std::string_view(heard.data(), heard.size()) == "hello", "the echo is another");
}

void tcp_echo(Outcome& outcome, std::string_view backend) {
  run(outcome, {.workers = 1, .stack_bytes = 64 * 1024, .backend = backend}, [&] {
    auto listener = TcpListener::bind(SocketAddress::ipv4_loopback(0));
    if (!outcome.good(listener, "bind")) return;
    auto server = try_spawn([&] { echo(outcome, *listener); });
    if (outcome.good(server, "try_spawn")) converse(outcome, *listener);
    (void)listener->close();  // Or the server would wait for a client that could not come.
    if (server) server->join();
  });
}

// What else opens descriptors; and numbers from outside.
void pairs_and_pipes(Outcome& outcome, std::string_view backend) {
  run(outcome, {.workers = 1, .stack_bytes = 64 * 1024, .backend = backend}, [&] {
    (void)outcome.good(UnixStream::pair(), "UnixStream::pair");
    (void)outcome.good(Pipe::create(), "Pipe::create");
    (void)outcome.good(UdpSocket::bind(SocketAddress::ipv4_loopback(0)), "UdpSocket::bind");
    FdPair tcp = tcp_pair();
    auto stream = TcpStream::adopt(tcp.a.get());
    if (outcome.good(stream, "TcpStream::adopt")) {
      (void)tcp.a.release();
    } else {
      outcome.expect(is_open(tcp.a.get()), "a number that was not adopted is gone");
    }
  });
}

// Texts that no short string holds.
void addresses(Outcome& outcome, std::string_view /*backend*/) {
  const auto address =
      SocketAddress::parse("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535");
  outcome.expect(address && address->port() == 65535, "the longest address");
  for (const std::string_view text : {"[fe80::1%an-interface-that-there-cannot-be]:80",
                                      "a-host-that-is-no-number.example.org:80"}) {
    const auto none = SocketAddress::parse(text);
    outcome.expect(!none && none.error() == Errc::kInvalidArgument, "what is no address");
  }
}

// --- The sweep. ---

struct Scenario {
  std::string_view name;
  void (*run)(Outcome& outcome, std::string_view backend);
};

constexpr Scenario kScenarios[] = {
    {"poller_alone", poller_alone},       {"one_worker", one_worker},
    {"three_workers", three_workers},     {"tcp_echo", tcp_echo},
    {"pairs_and_pipes", pairs_and_pipes}, {"addresses", addresses},
};

// How many segments the table has. They are never given back.
std::int64_t table_segments() {
  std::int64_t k = 0;
  while (detail::DescriptorTable::instance().find(64 * ((std::uint32_t{1} << k) - 1)) != nullptr) {
    ++k;
  }
  return k;
}

using Parameter = std::tuple<Scenario, std::string_view>;

class MemoryTest : public LeakCheck, public ::testing::WithParamInterface<Parameter> {
 protected:
  // The set of numbers keeps what it has once needed, too; MemoryOfTheFirst begins without.
  static void SetUpTestSuite() {
    detail::DescriptorTable& table = detail::DescriptorTable::instance();
    const auto slot = table.allocate(1023);
    ASSERT_TRUE(slot);
    table.free(**slot, 1023);
  }

  // Whether the n-th allocation was made, and so has failed.
  static bool fail_nth(std::uint64_t n, Lasting lasting) {
    const auto& [scenario, backend] = GetParam();
    const auto fds = open_fds();
    const std::int64_t blocks = blocks_held() - table_segments();
    Outcome outcome;
    {
      const Shortage shortage(n, lasting);
      try {
        scenario.run(outcome, backend);
      } catch (const std::exception&) {
        outcome.expect(false, "a call that returns its errors has thrown");
      }
    }
    EXPECT_EQ(outcome.wrong(), "");
    EXPECT_EQ(blocks_held() - table_segments(), blocks) << "blocks of memory are left";
    EXPECT_EQ(open_fds(), fds);
    EXPECT_EQ(outcome.was_refused(), Shortage::failures() != 0)
        << "nobody was told, or for nothing";
    return Shortage::failures() != 0;
  }
};

INSTANTIATE_TEST_SUITE_P(Faults, MemoryTest,
                         ::testing::Combine(::testing::ValuesIn(kScenarios),
                                            ::testing::ValuesIn(Poller::backends())),
                         [](const auto& one) {
                           return std::string(std::get<0>(one.param).name) + "_over_" +
                                  std::string(std::get<1>(one.param));
                         });

TEST_P(MemoryTest, WhicheverAllocationFailsTheCallThatNeededItSaysSo) {
  constexpr std::uint64_t kMost = 500;  // None has more than a tenth of that.
  for (const Lasting lasting : {Lasting::kOnce, Lasting::kFromThenOn}) {
    const char* const how = lasting == Lasting::kOnce ? "alone" : "with all that follow";
    std::uint64_t n = 1;
    while (fail_nth(n, lasting) && !HasFailure() && n < kMost) ++n;
    ASSERT_FALSE(HasFailure()) << "allocation " << n << " failed " << how;
    ASSERT_LT(n, kMost);
    // Without an allocation that fails it proves nothing; addresses need none.
    EXPECT_TRUE(n > 1 || std::get<0>(GetParam()).run == addresses);
    std::printf("allocations that failed %s: %llu\n", how, static_cast<unsigned long long>(n - 1));
  }
}

// The table of descriptors is made when it is first needed. Here nobody has needed it yet, if the
// case runs in a process of its own, as it does under ctest.
TEST(MemoryOfTheFirst, OpeningThePollerThatNeedsTheTableSaysSo) {
  for (std::uint64_t n = 1;; ++n) {
    Outcome outcome;
    {
      const Shortage shortage(n, Lasting::kFromThenOn);
      (void)outcome.good(Poller::open({.backend = "epoll"}), "Poller::open");
    }
    ASSERT_EQ(outcome.was_refused(), Shortage::failures() != 0);
    if (Shortage::failures() == 0) break;
  }
}

class MemoryOfWaits : public LeakCheck, public ::testing::WithParamInterface<std::string_view> {};

INSTANTIATE_TEST_SUITE_P(Faults, MemoryOfWaits, ::testing::ValuesIn(Poller::backends()),
                         [](const auto& one) { return std::string(one.param); });

// So they cannot fail for want of memory (include/rearm/net/fd.h).
TEST_P(MemoryOfWaits, ReadsWritesDeadlinesAndClosesAllocateNothing) {
  Runtime runtime({.workers = 2, .backend = GetParam()});
  Outcome outcome;
  runtime.run([&] {
    auto pair = UnixStream::pair();
    ASSERT_TRUE(pair);
    const Shortage shortage(1, Lasting::kFromThenOn);
    auto peer = spawn([&] {
      std::array<char, 8> buffer{};
      while (const auto n = pair->second.read_some(buffer, patience())) {
        if (*n == 0) break;
        (void)outcome.good(pair->second.write_all({buffer.data(), *n}), "write");
      }
    });
    std::array<char, 8> buffer{};
    for (int i = 0; i < 50; ++i) {
      (void)outcome.good(pair->first.write_all("ping"), "write");
      (void)outcome.good(pair->first.read_some(buffer, patience()), "read");
      const auto late =
          pair->first.read_some(buffer, Deadline::after(std::chrono::microseconds(50)));
      outcome.expect(!late && late.error() == Errc::kTimedOut, "nobody has said anything");
    }
    (void)outcome.good(pair->first.close(), "close");
    peer.join();
  });
  EXPECT_EQ(Shortage::allocations(), 0U);
  EXPECT_EQ(outcome.wrong(), "");
  EXPECT_FALSE(outcome.was_refused());
}

struct LongComplaint : std::exception {
  [[nodiscard]] const char* what() const noexcept override {
    return "a complaint that no short string has room for";
  }
};

TEST(MemoryDeathTest, AnExceptionThatNobodyReceivesIsNamedWithoutMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Runtime runtime({.workers = 1});
        std::optional<Shortage> shortage;
        runtime.run([&] {
          spawn([&] {
            shortage.emplace(1, Lasting::kFromThenOn);
            throw LongComplaint();
          }).detach();
        });
      },
      "was detached and threw: a complaint that no short string has room for");
}

}  // namespace
}  // namespace rearm::test::faults
