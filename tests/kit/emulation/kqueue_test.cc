// What kqueue(2) promises, K1 to K23: true of the emulation, whichever system it plays, and of each
// BSD to go by its sources (System in kqueue_emulation.h says which were read). What is true of
// some only is in kqueue_quirk_test.cc. Nothing here knows of the emulation.
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "emulation/kqueue_fixture.h"
#include "support/threads.h"

namespace rearm::test {
namespace {

constexpr unsigned kEdge = EV_ADD | EV_CLEAR;

// K1
TEST_F(KqueueTest, AddingWhatIsReadyIsReportedByTheNextCallAndByTheSame) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "abc");
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge, 42), 0);
  const Kevents next = take();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].ident, static_cast<std::uintptr_t>(pair.a.get()));
  EXPECT_EQ(next[0].filter, EVFILT_READ);
  EXPECT_EQ(next[0].data, 3);
  EXPECT_EQ(udata_of(next[0]), 42U);

  const Kevents same = receipts_of({change(pair.b.get(), EVFILT_WRITE, kEdge, 43)});
  ASSERT_EQ(same.size(), 1U);
  EXPECT_EQ(same[0].filter, EVFILT_WRITE);
  EXPECT_EQ(same[0].flags & EV_ERROR, 0);
  EXPECT_GT(same[0].data, 0);
}

// K2
TEST_F(KqueueTest, AnEdgeIsReportedOnceAndAgainWithNewDataOrWhenItIsAddedAgain) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  EXPECT_TRUE(take().empty());
  for (int i = 1; i <= 3; ++i) {  // Not drained in between.
    send_text(pair.b.get(), "x");
    const Kevents events = take(kPatienceMs);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].data, i);
    EXPECT_TRUE(take().empty());
  }
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  EXPECT_EQ(take().size(), 1U);
  EXPECT_TRUE(take().empty());
}

// K3
TEST_F(KqueueTest, ALevelIsReportedUntilTheDataIsGone) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD), 0);
  send_text(pair.b.get(), "x");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(take(kPatienceMs).size(), 1U);
  EXPECT_EQ(drain(pair.a.get()), "x");
  EXPECT_TRUE(take().empty());
}

// K4
TEST_F(KqueueTest, WhatIsNoLongerTrueIsNotReported) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(drain(pair.a.get()), "x");
  EXPECT_TRUE(take().empty());
  send_text(pair.b.get(), "y");
  EXPECT_EQ(take(kPatienceMs).size(), 1U);
}

// K5
TEST_F(KqueueTest, AOneShotIsReportedOnceAndIsGone) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
  EXPECT_EQ(take().size(), 1U);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, EV_DELETE), ENOENT);
}

// K6
TEST_F(KqueueTest, ADispatchedFilterIsSilentAfterItsReportUntilItIsEnabled) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_DISPATCH), 0);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take(kPatienceMs).size(), 1U);
  send_text(pair.b.get(), "y");
  EXPECT_TRUE(take().empty());
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ENABLE), 0);
  EXPECT_EQ(take().size(), 1U);
}

// K7, R31 (amy#13)
TEST_F(KqueueTest, ADisabledFilterIsSilentAndAddingDoesNotEnableIt) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_DISABLE), 0);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(take().empty());
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD), 0);
  EXPECT_TRUE(take().empty());
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_ENABLE), 0);
  EXPECT_EQ(take().size(), 1U);
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_DISABLE), 0);
  EXPECT_TRUE(take().empty()) << "it was in the queue";
}

// K8
TEST_F(KqueueTest, AddingAgainReplacesTheUsersWord) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD, 1), 0);
  EXPECT_EQ(udata_of(take().at(0)), 1U);
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD, 2), 0);
  EXPECT_EQ(udata_of(take().at(0)), 2U);
}

// K9
TEST_F(KqueueTest, ABadChangeIsAnErrorEntryAndNoReportsComeWithIt) {
  const FdPair pair = socket_pair();
  const int closed = std::move(socket_pair().a).get();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD), 0);
  EXPECT_EQ(apply(pair.a.get(), EVFILT_WRITE, EV_ENABLE), ENOENT);
  EXPECT_EQ(apply(pair.a.get(), EVFILT_WRITE, EV_DELETE), ENOENT);
  EXPECT_EQ(apply(closed, EVFILT_READ, EV_ADD), EBADF);
  EXPECT_EQ(apply(-1, EVFILT_READ, EV_ADD), EBADF);
  EXPECT_EQ(apply(pair.a.get(), 1234, EV_ADD), EINVAL);
  Kevents events(4);
  const Kevent bad = change(pair.a.get(), EVFILT_WRITE, EV_ENABLE);
  ASSERT_EQ(::kevent(kq_.get(), &bad, 1, events.data(), 4, nullptr), 1);
  EXPECT_NE(events[0].flags & EV_ERROR, 0);
  EXPECT_EQ(events[0].data, ENOENT);
  EXPECT_EQ(take().size(), 1U) << "the report is still there";
  EXPECT_EQ(::kevent(pair.a.get(), nullptr, 0, nullptr, 0, nullptr), -1);
  EXPECT_EQ(errno, EBADF);
}

