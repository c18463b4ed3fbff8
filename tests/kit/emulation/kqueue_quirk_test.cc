// The switches of the emulation: how the systems differ, and what may go wrong in all of them.
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "emulation/kqueue/kqueue_emulation.h"
#include "emulation/kqueue_fixture.h"
#include "support/threads.h"

namespace rearm::test {
namespace {

using kqueue_emulation::Faults;
using kqueue_emulation::Quirks;
using kqueue_emulation::System;

constexpr unsigned kEdges = EV_ADD | EV_CLEAR;

class KqueueQuirkTest : public KqueueTest {
 protected:
  void SetUp() override { play(System::kFreebsd); }
  void TearDown() override { kqueue_emulation::reset(); }

  void play(const Quirks& quirks, const Faults& faults = {}) {
    kqueue_emulation::set_quirks(quirks);
    kqueue_emulation::set_faults(faults);
    open();
  }
  void play(System system) { play(kqueue_emulation::quirks_of(system)); }
  void suffer(const Faults& faults) { play(kqueue_emulation::quirks_of(System::kFreebsd), faults); }
  // One switch, the rest as on FreeBSD.
  template <class T>
  void turn(T Quirks::* which, T value) {
    Quirks quirks = kqueue_emulation::quirks_of(System::kFreebsd);
    quirks.*which = value;
    play(quirks);
  }
};

TEST_F(KqueueQuirkTest, OlderOpenbsdHasNoUserFilter) {
  EXPECT_TRUE(add_user());
  play(System::kOpenbsd);
  EXPECT_TRUE(add_user());
  play(System::kOpenbsd73);
  EXPECT_EQ(apply(7, EVFILT_USER, kEdges), EINVAL);
}

// R29 (mio#1987)
TEST_F(KqueueQuirkTest, ATriggerInTheCreatingChangeCountsOnMacosOpenbsdAndDragonfly) {
  ASSERT_EQ(apply(trigger(kEdges)), 0);
  EXPECT_TRUE(take().empty());
  turn(&Quirks::user_trigger_on_attach, true);
  ASSERT_EQ(apply(trigger(kEdges)), 0);
  EXPECT_EQ(take().size(), 1U);
}

TEST_F(KqueueQuirkTest, ATriggerWithClearIsLostExceptOnMacos) {
  ASSERT_TRUE(add_user());
  ASSERT_EQ(apply(trigger(EV_CLEAR)), 0);
  EXPECT_TRUE(take().empty());
  turn(&Quirks::trigger_with_clear_cancels, false);
  ASSERT_TRUE(add_user());
  ASSERT_EQ(apply(trigger(EV_CLEAR)), 0);
  EXPECT_EQ(take().size(), 1U);
}

TEST_F(KqueueQuirkTest, EnableTogetherWithDisableIsAnErrorOnFreebsd) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_ENABLE | EV_DISABLE), EINVAL);
  turn(&Quirks::enable_disable_is_invalid, false);
  EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_ENABLE | EV_DISABLE), 0);
  EXPECT_TRUE(take().empty()) << "disabling wins on macOS";
  Quirks quirks = kqueue_emulation::quirks_of(System::kFreebsd);
  quirks.enable_disable_is_invalid = false;
  quirks.enable_wins = true;
  play(quirks);
  EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_ENABLE | EV_DISABLE), 0);
  EXPECT_EQ(take().size(), 1U) << "enabling wins on NetBSD and OpenBSD";
}

// K8
TEST_F(KqueueQuirkTest, EnablingReplacesTheUsersWordExceptOnOpenbsd) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  for (const bool replaces : {true, false}) {
    turn(&Quirks::enable_replaces_udata, replaces);
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD, 1), 0);
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ENABLE, 2), 0);
    EXPECT_EQ(udata_of(take().at(0)), replaces ? 2U : 1U);
  }
}

// K9
TEST_F(KqueueQuirkTest, ABadTimeIsAnErrorExceptOnDragonfly) {
  Kevent event;
  const timespec bad_time{.tv_sec = 0, .tv_nsec = 1'000'000'000};
  EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, &bad_time), -1);
  EXPECT_EQ(errno, EINVAL);
  turn(&Quirks::bad_timeout_is_invalid, false);
  ASSERT_TRUE(add_user());
  ASSERT_EQ(apply(trigger()), 0);
  EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, &bad_time), 1);
}

