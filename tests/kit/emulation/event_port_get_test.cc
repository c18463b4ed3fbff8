// Event ports as illumos documents them: retrieving events, waiting, alerts and limits of time. All
// of this is said through <port.h>, so that it can be put to the real kernel, too.
#include <unistd.h>

#include <atomic>
#include <chrono>

#include "emulation/event_port_fixture.h"
#include "support/race.h"

namespace rearm::test {
namespace {

class EventPortGet : public EventPortTest {};

// P8
TEST_F(EventPortGet, GetnChecksItsArguments) {
  ASSERT_EQ(send(1), 0);
  ASSERT_EQ(send(2), 0);
  EXPECT_EQ(queued(), 2U) << "max 0 counts";
  Got got = getn(4, 0, nullptr);
  EXPECT_EQ(got.result, 0);
  EXPECT_EQ(got.count, 0U) << "a minimum of 0 takes nothing";
  EXPECT_EQ(getn(2, 3, nullptr).error, EINVAL);
  unsigned count = 1;
  EXPECT_EQ(::port_getn(port(), nullptr, 1, &count, nullptr), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(::port_getn(-1, nullptr, 0, &count, nullptr), -1);
  EXPECT_EQ(errno, EBADF);
  const FdPair pair = socket_pair();
  EXPECT_EQ(::port_getn(pair.a.get(), nullptr, 0, &count, nullptr), -1);
  EXPECT_EQ(errno, EBADFD);
  EXPECT_EQ(take().count, 2U);
}

// P9
TEST_F(EventPortGet, AZeroTimeoutTakesWhatIsThereAndSucceeds) {
  timespec none{};
  const Got got = getn(4, 1, &none);
  EXPECT_EQ(got.result, 0);
  EXPECT_EQ(got.count, 0U);
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(getn(4, 3, &none).count, 1U) << "fewer than the minimum";
  port_event_t event;
  event.portev_source = 0;
  EXPECT_EQ(::port_get(port(), &event, &none), 0) << "bug 6456558: success with nothing";
  EXPECT_EQ(event.portev_source, 0);
}

// P10
TEST_F(EventPortGet, ATimeoutComesWithWhatIsThere) {
  timespec timeout = kShort;
  Got got = getn(4, 1, &timeout);
  EXPECT_EQ(got.error, ETIME);
  EXPECT_EQ(got.count, 0U);
  ASSERT_EQ(send(1), 0);
  ASSERT_EQ(send(2), 0);
  got = getn(8, 5, &timeout);
  EXPECT_EQ(got.error, ETIME);
  EXPECT_EQ(got.count, 2U);
  EXPECT_EQ(queued(), 0U);
  port_event_t event;
  EXPECT_EQ(::port_get(port(), &event, &timeout), -1);
  EXPECT_EQ(errno, ETIME);
}

// P11
TEST_F(EventPortGet, AnInterruptedCallLeavesTheCountAlone) {
  const ScopedSignal handler(SIGUSR1, [](int) {});
  PortWaiter pump(port());
  PortWaiter other(port());
  for (PortWaiter* const waiter : {&pump, &other}) {
    waiter->interrupt(SIGUSR1);
    waiter->join();
    EXPECT_EQ(waiter->error, EINTR);
    EXPECT_EQ(waiter->count, 1U) << "as it was";
    EXPECT_EQ(waiter->events[0].portev_source, 0) << "untouched";
  }
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(take().count, 1U);
}

// P12
TEST_F(EventPortGet, EventsComeInTheOrderInWhichTheyHappened) {
  for (std::uintptr_t i = 1; i <= 3; ++i) ASSERT_EQ(send(i), 0);
  for (std::uintptr_t i = 1; i <= 3; ++i) {
    const Got got = take(1);
    ASSERT_EQ(got.count, 1U);
    EXPECT_EQ(number_of(got.events[0]), i);
  }
}

// P13
TEST_F(EventPortGet, SentEventsAreNotMergedAndKeepTheirPlaceAmongOthers) {
  FdPair pair = socket_pair();
  ASSERT_EQ(send(1), 0);
  ASSERT_EQ(send(2), 0);
  ASSERT_EQ(associate(pair.a.get(), POLLIN, 3), 0);
  send_text(pair.b.get(), "x");
  ASSERT_EQ(send(4), 0);
  const Got got = take();
  ASSERT_EQ(got.count, 4U);
  for (std::uintptr_t i = 0; i < 4; ++i) EXPECT_EQ(number_of(got.events[i]), i + 1);
  EXPECT_EQ(got.events[0].portev_source, PORT_SOURCE_USER);
  EXPECT_EQ(got.events[0].portev_object, 0U);
  EXPECT_EQ(got.events[0].portev_events, 1);
}

TEST_F(EventPortGet, SendnTellsWhichPortsRefused) {
  int ports[] = {port(), -1, port()};
  int errors[3] = {7, 7, 7};
  EXPECT_EQ(::port_sendn(ports, errors, 3, 1, nullptr), 2);
  EXPECT_EQ(errors[0], 0);
  EXPECT_EQ(errors[1], EBADF);
  EXPECT_EQ(queued(), 2U);
  errors[0] = 7;
  EXPECT_EQ(::port_sendn(ports, errors, 1, 1, nullptr), 1);
  EXPECT_EQ(errors[0], 7) << "nothing failed, nothing is written";
  EXPECT_EQ(::port_sendn(ports, errors, 8193, 1, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
}

// P14
TEST_F(EventPortGet, AnAlertReturnsEveryoneAloneUntilItIsCleared) {
  ASSERT_EQ(::port_alert(port(), PORT_ALERT_SET | PORT_ALERT_UPDATE, 1, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  {
    PortWaiter first(port());
    PortWaiter second(port());
    ASSERT_EQ(::port_alert(port(), PORT_ALERT_UPDATE, 5, cookie(9)), 0);
    for (PortWaiter* const waiter : {&first, &second}) {
      waiter->join();
      ASSERT_EQ(waiter->result, 0);
      ASSERT_EQ(waiter->count, 1U);
      EXPECT_EQ(waiter->events[0].portev_source, PORT_SOURCE_ALERT);
      EXPECT_EQ(waiter->events[0].portev_events, 5);
      EXPECT_EQ(number_of(waiter->events[0]), 9U);
    }
  }
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(::port_alert(port(), PORT_ALERT_UPDATE, 6, nullptr), -1);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(::port_alert(port(), PORT_ALERT_SET, 7, nullptr), 0);
  for (int i = 0; i < 2; ++i) {
    const Got got = await();
    ASSERT_EQ(got.count, 1U);
    EXPECT_EQ(got.events[0].portev_source, PORT_SOURCE_ALERT);
    EXPECT_EQ(got.events[0].portev_events, 7);
  }
  EXPECT_EQ(::port_alert(port(), PORT_ALERT_SET, 0, nullptr), 0);
  const Got got = take();
  ASSERT_EQ(got.count, 1U) << "what was queued is still there";
  EXPECT_EQ(got.events[0].portev_source, PORT_SOURCE_USER);
}

// P15
TEST_F(EventPortGet, OneEventWakesOneWaiterTheNewest) {
  PortWaiter first(port());
  PortWaiter second(port());
  PortWaiter third(port());
  ASSERT_EQ(send(1), 0);
  third.join();
  EXPECT_EQ(third.count, 1U);
  let_it_sleep();
  EXPECT_FALSE(first.is_back);
  EXPECT_FALSE(second.is_back);
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  second.join();
  EXPECT_FALSE(first.is_back);
  ASSERT_EQ(send(2), 0);
  first.join();
}

TEST_F(EventPortGet, AReportThatComesFromOutsideWakesAWaiterThatDoesNotPump) {
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  PortWaiter first(port());
  PortWaiter second(port());
  send_text(pair.b.get(), "x");
  second.join();
  EXPECT_EQ(second.count, 1U);
  EXPECT_FALSE(first.is_back);
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  first.join();
}

// P16
TEST_F(EventPortGet, ClosingThePortReturnsThoseWhoWait) {
  PortWaiter first(port());
  PortWaiter second(port());
  port_.reset();
  for (PortWaiter* const waiter : {&first, &second}) {
    waiter->join();
    EXPECT_EQ(waiter->result, -1);
    EXPECT_EQ(waiter->error, EBADF);
  }
}

// P17
TEST_F(EventPortGet, ABadTimeoutIsAnErrorOnlyWhereTheCallWouldSleep) {
  timespec bad{.tv_sec = 0, .tv_nsec = 1'000'000'000};
  EXPECT_EQ(getn(4, 1, &bad).error, EINVAL);
  bad = {.tv_sec = -1, .tv_nsec = 0};
  EXPECT_EQ(getn(4, 1, &bad).error, EINVAL);
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(getn(4, 1, &bad).result, 0);
}

// The number that an associating thread is to work on, and in which life. Whoever opens the number
// anew takes it away first, and waits until the thread has let go of it: to associate a number that
// is somebody else's by then would be the program's fault.
class AssociatedNumber {
 public:
  void give(int fd, std::uintptr_t life) {
    fd_ = fd;
    life_ = life;
  }
  void take_away() {
    life_ = 0;
    while (is_in_use_) ::sched_yield();
  }
  // Calls use(fd, life) if there is a number.
  template <class Use>
  void with(Use&& use) {
    is_in_use_ = true;
    if (const std::uintptr_t life = life_) use(fd_.load(), life);
    is_in_use_ = false;
  }

 private:
  std::atomic<int> fd_{-1};
  std::atomic<std::uintptr_t> life_{0};
  std::atomic<bool> is_in_use_{false};
};

// P18: one thread closes and opens, one associates, one retrieves. Forbidden: a report that comes
// out of a port_getn() that started after the close has returned; an association that outlives it.
TEST_F(EventPortGet, NoReportOutlivesTheCloseOfItsNumber) {
  constexpr std::uintptr_t kRounds = 4'000;
  AssociatedNumber number;
  std::atomic<std::uintptr_t> closed_before{0};  // Lives up to this one have been closed.
  std::atomic<bool> is_over{false};
  std::atomic<int> retrieved{0};
  int refused = 0;
  std::thread associating([&] {
    for (unsigned i = 0; !is_over; ++i) {
      number.with([&](int fd, std::uintptr_t life) {
        if (i % 2 == 0) {
          EXPECT_TRUE(dissociate(fd) == 0 || errno == ENOENT || errno == EBADFD) << errno;
        } else if (associate(fd, POLLIN, life) != 0) {
          EXPECT_EQ(errno, EBADFD);
          ++refused;
        }
      });
    }
  });
  std::thread retriever([&] {
    while (!is_over) {
      const std::uintptr_t dead = closed_before;
      timespec timeout{.tv_sec = 0, .tv_nsec = 100'000};
      for (const port_event_t& event : getn(8, 1, &timeout).events) {
        ASSERT_GT(number_of(event), dead);
        ++retrieved;
      }
    }
  });
  for (std::uintptr_t life = 1; life <= kRounds && !HasFailure(); ++life) {
    FdPair pair = pipe_pair();
    EXPECT_EQ(dissociate(pair.a.get()), -1) << "left by life " << life - 1;
    EXPECT_EQ(associate(pair.a.get(), POLLIN, life), 0);
    number.give(pair.a.get(), life);
    if (life % 8 == 0) send_text(pair.b.get(), "x");                 // The others never fire.
    for (std::uintptr_t i = life % 64 * 8; i > 0; --i) pause_cpu();  // So that the other is here.
    pair.a.reset();
    closed_before = life;
    number.take_away();
  }
  is_over = true;
  associating.join();
  retriever.join();
  EXPECT_GT(retrieved, 0);
  EXPECT_GT(refused, 0) << "no associate has met a close";
  EXPECT_EQ(queued(), 0U);
}

// P19
TEST_F(EventPortGet, AReportKeepsTheMaskOfItsMoment) {
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  send_text(pair.b.get(), "x");
  ASSERT_EQ(queued(), 1U);
  (void)drain(pair.a.get());
  const Got got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(got.events[0].portev_events, POLLIN) << "though there is nothing to read any more";
}

// P20
TEST_F(EventPortGet, ThePortIsReadableWhileItHasEvents) {
  EXPECT_FALSE(is_readable(port()));
  ASSERT_EQ(send(1), 0);
  EXPECT_TRUE(is_readable(port()));
  EXPECT_EQ(take().count, 1U);
  EXPECT_FALSE(is_readable(port()));
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_FALSE(is_readable(port()));
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(is_readable(port(), 1'000));
  EXPECT_EQ(dissociate(pair.a.get()), 0);
  EXPECT_FALSE(is_readable(port()));
}

// P20: what is ready when it is associated is queued and wakes nobody who polls the port's number;
// what comes afterwards does.
TEST_F(EventPortGet, AnAssociateOfWhatIsReadyWakesNobodyWhoPollsThePort) {
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  Sleeper sleeper;
  std::atomic<bool> is_back{false};
  std::thread polling([&] {
    sleeper.here();
    EXPECT_TRUE(is_readable(port(), 10'000));
    is_back = true;
  });
  ASSERT_TRUE(sleeper.await_asleep());
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_EQ(queued(), 1U);
  let_it_sleep();
  EXPECT_FALSE(is_back);
  ASSERT_EQ(send(1), 0);
  polling.join();
  EXPECT_EQ(take().count, 2U);
  EXPECT_FALSE(is_readable(port()));
}

// A signal handler that sends finds its own thread anywhere, also inside a call of the port.
int interrupted_port = -1;
TEST_F(EventPortGet, SendMayBeCalledFromASignalHandler) {
  interrupted_port = port();
  std::atomic<bool> is_over{false};
  std::atomic<int> taken{0};
  const ScopedSignal handler(SIGUSR1, [](int) { (void)::port_send(interrupted_port, 1, nullptr); });
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  std::thread busy([&] {
    while (!is_over) {
      EXPECT_EQ(associate(pair.a.get(), POLLIN), 0);
      for (const port_event_t& event : take(64).events) {
        taken += event.portev_source == PORT_SOURCE_USER ? 1 : 0;
      }
    }
  });
  constexpr int kSignals = 500;
  for (int i = 0; i < kSignals; ++i) {
    (void)::pthread_kill(busy.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  is_over = true;
  busy.join();
  EXPECT_GT(taken, 0);
}

}  // namespace
}  // namespace rearm::test