// K10, R42 (mio#276)
TEST_F(KqueueTest, WhatFollowsABadChangeIsAppliedOnlyIfThereIsRoomForTheError) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  const Kevents changes = {change(pair.a.get(), EVFILT_WRITE, EV_ENABLE),
                           change(pair.a.get(), EVFILT_READ, kEdge)};
  EXPECT_EQ(::kevent(kq_.get(), changes.data(), 2, nullptr, 0, nullptr), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_TRUE(take().empty());
  const Kevents errors = receipts_of(changes);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].data, ENOENT);
  EXPECT_EQ(take().size(), 1U);
}

// K11, R41 (corefx#30698)
TEST_F(KqueueTest, EachChangeGetsItsReceiptAndNoReportIsTakenWithThem) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  const Kevents receipts = receipts_of({change(pair.a.get(), EVFILT_READ, kEdge | EV_RECEIPT),
                                        change(pair.a.get(), EVFILT_WRITE, kEdge | EV_RECEIPT)});
  ASSERT_EQ(receipts.size(), 2U);
  for (const Kevent& receipt : receipts) {
    EXPECT_NE(receipt.flags & EV_ERROR, 0);
    EXPECT_EQ(receipt.data, 0);
  }
  EXPECT_EQ(take().size(), 2U) << "both were applied, and neither report was taken";
}

// K12
TEST_F(KqueueTest, CloseDropsWhatIsOnTheNumberAndADuplicateKeepsItsOwn) {
  FdPair pair = socket_pair();
  UniqueFd second = duplicate(pair.a.get());
  send_text(pair.b.get(), "x");
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD, 1), 0);
  ASSERT_EQ(apply(pair.a.get(), EVFILT_WRITE, EV_ADD, 2), 0);
  ASSERT_EQ(apply(second.get(), EVFILT_READ, EV_ADD, 3), 0);
  EXPECT_EQ(take().size(), 3U);
  pair.a.reset();
  const Kevents events = take();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(udata_of(events[0]), 3U);
  ASSERT_EQ(::dup2(pair.b.get(), second.get()), second.get());
  EXPECT_TRUE(take().empty()) << "dup2 closes, too";
}

// K13
TEST_F(KqueueTest, CloseWakesNobodyWhoWaits) {
  FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  Kevents events{1};
  std::thread waiting([&] { events = take(-1); });
  let_it_sleep();
  pair.a.reset();
  let_it_sleep();
  const FdPair other = socket_pair();
  send_text(other.b.get(), "x");
  ASSERT_EQ(apply(other.a.get(), EVFILT_READ, kEdge, 9), 0);
  waiting.join();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(udata_of(events[0]), 9U) << "and a change by another thread does wake";
}

// K14
TEST_F(KqueueTest, TheNextOwnerOfANumberGetsNothingOfTheFirst) {
  for (int i = 0; i < 100; ++i) {
    FdPair pair = socket_pair();
    const int number = pair.a.get();
    send_text(pair.b.get(), "x");
    ASSERT_EQ(apply(number, EVFILT_READ, kEdge, 1), 0);
    pair.a.reset();
    const UniqueFd next = duplicate(pair.b.get());
    ASSERT_EQ(next.get(), number);
    EXPECT_TRUE(take().empty());
    EXPECT_EQ(apply(number, EVFILT_READ, EV_DELETE), ENOENT);
  }
}

// K15
TEST_F(KqueueTest, TheEndComesWithWhatIsStillUnread) {
  FdPair pairs[] = {socket_pair(), tcp_pair(), pipe_pair()};
  for (FdPair& pair : pairs) {
    const int fd = pair.a.get();
    ASSERT_EQ(apply(fd, EVFILT_READ, EV_ADD), 0);
    send_text(pair.b.get(), "abc");
    pair.b.reset();
    Kevents events = take(kPatienceMs);
    while (events.size() == 1 && (events[0].flags & EV_EOF) == 0) events = take(kPatienceMs);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].data, 3);
    EXPECT_EQ(drain(fd), "abc");
    events = take(kPatienceMs);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_NE(events[0].flags & EV_EOF, 0);
    EXPECT_EQ(events[0].data, 0);
    EXPECT_EQ(apply(fd, EVFILT_READ, EV_DELETE), 0);
  }
}

