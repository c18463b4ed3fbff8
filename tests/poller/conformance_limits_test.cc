// Conformance: very many descriptors, none left to open a poller with, and a number that somebody
// has closed behind the library.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "poller/conformance.h"
#include "support/race.h"
#include "support/scale.h"

namespace rearm::test {
namespace {

// Sets how many descriptors may be open, within what the system grants, for as long as this lives.
class OpenLimit {
 public:
  explicit OpenLimit(std::size_t wanted) {
    (void)::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit now = before_;
    now.rlim_cur = std::min<rlim_t>(wanted, before_.rlim_max);
    (void)require(::setrlimit(RLIMIT_NOFILE, &now), "setrlimit");
    limit_ = static_cast<std::size_t>(now.rlim_cur);
  }
  ~OpenLimit() { (void)::setrlimit(RLIMIT_NOFILE, &before_); }
  OpenLimit(const OpenLimit&) = delete;
  OpenLimit& operator=(const OpenLimit&) = delete;

  [[nodiscard]] std::size_t limit() const { return limit_; }

 private:
  rlimit before_;
  std::size_t limit_ = 0;
};

// R68 (libuv#3008, mio#1962): what was reported is armed again, by the ten thousand, and none is
// forgotten. A million reports: REARM_TEST_SCALE=10.
TEST_P(Conformance, OfTenThousandThatAreArmedAgainAfterEachReportNoneIsLost) {
  constexpr std::size_t kOthers = 200;  // What else is open.
  const OpenLimit limit(10'000 + kOthers);
  const std::size_t count = limit.limit() - kOthers;
  struct End {
    int fd = -1;
    Token token{};
    CountingWaiter reader;
  };
  std::vector<End> ends(count);
  for (End& end : ends) {
    UniqueFd fd = event_fd();
    end.fd = fd.get();
    end.token = add(std::move(fd));
  }
  const int rounds = static_cast<int>((scaled(100'000) + count - 1) / count);
  for (int round = 1; round <= rounds; ++round) {
    for (End& end : ends) {
      park(end.token, Direction::kRead, end.reader);
      make_readable(end.fd);
    }
    std::size_t returned = 0;
    const Deadline patience = Deadline::after(kPatience);
    while (returned < count && detail::now_ns() < patience.ns()) returned += collect(patience);
    for (End& end : ends) {
      ASSERT_EQ(end.reader.returns, round) << "number " << end.fd;
      std::uint64_t value = 0;
      ASSERT_GT(::read(end.fd, &value, sizeof(value)), 0);
    }
  }
  for (const End& end : ends) EXPECT_EQ(close(end.token), 0U);
}

// What wait() says of a number that was closed behind the library depends on who looks at it: with
// epoll and kqueue nobody does, with poll(2) whoever collects next. docs/platforms.md has the
// table.
TEST_P(Conformance, AWaitOnANumberClosedBehindTheLibraryEndsWithItsCloseAtTheLatest) {
  FdPair pair = socket_pair();
  const int number = pair.a.get();
  const Token token = add(std::move(pair.a));
  (void)collect_now();  // That it is writable.
  ASSERT_EQ(::close(number), 0);
  CountingWaiter reader;
  const auto prepared = poller().wait(token, Direction::kRead, reader);
  if (GetParam() == "epoll" || GetParam() == "kqueue") {
    ASSERT_TRUE(prepared);
    EXPECT_EQ(*prepared, Poller::Prepared::kParked);
    EXPECT_EQ(collect_quietly(), 0U) << "the kernel has forgotten it";
    EXPECT_EQ(close(token), 1U);
    EXPECT_EQ(reader.reason(), WakeReason::kClosed);
  } else if (GetParam() == "poll") {
    ASSERT_TRUE(prepared);
    EXPECT_EQ(*prepared, Poller::Prepared::kParked);
    EXPECT_TRUE(returns(reader)) << "POLLNVAL";
    EXPECT_EQ(reader.reason(), WakeReason::kReady) << "the system call says the rest";
    EXPECT_EQ(close(token), 0U);
  } else {
    ASSERT_FALSE(prepared) << "armed, though it is closed";
    if (GetParam() == "event_port") {
      EXPECT_EQ(prepared.error(), Errc::kClosed);
    }
    EXPECT_EQ(close(token), 0U);
  }
  (void)take_breaches();  // The witness has seen it, too.
}

// Without the fixture, which would have used everything once before the threads come.
class FirstUse : public ::testing::TestWithParam<std::string_view> {
 protected:
  // How many descriptors a poller is made of. In a child, so that here nothing has been used yet.
  static int cost_of_a_poller() {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::size_t before = open_fds().size();
      const auto poller = Poller::open({.backend = GetParam()});
      ::_exit(static_cast<int>(open_fds().size() - before));
    }
    int status = 0;
    (void)require(::waitpid(child, &status, 0), "waitpid");
    return WEXITSTATUS(status);
  }

  // Once round: it reports, it is woken, and it gives back what it was given.
  static void expect_whole(Poller& poller, int fd) {
    const auto token = poller.add(fd);
    ASSERT_TRUE(token) << token.error().message();
    CountingWaiter reader;
    const auto prepared = poller.wait(*token, Direction::kRead, reader);
    ASSERT_TRUE(prepared) << prepared.error().message();
    EXPECT_EQ(*prepared, Poller::Prepared::kParked);
    EXPECT_EQ(count_returns(poller.collect(Deadline::after(10s))), 1U);
    EXPECT_TRUE(poller.remove(*token));
    poller.wake();
    const Deadline patience = Deadline::after(10s);
    EXPECT_TRUE(poller.collect(patience).empty());
    EXPECT_LT(detail::now_ns(), patience.ns()) << "no means to wake it";
  }
};

// Race (R57, golang/go#22606): threads open pollers at once, the first of the process, and some of
// them find no descriptors left in the middle of it. Forbidden: a poller that is not whole, an
// error that is another, a descriptor that is left.
TEST_P(FirstUse, OpeningThatFailsForSomeWhileOthersOpenGivesEachAWholePollerOrAnError) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 1'500;
  const int cost = cost_of_a_poller();
  std::vector<UniqueFd> watched;
  for (int i = 0; i < kThreads; ++i) watched.push_back(event_fd(1));
  const auto before = open_fds();
  std::atomic<int> opened{0};
  std::atomic<int> refused{0};
  {
    // Enough for one poller and a half: all numbers below the next free one are taken.
    const OpenLimit limit(static_cast<std::size_t>(duplicate(0).get() + cost + cost / 2));
    Gate gate(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        gate.meet();
        for (int round = 0; round < kRounds && !HasFailure(); ++round) {
          auto poller = Poller::open({.backend = GetParam()});
          if (poller) {
            ++opened;
            expect_whole(*poller, watched[static_cast<std::size_t>(i)].get());
          } else {
            EXPECT_EQ(poller.error(), std::errc::too_many_files_open);
            ++refused;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(refused, 0) << "though no two fit at once";
  EXPECT_EQ(open_fds(), before);
}

INSTANTIATE_TEST_SUITE_P(Backends, FirstUse, ::testing::ValuesIn(Poller::backends()),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
