// The epoll backend where epoll_pwait2 is missing (before Linux 5.11) or a filter refuses it: this
// program puts itself in the place of that system call.
#include <sys/epoll.h>

#include <cerrno>
#include <chrono>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "rearm/poller.h"
#include "support/leak_check.h"
#include "support/poller_test.h"

namespace {

int refusal = ENOSYS;
int refusals = 0;

}  // namespace

extern "C" int epoll_pwait2(int /*epoll_fd*/, epoll_event* /*events*/, int /*max_events*/,
                            const timespec* /*timeout*/, const sigset_t* /*mask*/) {
  ++refusals;
  errno = refusal;
  return -1;
}

namespace rearm {
namespace {

using namespace std::chrono_literals;

class EpollFallback : public test::LeakCheck {
 protected:
  void SetUp() override {
    LeakCheck::SetUp();
    refusals = 0;
  }
};

TEST_F(EpollFallback, IsTriedOnceForEachPoller) {
  for (const int error : {ENOSYS, EPERM}) {
    refusal = error;
    refusals = 0;
    auto poller = Poller::open({.backend = "epoll"});
    ASSERT_TRUE(poller);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(poller->collect(Deadline::after(100us)).empty());
    EXPECT_EQ(refusals, 1);
  }
}

TEST_F(EpollFallback, NeverEndsBeforeTheDeadline) {
  auto poller = Poller::open({.backend = "epoll"});
  ASSERT_TRUE(poller);
  for (const std::chrono::nanoseconds timeout : {1ns, 100'000ns, 1'000'001ns, 2'999'999ns}) {
    const Deadline deadline = Deadline::after(timeout);
    EXPECT_TRUE(poller->collect(deadline).empty());
    EXPECT_GE(detail::now_ns(), deadline.ns());
  }
}

TEST_F(EpollFallback, ADeadlineBeyondTheRangeOfMillisecondsWaits) {
  auto poller = Poller::open({.backend = "epoll"});
  ASSERT_TRUE(poller);
  test::FdPair pair = test::pipe_pair();
  const auto token = poller->add(pair.a.get());
  ASSERT_TRUE(token);
  (void)pair.a.release();
  test::CountingWaiter reader;
  ASSERT_TRUE(poller->wait(*token, Direction::kRead, reader));
  std::thread peer([&] {
    std::this_thread::sleep_for(5ms);
    test::send_text(pair.b.get(), "x");
  });
  EXPECT_EQ(test::count_returns(poller->collect(Deadline::after(24h * 365 * 100))), 1U);
  peer.join();
  auto waiters = poller->close(*token);
  EXPECT_TRUE(waiters);
}

}  // namespace
}  // namespace rearm