// K15
TEST_F(KqueueTest, AWriterIsToldOfTheEnd) {
  FdPair pair = socket_pair();
  fill(pair.a.get());
  ASSERT_EQ(apply(pair.a.get(), EVFILT_WRITE, kEdge), 0);
  EXPECT_TRUE(take().empty());
  pair.b.reset();
  const Kevents events = take(kPatienceMs);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].filter, EVFILT_WRITE);
  EXPECT_NE(events[0].flags & EV_EOF, 0);
}

// K15, R43 (mio#582): the systems differ in what they refuse; a filter that is taken tells.
TEST_F(KqueueTest, AWritingEndWithoutAReaderIsReportedByAFilterThatIsTaken) {
  FdPair pair = pipe_pair();
  pair.a.reset();
  const int error = apply(pair.b.get(), EVFILT_WRITE, kEdge);
  EXPECT_TRUE(error == 0 || error == EPIPE || error == EBADF) << error;
  ASSERT_EQ(apply(pair.b.get(), EVFILT_READ, kEdge), 0);
  const Kevents events = take();
  ASSERT_GE(events.size(), 1U);
  for (const Kevent& event : events) EXPECT_NE(event.flags & EV_EOF, 0);
}

struct Listener {
  explicit Listener(int backlog) : fd(require(::socket(AF_INET, SOCK_STREAM, 0), "socket")) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    (void)require(::bind(fd.get(), any(), size), "bind");
    (void)require(::getsockname(fd.get(), any(), &size), "getsockname");
    if (backlog > 0) (void)require(::listen(fd.get(), backlog), "listen");
  }
  sockaddr* any() { return reinterpret_cast<sockaddr*>(&address); }

  UniqueFd fd;
  sockaddr_in address{};
};

// K16
TEST_F(KqueueTest, AConnectionIsWritableWhenItIsMadeAndNotBefore) {
  Listener listener(8);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
  set_nonblocking_cloexec(client.get());
  ASSERT_EQ(apply(client.get(), EVFILT_WRITE, kEdge), 0);
  ASSERT_EQ(apply(client.get(), EVFILT_READ, kEdge), 0);
  EXPECT_TRUE(take().empty());
  (void)::connect(client.get(), listener.any(), sizeof(listener.address));
  const Kevents events = take(kPatienceMs);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].filter, EVFILT_WRITE);
  EXPECT_EQ(events[0].flags & EV_EOF, 0);
}

// K16
TEST_F(KqueueTest, ARefusedConnectionIsTheEndAndTheErrorIsTheSockets) {
  Listener nobody(0);  // Bound, and not listening.
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
  set_nonblocking_cloexec(client.get());
  ASSERT_EQ(apply(client.get(), EVFILT_WRITE, kEdge), 0);
  if (::connect(client.get(), nobody.any(), sizeof(nobody.address)) != 0 && errno != EINPROGRESS) {
    GTEST_SKIP() << "refused at once";
  }
  const Kevents events = take(kPatienceMs);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0].flags & EV_EOF, 0);
  int error = 0;
  socklen_t size = sizeof(error);
  ASSERT_EQ(::getsockopt(client.get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
  EXPECT_EQ(error, ECONNREFUSED);
}

// K17
TEST_F(KqueueTest, ManyTriggersBeforeAReportAreOneReport) {
  if (!add_user()) GTEST_SKIP() << "no EVFILT_USER on this system";
  for (int i = 0; i < 100; ++i) ASSERT_EQ(apply(trigger(0, 5)), 0);
  const Kevents events = take();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(udata_of(events[0]), 5U);
  EXPECT_TRUE(take().empty());
  ASSERT_EQ(apply(trigger()), 0);
  EXPECT_EQ(take().size(), 1U);
  std::thread waking([this] {
    let_it_sleep();
    EXPECT_EQ(apply(trigger()), 0);
  });
  EXPECT_EQ(take(-1).size(), 1U);
  waking.join();
}

// K17
TEST_F(KqueueTest, ATriggerSticksWithoutClear) {
  if (!add_user(EV_ADD)) GTEST_SKIP() << "no EVFILT_USER on this system";
  Kevent one = trigger();
  one.fflags |= NOTE_FFCOPY | 0x12;
  one.data = 34;
  ASSERT_EQ(apply(one), 0);
  for (int i = 0; i < 3; ++i) {
    const Kevents events = take();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].fflags, 0x12U);
    EXPECT_EQ(events[0].data, 34);
  }
}