// K9
TEST_F(KqueueQuirkTest, AClosedNumberIsUnknownOnMacos) {
  constexpr int kClosed = 1'000;
  ASSERT_FALSE(is_open(kClosed));
  EXPECT_EQ(apply(kClosed, EVFILT_READ, EV_DELETE), EBADF);
  turn(&Quirks::closed_number_is_enoent, true);
  EXPECT_EQ(apply(kClosed, EVFILT_READ, EV_DELETE), ENOENT);
  EXPECT_EQ(apply(kClosed, EVFILT_READ, EV_ADD), EBADF);
}

// Whoever waits for connections listens first. The filter is chosen when it is attached.
TEST_F(KqueueQuirkTest, ASocketThatListensAfterItWasAddedIsSilentOnOpenbsdNetbsdAndDragonfly) {
  for (const bool at_attach : {false, true}) {
    turn(&Quirks::listen_is_seen_at_attach, at_attach);
    const UniqueFd listener(require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
    const sockaddr_in address = bind_to_loopback(listener.get());
    ASSERT_EQ(apply(listener.get(), EVFILT_READ, kEdges), 0);
    ASSERT_EQ(::listen(listener.get(), 8), 0);
    const UniqueFd client(require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
    connect_to(client.get(), address);
    EXPECT_EQ(take().size(), at_attach ? 0U : 1U);
    ASSERT_EQ(apply(listener.get(), EVFILT_READ, EV_DELETE), 0);
    ASSERT_EQ(apply(listener.get(), EVFILT_READ, kEdges), 0);
    EXPECT_EQ(take().size(), 1U) << "added when it listened";
  }
}

// A FIFO is a file on macOS, and a pair of sockets on NetBSD of which the writer's is never woken.
TEST_F(KqueueQuirkTest, AFifosWriterIsNotToldThatTheReaderHasGoneOnMacos) {
  for (const bool has_no_end : {false, true}) {
    turn(&Quirks::fifo_has_no_end, has_no_end);
    FdPair fifo = fifo_pair();
    fill(fifo.b.get());
    ASSERT_EQ(apply(fifo.b.get(), EVFILT_WRITE, kEdges), 0);
    EXPECT_TRUE(take().empty());
    fifo.a.reset();
    EXPECT_EQ(take().size(), has_no_end ? 0U : 1U);
  }
}

TEST_F(KqueueQuirkTest, AFifosWriterHearsOfNothingOnNetbsd) {
  for (const bool is_deaf : {false, true}) {
    turn(&Quirks::fifo_writer_is_deaf, is_deaf);
    FdPair fifo = fifo_pair();
    ASSERT_EQ(apply(fifo.b.get(), EVFILT_WRITE, kEdges), 0);
    EXPECT_EQ(take().at(0).flags & EV_EOF, is_deaf ? EV_EOF : 0);
    fill(fifo.b.get());
    (void)drain(fifo.a.get());
    EXPECT_EQ(take().size(), is_deaf ? 0U : 1U) << "there is room again";
  }
}

TEST_F(KqueueQuirkTest, AFifoThatWasOpenedForTheOtherDirectionIsRefusedOnOpenbsd) {
  const FdPair fifo = fifo_pair();
  EXPECT_EQ(apply(fifo.b.get(), EVFILT_READ, kEdges), 0);
  turn(&Quirks::fifo_wrong_end_error, EINVAL);
  EXPECT_EQ(apply(fifo.b.get(), EVFILT_READ, kEdges), EINVAL);
  EXPECT_EQ(apply(fifo.a.get(), EVFILT_WRITE, kEdges), EINVAL);
  EXPECT_EQ(apply(fifo.a.get(), EVFILT_READ, kEdges), 0);
}

// sys_pipe.c 1.182 and 1.165.
TEST_F(KqueueQuirkTest, TheWrongEndOfAPipeIsSilentOrRefusedOnNewerNetbsd) {
  turn(&Quirks::pipe_wrong_end_is_silent, true);
  FdPair pair = pipe_pair();
  ASSERT_EQ(apply(pair.b.get(), EVFILT_READ, kEdges), 0);
  pair.a.reset();
  EXPECT_TRUE(take().empty());
  turn(&Quirks::pipe_wrong_end_error, EINVAL);
  EXPECT_EQ(apply(pair.b.get(), EVFILT_READ, kEdges), EINVAL);
}

// The others return those who sleep with EBADF.
TEST_F(KqueueQuirkTest, ClosingAKqueueLeavesThoseWhoSleepInItAsleepOnFreebsd) {
  for (const bool wakes : {true, false}) {
    turn(&Quirks::close_wakes_sleepers, wakes);
    const FdPair pair = socket_pair();
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdges), 0);
    Sleeper sleeper;
    std::atomic<int> result{-2};
    std::thread sleeping([&, kq = kq_.get()] {
      sleeper.here();
      Kevent event;
      result = ::kevent(kq, nullptr, 0, &event, 1, nullptr);
      EXPECT_EQ(result, wakes ? -1 : 1);
    });
    ASSERT_TRUE(sleeper.await_asleep());
    kq_.reset();
    if (!wakes) {
      let_it_sleep();
      EXPECT_EQ(result, -2);
      send_text(pair.b.get(), "x");
    }
    sleeping.join();
  }
}

