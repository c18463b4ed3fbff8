// Conformance: the poller as part of a process: nested in another loop, inherited by children,
// destroyed with descriptors open.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/epoll.h>
#endif

#include <atomic>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "poller/conformance.h"
#include "support/threads.h"

namespace rearm::test {
namespace {

TEST_P(Conformance, TheNativeHandleIsReadableWhileThereIsSomethingToCollect) {
  const int handle = poller().native_handle();
  if (handle < 0) GTEST_SKIP() << "this kernel's poller cannot be nested";
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  (void)collect_now();
  EXPECT_FALSE(is_readable(handle));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_FALSE(is_readable(handle));
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(is_readable(handle, 1'000));
  EXPECT_TRUE(is_readable(handle)) << "level-triggered: looking takes nothing";
  EXPECT_EQ(collect_now(), 1U);
  EXPECT_FALSE(is_readable(handle));
  poller().wake();
  EXPECT_TRUE(is_readable(handle, 1'000));
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_FALSE(is_readable(handle));
  EXPECT_EQ(close(token), 0U);
}

// G5: a foreign loop sleeps on the handle while another thread meets EAGAIN, the data come, and
// only then the wish reaches the kernel. An event port queues the report and tells no poll(2) of
// it.
TEST_P(Conformance, AForeignLoopIsWokenForWhatAnotherThreadArmsWhenItIsReady) {
  const int handle = poller().native_handle();
  if (handle < 0) GTEST_SKIP() << "this kernel's poller cannot be nested";
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  (void)collect_now();
  for (int i = 1; i <= 10; ++i) {
    Sleeper sleeper;
    std::thread foreign([&] {
      sleeper.here();
      EXPECT_TRUE(is_readable(handle, static_cast<int>(kPatience / 1ms))) << "it sleeps for ever";
    });
    EXPECT_TRUE(sleeper.await_asleep());
    CountingWaiter reader;
    const auto prepared = poller().prepare(token, Direction::kRead);
    EXPECT_TRUE(prepared && *prepared == Poller::Prepared::kParked);
    send_text(pair.b.get(), "x");
    EXPECT_FALSE(poller().arm(token, Direction::kRead));
    EXPECT_TRUE(poller().commit(token, Direction::kRead, reader));
    foreign.join();
    EXPECT_TRUE(returns(reader));
    EXPECT_EQ(drain(fd), "x");
    if (HasFailure()) break;
    while (is_readable(handle)) (void)collect_now();
  }
  EXPECT_EQ(close(token), 0U);
}

#if defined(__linux__)
TEST_P(Conformance, APollerMayBeNestedInAForeignEpoll) {
  if (poller().native_handle() < 0) GTEST_SKIP() << "this kernel's poller cannot be nested";
  const UniqueFd foreign(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(foreign.get(), EPOLL_CTL_ADD, poller().native_handle(), &event), 0);
  const auto foreign_sees = [&](int timeout_ms) {
    epoll_event seen{};
    return ::epoll_wait(foreign.get(), &seen, 1, timeout_ms) == 1;
  };
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  (void)collect_now();
  CountingWaiter reader;
  for (int i = 1; i <= 10; ++i) {
    park(token, Direction::kRead, reader);
    EXPECT_FALSE(foreign_sees(0));
    send_text(pair.b.get(), "x");
    EXPECT_TRUE(foreign_sees(1'000));
    EXPECT_EQ(collect_there(Deadline::immediate()), 1U);
    EXPECT_EQ(reader.returns, i);
    EXPECT_FALSE(foreign_sees(0)) << "collected, and still readable";
    EXPECT_EQ(drain(fd), "x");
  }
  EXPECT_EQ(close(token), 0U);
}
#endif

// What a program forks and executes must not inherit what the poller is made of.
TEST_P(Conformance, EverythingThatAPollerOpensIsClosedOnExec) {
  const auto before = open_fds();
  {
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened);
    FdPair pair;
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pair.a = UniqueFd(fds[0]);
    pair.b = UniqueFd(fds[1]);
    (void)::fcntl(pair.b.get(), F_SETFD, FD_CLOEXEC);
    const auto token = opened->add(pair.a.get());
    ASSERT_TRUE(token);
    (void)pair.a.release();
    for (const auto& [fd, target] : open_fds()) {
      if (before.contains(fd)) continue;
      EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd << ": " << target;
    }
    EXPECT_NE(::fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
  }
  EXPECT_EQ(open_fds(), before);
}

// A child that is forked and goes its own way without touching the poller.
TEST_P(Conformance, AForkedChildThatLeavesThePollerAloneChangesNothing) {
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(17);
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 17);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

// What a child does with a poller that it inherited, and with one of its own. Returns 0, or the
// step that failed.
int use_in_child(Poller& inherited, Token parked, Token idle, std::string_view backend) {
  FdPair pair = socket_pair();
  CountingWaiter waiter;
  if (inherited.add(pair.a.get()).error() != Errc::kNotSupported) return 1;
  const auto waited = inherited.wait(idle, Direction::kRead, waiter);
  if (waited || waited.error() != Errc::kNotSupported) return 2;
  inherited.wake();
  if (!inherited.close(parked)) return 3;
  const auto taken_out = inherited.remove(idle);
  if (!taken_out) return 4;
  auto own = open_poller(backend);
  if (!own) return 5;
  const UniqueFd second(*taken_out);
  const auto again = own->add(second.get());
  if (!again || !own->remove(*again)) return 6;
  const auto token = own->add(pair.a.get());
  if (!token) return 7;
  const auto prepared = own->wait(*token, Direction::kRead, waiter);
  if (!prepared || *prepared != Poller::Prepared::kParked) return 8;
  send_text(pair.b.get(), "x");
  const Deadline patience = Deadline::after(10s);
  while (waiter.returns == 0) {
    (void)count_returns(own->collect(patience));
    if (detail::now_ns() >= patience.ns()) return 9;
  }
  (void)pair.a.release();
  return own->close(*token) ? 0 : 10;
}

// G8: the kernel's object is shared with a child, or missing there. The child is told so by
// name, changes nothing of the parent's, and may have a poller of its own.
TEST_P(Conformance, AForkedChildIsRefusedByNameAndTheParentGoesOn) {
  FdPair pair = socket_pair();
  FdPair other = socket_pair();
  const Token token = add(std::move(pair.a));
  const Token idle = add(std::move(other.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  std::atomic<bool> is_waiting{true};
  // A poll loop that sleeps in the kernel during the fork, and holds no lock there.
  std::thread collector([&] {
    while (is_waiting.load()) (void)collect(Deadline::never());
  });
  std::this_thread::sleep_for(kQuiet);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(use_in_child(poller(), token, idle, GetParam()));
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  is_waiting.store(false);
  // A byte or an event that the child had taken would be missing: then this never ends.
  poller().wake();
  collector.join();
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
  EXPECT_EQ(close(idle), 0U);
}

// What the child inherits may lead to the parent's kernel object: a wake there ends no wait here.
TEST_P(Conformance, AWakeInAForkedChildEndsNoWaitOfTheParent) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < 100; ++i) poller().wake();
    ::_exit(0);
  }
  ASSERT_GT(child, 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const Deadline deadline = Deadline::after(kQuiet);
  EXPECT_EQ(collect(deadline), 0U);
  EXPECT_GE(detail::now_ns(), deadline.ns()) << "ended by the child";
  const int handle = poller().native_handle();
  EXPECT_TRUE(handle < 0 || !is_readable(handle));
}

TEST_P(Conformance, WaitingInAForkedChildStopsItWithASentence) {
  GTEST_FLAG_SET(death_test_style, "fast");
  EXPECT_DEATH((void)collect_now(), "rearm: a poller was waited on in a child of fork\\(\\)");
}

// A description that a child still holds must not be reported after close(): the kernel has to be
// told, because the child keeps what it would otherwise notice the end of.
TEST_P(Conformance, AClosedDescriptorThatAChildInheritedIsReportedNoMore) {
  FdPair pair = socket_pair();
  FdPair gate = pipe_pair();
  const Token token = add(std::move(pair.a));
  const pid_t child = ::fork();
  if (child == 0) {
    gate.b.reset();
    (void)is_readable(gate.a.get(), 10'000);  // Until the parent lets go.
    ::_exit(0);
  }
  ASSERT_GT(child, 0);
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(close(token), 1U);
  send_text(pair.b.get(), "for the child");
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_EQ(poller().stats().stale_events, 0U);
  gate.b.reset();
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_P(Conformance, ADestroyedPollerClosesItsDescriptors) {
  std::vector<int> numbers;
  Token token{};
  std::vector<FdPair> peers;
  {
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened);
    for (int i = 0; i < 100; ++i) {
      peers.push_back(socket_pair());
      const auto added = opened->add(peers.back().a.get());
      ASSERT_TRUE(added);
      token = *added;
      numbers.push_back(peers.back().a.release());
    }
    EXPECT_EQ(opened->stats().descriptors, 100U);
  }
  for (const int number : numbers) EXPECT_FALSE(is_open(number)) << number;
  EXPECT_EQ(poller().close(token).error(), Errc::kClosed) << "a handle may outlive its poller";
}

TEST_P(Conformance, ADestroyedPollerLeavesTheDescriptorsOfOthersAlone) {
  const Token token = add_quiet();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  {
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened);
  }
  EXPECT_EQ(reader.returns, 0);
  EXPECT_EQ(close(token), 1U);
}

// Pollers come and go, each whole.
TEST_P(Conformance, PollersComeAndGo) {
  for (int i = 0; i < 200; ++i) {
    auto opened = open_poller(GetParam());
    ASSERT_TRUE(opened);
    opened->wake();
    EXPECT_TRUE(is_woken(*opened));
  }
}

}  // namespace
}  // namespace rearm::test