// K18
TEST_F(KqueueTest, AListenerTellsHowManyWait) {
  Listener listener(8);
  ASSERT_EQ(apply(listener.fd.get(), EVFILT_READ, EV_ADD), 0);
  EXPECT_TRUE(take().empty());
  std::vector<UniqueFd> clients;
  for (int i = 1; i <= 3; ++i) {
    clients.emplace_back(::socket(AF_INET, SOCK_STREAM, 0));
    ASSERT_EQ(::connect(clients.back().get(), listener.any(), sizeof(listener.address)), 0);
    Kevents events = take(kPatienceMs);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].data, i);
  }
}

// K19, R28 (polling#265)
TEST_F(KqueueTest, AZeroTimeoutDoesNotSleepAndASignalEndsASleepAndNothingElse) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(take().empty());
  const ScopedSignal handler(SIGUSR1, [](int) {});
  std::atomic<bool> is_awake{false};
  std::thread waiting([&] {
    Kevent event;
    EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, nullptr), -1);
    EXPECT_EQ(errno, EINTR);
    is_awake.store(true);
  });
  // A signal before the sleep ends nothing.
  while (!is_awake.load()) {
    let_it_sleep();
    ASSERT_EQ(::pthread_kill(waiting.native_handle(), SIGUSR1), 0);
  }
  waiting.join();
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take(kPatienceMs).size(), 1U);
  timespec before{};
  timespec after{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &before);
  EXPECT_TRUE(take(kQuietMs).empty());
  (void)::clock_gettime(CLOCK_MONOTONIC, &after);
  const long slept_ns =
      (after.tv_sec - before.tv_sec) * 1'000'000'000 + after.tv_nsec - before.tv_nsec;
  EXPECT_GE(slept_ns, kQuietMs * 1'000'000L);
}

// K20
TEST_F(KqueueTest, OfManyWaitersOneTakesAnEdge) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  std::atomic<int> taken{0};
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] { taken += static_cast<int>(take(200).size()); });
  }
  let_it_sleep();
  send_text(pair.b.get(), "x");
  for (std::thread& thread : waiting) thread.join();
  EXPECT_EQ(taken, 1);
}

// K20
TEST_F(KqueueTest, ManyThreadsTakeALevelWithoutGettingStuck) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD), 0);
  std::vector<std::thread> taking;
  for (int i = 0; i < 4; ++i) {
    taking.emplace_back([&] {
      for (int n = 0; n < 1'000; ++n) ASSERT_EQ(take(kPatienceMs).size(), 1U) << "stuck";
    });
  }
  for (std::thread& thread : taking) thread.join();
}

// K21
TEST_F(KqueueTest, WhoDoesNotFitComesNext) {
  std::vector<FdPair> pairs;
  for (std::uintptr_t i = 0; i < 10; ++i) {
    pairs.push_back(socket_pair());
    send_text(pairs.back().b.get(), "x");
    ASSERT_EQ(apply(pairs.back().a.get(), EVFILT_READ, EV_ADD, i), 0);
  }
  std::vector<int> seen(10);
  for (int i = 0; i < 20; ++i) {
    for (const Kevent& event : take(0, 3)) ++seen[udata_of(event)];
  }
  for (const int times : seen) EXPECT_GE(times, 5);
}

// K22
TEST_F(KqueueTest, AChildHasNoKqueue) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Kevent event;
    const timespec at_once{};
    const int result = ::kevent(kq_.get(), nullptr, 0, &event, 1, &at_once);
    ::_exit(result == -1 && errno == EBADF ? 17 : 18);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 17);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take(kPatienceMs).size(), 1U);
}

// K23
TEST_F(KqueueTest, AKqueueIsReadableWhileThereIsSomethingToTake) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
  EXPECT_FALSE(is_readable(kq_.get()));
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(is_readable(kq_.get(), kPatienceMs));
  const UniqueFd outer(::kqueue());
  const Kevent nested = change(kq_.get(), EVFILT_READ, EV_ADD);
  Kevent event;
  ASSERT_EQ(::kevent(outer.get(), &nested, 1, &event, 1, nullptr), 1);
  EXPECT_EQ(event.ident, static_cast<std::uintptr_t>(kq_.get()));
  EXPECT_EQ(take().size(), 1U);
  EXPECT_FALSE(is_readable(kq_.get()));
  ASSERT_EQ(apply(pair.a.get(), EVFILT_WRITE, EV_ADD), 0);
  EXPECT_TRUE(is_readable(kq_.get(), kPatienceMs));
}

TEST_F(KqueueTest, ClosedKqueuesAreGoneAndTheirNumbersAreNobodys) {
  const FdPair pair = socket_pair();
  const int number = kq_.get();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), 0);
    kq_.reset();
    EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, kEdge), EBADF);
    open();
    ASSERT_EQ(kq_.get(), number) << "something is left open";
  }
}

}  // namespace
}  // namespace rearm::test