// R67: a wait is over in the second tick after its time.
TEST_F(KqueueQuirkTest, WhereThereAreTicksASleepIsLateByOneOrTwo) {
  constexpr std::int64_t kTickNs = 10'000'000;
  turn(&Quirks::tick_ns, kTickNs);
  const std::int64_t start_ns = detail::now_ns();
  EXPECT_TRUE(take(1).empty());
  EXPECT_GE(detail::now_ns() - start_ns, 1'000'000 + kTickNs);
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(take(0).empty());
  EXPECT_LT(detail::now_ns() - start_ns, 1'000 * kTickNs) << "zero is no time";
}

// K8
TEST_F(KqueueQuirkTest, FreebsdCanKeepTheUsersWord) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  for (const bool keeps : {true, false}) {
    turn(&Quirks::keeps_udata, keeps);
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD, 1), 0);
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ENABLE | EV_KEEPUDATA, 2), 0);
    EXPECT_EQ(udata_of(take().at(0)), keeps ? 1U : 2U);
    EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_KEEPUDATA), keeps ? EINVAL : 0);
  }
}

// K11, R41 (corefx#30698)
TEST_F(KqueueQuirkTest, AReceiptWithoutRoomEndsTheCallOnFreebsd) {
  const FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  const Kevents changes = {change(pair.a.get(), EVFILT_READ, kEdges | EV_RECEIPT),
                           change(pair.a.get(), EVFILT_WRITE, kEdges | EV_RECEIPT)};
  EXPECT_EQ(::kevent(kq_.get(), changes.data(), 2, nullptr, 0, nullptr), 0);
  EXPECT_EQ(take().size(), 1U);
  for (const bool forgets : {true, false}) {
    turn(&Quirks::forgets_what_had_room, forgets);
    Kevent receipt{};
    EXPECT_EQ(::kevent(kq_.get(), changes.data(), 2, &receipt, 1, nullptr), forgets ? 0 : 1);
    EXPECT_EQ(receipt.flags, EV_ERROR) << "it was written";
  }
  turn(&Quirks::stops_without_room, false);
  EXPECT_EQ(::kevent(kq_.get(), changes.data(), 2, nullptr, 0, nullptr), 0);
  EXPECT_EQ(take().size(), 2U);
}

// K5
TEST_F(KqueueQuirkTest, AOneShotIsReportedThoughNoLongerTrueExceptOnMacos) {
  for (const bool revalidates : {false, true}) {
    turn(&Quirks::oneshot_revalidates, revalidates);
    const FdPair pair = socket_pair();
    send_text(pair.b.get(), "x");
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    EXPECT_EQ(drain(pair.a.get()), "x");
    EXPECT_EQ(take().size(), revalidates ? 0U : 1U);
    send_text(pair.b.get(), "y");
    EXPECT_EQ(take().size(), revalidates ? 1U : 0U);
  }
}

TEST_F(KqueueQuirkTest, NetbsdAndOpenbsdReturnTheFlagsOfTheChange) {
  for (const bool returns : {false, true}) {
    turn(&Quirks::returns_change_flags, returns);
    const FdPair pair = socket_pair();
    (void)receipts_of({change(pair.a.get(), EVFILT_WRITE, kEdges | EV_RECEIPT)});
    EXPECT_EQ(take().at(0).flags, returns ? kEdges | EV_RECEIPT : EV_CLEAR);
  }
}

