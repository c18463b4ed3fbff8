// How many system calls an operation makes, where one is promised to be left out: the gate counts
// them, and no fault is in force.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "faults/world.h"
#include "support/sockets.h"

namespace rearm::test::faults {
namespace {

constexpr std::uint64_t kRounds = 200;

// Passes a byte on, and waits for it to come back into more room than it fills.
void play(TcpStream& stream, bool begins) {
  const auto pass_on = [&] { EXPECT_TRUE(stream.write_all("x", long_deadline())); };
  std::array<char, 64> buffer{};
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    if (begins) pass_on();
    const auto n = stream.read_some(buffer, long_deadline());
    ASSERT_TRUE(n) << n.error().message();
    ASSERT_EQ(*n, 1U);
    if (!begins) pass_on();
  }
}

std::uint64_t reads_of_ping_pongs(std::string_view backend) {
  FaultPlan plan = FaultPlan::nothing();
  const Armed armed(plan);
  Runtime runtime({.workers = 1, .backend = backend});
  runtime.run([] {
    FdPair pair = tcp_pair();
    auto ping = TcpStream::adopt(pair.a.release());
    auto pong = TcpStream::adopt(pair.b.release());
    ASSERT_TRUE(ping && pong);
    auto answers = spawn([&] { play(*pong, false); });
    play(*ping, true);
    answers.join();
  });
  return plan.calls_of(Call::k_read) + plan.calls_of(Call::k_readv) +
         plan.calls_of(Call::k_recvmsg);
}

// Not over kqueue, whose reports of reading turn the rule off (backend_kqueue.cc, "All").
class CallCount : public ::testing::TestWithParam<std::string_view> {};

INSTANTIATE_TEST_SUITE_P(Faults, CallCount, ::testing::Values("epoll", "event_port", "poll"),
                         [](const auto& one) { return std::string(one.param); });

// The short-read rule (src/net/fd_access.h). Without it each of these reads is made twice: nobody
// has answered yet when it is made first.
TEST_P(CallCount, AReadAfterAShortOneIsMadeOnce) {
  const std::uint64_t reads = reads_of_ping_pongs(GetParam());
  constexpr std::uint64_t kFew = kRounds / 10;  // The first of each stream; a spurious report.
  EXPECT_GE(reads, 2 * kRounds);
  EXPECT_LE(reads, 2 * kRounds + kFew);
}

// A full backlog is looked at again, the less often the longer it has been full: a thousand that
// wait must not take the processor from the one that could accept them. Every 5 ms made 80 of it.
TEST(CallCountOfConnect, AConnectThatWaitsForABacklogLooksLessAndLessOften) {
  FaultPlan plan = FaultPlan::nothing();
  const Armed armed(plan);
  Runtime runtime({.workers = 1});
  const std::string name = "@rearm-backlog-" + std::to_string(::getpid());
  runtime.run([&] {
    const SocketAddress address = SocketAddress::unix_path(name).value();
    const UnixListener listener = UnixListener::bind(address, {.backlog = 0}).value();
    std::vector<UnixStream> filling;
    for (auto stream = UnixStream::connect(address, Deadline::immediate()); stream;
         stream = UnixStream::connect(address, Deadline::immediate())) {
      filling.push_back(std::move(*stream));
    }
    const std::uint64_t before = plan.calls_of(Call::k_connect);
    const auto late = UnixStream::connect(address, Deadline::after(std::chrono::milliseconds(400)));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error(), Errc::kTimedOut);
    EXPECT_LE(plan.calls_of(Call::k_connect) - before, 40U);
  });
}

// A datagram for a Unix socket that is full, and not the peer: each try that fails frees its
// buffer, and the kernel reports that as room, though there is none. A wait for reports would spin.
TEST(CallCountOfSend, ASendThatWaitsForAFullReceiverLooksLessAndLessOften) {
  FaultPlan plan = FaultPlan::nothing();
  const Armed armed(plan);
  Runtime runtime({.workers = 1});
  const std::string name = "@rearm-call-count-send-" + std::to_string(::getpid());
  runtime.run([&] {
    const auto address = SocketAddress::unix_path(name);
    const auto receiver = UnixDatagram::bind(*address);
    auto sender = UnixDatagram::open();
    ASSERT_TRUE(receiver && sender);
    while (sender->send_to("x", *address, Deadline::immediate())) {
    }
    const std::uint64_t before = plan.calls_of(Call::k_sendto);
    const auto late =
        sender->send_to("x", *address, Deadline::after(std::chrono::milliseconds(300)));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error(), Errc::kTimedOut);
    EXPECT_LE(plan.calls_of(Call::k_sendto) - before,
              60U);  // Twice a look: the report comes first.
  });
}

}  // namespace
}  // namespace rearm::test::faults