TEST_F(KqueueQuirkTest, APipesWriterIsToldOfTheEndOnceOnFreebsd) {
  for (const bool once : {true, false}) {
    turn(&Quirks::pipe_write_end_is_oneshot, once);
    FdPair pair = pipe_pair();
    ASSERT_EQ(apply(pair.b.get(), EVFILT_WRITE, kEdges), 0);
    EXPECT_EQ(take().size(), 1U);
    pair.a.reset();
    EXPECT_EQ(take().at(0).flags, kEdges - EV_ADD + EV_EOF + (once ? EV_ONESHOT : 0));
    EXPECT_EQ(apply(pair.b.get(), EVFILT_WRITE, EV_DELETE), once ? ENOENT : 0);
  }
}

TEST_F(KqueueQuirkTest, APipesWriterIsToldOfTheEndByTheReadingFilterOnOlderMacos) {
  turn(&Quirks::pipe_end_is_read, true);
  FdPair pair = pipe_pair();
  fill(pair.b.get());
  ASSERT_EQ(apply(pair.b.get(), EVFILT_WRITE, kEdges), 0);
  ASSERT_EQ(apply(pair.b.get(), EVFILT_READ, kEdges), 0);
  EXPECT_TRUE(take().empty());
  pair.a.reset();
  const Kevents events = take();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].filter, EVFILT_READ);
  EXPECT_NE(events[0].flags & EV_EOF, 0);
}

// R52 (golang/go#24164)
TEST_F(KqueueQuirkTest, AFifosReaderIsNotToldOfTheEndOnMacos) {
  for (const bool no_end : {false, true}) {
    turn(&Quirks::fifo_has_no_end, no_end);
    FdPair fifo = fifo_pair();
    ASSERT_EQ(apply(fifo.a.get(), EVFILT_READ, kEdges), 0);
    EXPECT_TRUE(take().empty());
    fifo.b.reset();
    EXPECT_EQ(take().size(), no_end ? 0U : 1U);
  }
}

TEST_F(KqueueQuirkTest, AFifosEndIsSilentOnTheOtherDirectionOnFreebsd) {
  for (const bool one_way : {true, false}) {
    turn(&Quirks::fifo_is_one_way, one_way);
    FdPair fifo = fifo_pair();
    ASSERT_EQ(apply(fifo.b.get(), EVFILT_READ, kEdges), 0);
    fifo.a.reset();
    EXPECT_EQ(take().size(), one_way ? 0U : 1U);
  }
}

TEST_F(KqueueQuirkTest, AVeryLongTimeoutIsAnErrorOnMacos) {
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_WRITE, EV_ADD), 0);
  Kevent event;
  const timespec age{.tv_sec = 1'000'000'000'000, .tv_nsec = 0};
  EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, &age), 1);
  turn(&Quirks::long_timeout_is_invalid, true);
  ASSERT_EQ(apply(pair.a.get(), EVFILT_WRITE, EV_ADD), 0);
  EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, &age), -1);
  EXPECT_EQ(errno, EINVAL);
}

// R26 (golang/go#42515): one who looks while a level is away goes to sleep, and is woken by its
// return, except on NetBSD before 10. The backend has no level: KqueueBackendTest,
// NothingThatItWatches….
TEST_F(KqueueQuirkTest, TheReturnOfALevelWakesNobodyOnNetbsdBefore10) {
  for (const bool hides : {true, false}) {
    turn(&Quirks::hides_while_scanned, hides);
    const FdPair pair = socket_pair();
    send_text(pair.b.get(), "x");
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, EV_ADD), 0);
    std::thread sleeping;
    std::atomic<bool> has_begun{false};
    std::atomic<std::size_t> taken{0};
    kqueue_emulation::on_requeue() = [&] {
      if (has_begun.exchange(true)) return;
      Sleeper sleeper;
      sleeping = std::thread([&] {
        sleeper.here();
        taken = take(-1).size();
      });
      EXPECT_TRUE(sleeper.await_asleep());
    };
    EXPECT_EQ(take().size(), 1U);
    if (hides) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kQuietMs));
      EXPECT_EQ(taken, 0U) << "somebody has told the sleeper";
      EXPECT_EQ(take().size(), 1U) << "who comes and looks is not missed";
      send_text(pair.b.get(), "y");
    }
    sleeping.join();  // Without the quirk this needs nothing new to happen.
    EXPECT_EQ(taken, 1U);
    kqueue_emulation::on_requeue() = nullptr;
  }
}

TEST_F(KqueueQuirkTest, ABrokenPipeIsRefusedWithTheSystemsError) {
  struct Case {
    System system;
    int error;
  };
  for (const Case& one : {Case{System::kFreebsd, EPIPE}, Case{System::kMacos, 0},
                          Case{System::kNetbsd, 0}, Case{System::kNetbsd10, EBADF},
                          Case{System::kNetbsd2023, EBADF}, Case{System::kOpenbsd, EPIPE}}) {
    play(one.system);
    FdPair pair = pipe_pair();
    pair.a.reset();
    EXPECT_EQ(apply(pair.b.get(), EVFILT_WRITE, kEdges), one.error);
  }
}

TEST_F(KqueueQuirkTest, ADeviceWithoutAFilterIsRefusedWithTheSystemsError) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(apply(null.get(), EVFILT_READ, kEdges), ENODEV);
  play(System::kMacos);
  EXPECT_EQ(apply(null.get(), EVFILT_READ, kEdges), EINVAL);
}

// --- Faults ---

TEST_F(KqueueQuirkTest, ASleepMayEndForNoReasonAndLosesNothing) {
  for (const int error : {EINTR, ETIMEDOUT}) {  // R74 (golang/go#59679)
    Faults faults;
    (error == EINTR ? faults.eintr_one_in : faults.etimedout_one_in) = 1;
    suffer(faults);
    const FdPair pair = socket_pair();
    ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdges), 0);
    Kevent event;
    EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, nullptr), -1);
    EXPECT_EQ(errno, error);
    EXPECT_TRUE(take().empty()) << "one that would not sleep ends as ever";
    send_text(pair.b.get(), "x");
    EXPECT_EQ(::kevent(kq_.get(), nullptr, 0, &event, 1, nullptr), 1);
  }
}

TEST_F(KqueueQuirkTest, ReportsMayComeInPartsAndInAnyOrderAndLateAndAllCome) {
  Faults faults;
  faults.few_one_in = 2;
  faults.shuffle_one_in = 2;
  faults.late_one_in = 2;
  suffer(faults);
  std::vector<FdPair> pairs;
  for (std::uintptr_t i = 0; i < 10; ++i) {
    pairs.push_back(socket_pair());
    send_text(pairs.back().b.get(), "x");
    ASSERT_EQ(apply(pairs.back().a.get(), EVFILT_READ, kEdges, i), 0);
  }
  std::vector<std::uintptr_t> order;
  int calls = 0;
  while (order.size() < 10 && ++calls < 100) {
    for (const Kevent& event : take()) order.push_back(udata_of(event));
  }
  EXPECT_GT(calls, 1);
  EXPECT_FALSE(std::ranges::is_sorted(order));
  std::ranges::sort(order);
  for (std::uintptr_t i = 0; i < 10; ++i) EXPECT_EQ(order.at(i), i);
}

TEST_F(KqueueQuirkTest, AWriterIsToldAgainAndAgainThatThereIsRoomAndOnlyThen) {
  suffer({.write_storm_one_in = 1});
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_WRITE, kEdges), 0);
  EXPECT_EQ(take().size() + take().size() + take().size(), 3U);
  fill(pair.a.get());
  EXPECT_TRUE(take().empty());
}

TEST_F(KqueueQuirkTest, AReportMayBeUntrue) {
  suffer({.spurious_read_one_in = 1});
  const FdPair pair = socket_pair();
  ASSERT_EQ(apply(pair.a.get(), EVFILT_READ, kEdges, 6), 0);
  const Kevents events = take();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].data, 0);
  EXPECT_EQ(udata_of(events[0]), 6U);
}

TEST_F(KqueueQuirkTest, ARegistrationMayFindNoMemory) {
  suffer({.no_memory_one_in = 1});
  const FdPair pair = socket_pair();
  EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, kEdges), ENOMEM);
  EXPECT_EQ(apply(pair.a.get(), EVFILT_READ, EV_DELETE), ENOENT);
}

}  // namespace
}  // namespace rearm::test
