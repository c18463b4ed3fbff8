// The emulation's own switches: each fault happens when it is turned on, and hides nothing.
#include "base/clock.h"
#include "emulation/event_port.h"
#include "emulation/event_port_fixture.h"

namespace rearm::test {
namespace {

constexpr unsigned kEachTime = 1'000;

class EventPortFault : public EventPortTest {
 protected:
  // The faults are there when the port is created and until the test ends.
  void turn_on(const EventPortFaults& faults) {
    port_.reset();
    faults_.reset();
    faults_ = std::make_unique<ScopedEventPortFaults>(faults);
    port_ = UniqueFd(require(::port_create(), "port_create"));
  }

  void TearDown() override {
    port_.reset();
    event_port_hooks() = {};
  }

  std::unique_ptr<ScopedEventPortFaults> faults_;
};

// R36 (golang/go#35261)
TEST_F(EventPortFault, EtimeWithEvents) {
  turn_on({.etime_with_events = kEachTime});
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  PortWaiter waiter(port(), 1, &kLong);
  send_text(pair.b.get(), "x");
  waiter.join();
  EXPECT_EQ(waiter.error, ETIME);
  ASSERT_EQ(waiter.count, 1U);
  EXPECT_EQ(waiter.events[0].portev_events, POLLIN);
}

TEST_F(EventPortFault, Eintr) {
  turn_on({.eintr = kEachTime});
  const Got got = getn(4, 2, nullptr);
  EXPECT_EQ(got.error, EINTR);
  EXPECT_EQ(got.count, 2U) << "the count is what it was";
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(await().count, 1U) << "no sleep, no interruption";
}

// R64.
TEST_F(EventPortFault, Einval) {
  turn_on({.einval = kEachTime});
  timespec timeout = kShort;
  EXPECT_EQ(getn(4, 1, &timeout).error, EINVAL);
  EXPECT_EQ(getn(4, 1, &timeout).error, ETIME) << "never twice in a row";
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(await().count, 1U) << "no sleep, no garbage";
}

TEST_F(EventPortFault, FiredMaskZero) {
  turn_on({.fired_mask_zero = kEachTime});
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  Got got = await();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(got.events[0].portev_events, 0);
  EXPECT_EQ(take().count, 0U) << "used up all the same";
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(got.events[0].portev_events, 0) << "nor is a call spared that does not wait";
}

TEST_F(EventPortFault, LateCopy) {
  turn_on({.late_copy = kEachTime, .late_copy_us = 1'000});
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  ASSERT_EQ(associate(pair.a.get(), POLLIN, 1), 0);
  event_port_hooks().on_retrieve = [&] {
    EXPECT_EQ(dissociate(pair.a.get()), -1) << "retrieved already";
    pair.a.reset();
  };
  EXPECT_EQ(await().count, 1U) << "the report of a number that is closed by now";
}

// R65 (PowerDNS#2925, illumos 6474)
TEST_F(EventPortFault, SpuriousPollin) {
  turn_on({.spurious_pollin = kEachTime});
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  const Got got = take();
  ASSERT_EQ(got.count, 1U);
  EXPECT_EQ(got.events[0].portev_events, POLLIN);
  ASSERT_EQ(associate(pair.a.get(), 0), 0);
  EXPECT_EQ(take().count, 0U);
}

TEST_F(EventPortFault, NarrowMask) {
  turn_on({.narrow_mask = kEachTime});
  FdPair pair = socket_pair();
  fill(pair.a.get());
  ASSERT_EQ(associate(pair.a.get(), POLLIN | POLLOUT), 0);
  (void)drain(pair.b.get());
  send_text(pair.b.get(), "x");
  const Got got = await();
  ASSERT_EQ(got.count, 1U);
  const int mask = got.events[0].portev_events;
  EXPECT_TRUE(mask == POLLIN || mask == POLLOUT) << mask;
}

// R67
TEST_F(EventPortFault, ShortestSleep) {
  turn_on({.shortest_sleep_ns = 10'000'000});
  const std::int64_t start_ns = detail::now_ns();
  timespec timeout{.tv_sec = 0, .tv_nsec = 100'000};
  EXPECT_EQ(getn(4, 1, &timeout).error, ETIME);
  EXPECT_GE(detail::now_ns() - start_ns, 10'000'000);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(take().count, 0U);
  EXPECT_LT(detail::now_ns() - start_ns, 10'000'000'000) << "zero is no time";
}

// P7, P13: associations and sent events share the limit.
TEST_F(EventPortFault, MaxEvents) {
  turn_on({.max_events = 2});
  FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  ASSERT_EQ(send(1), 0);
  EXPECT_EQ(send(2), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(associate(pair.b.get(), POLLIN), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(associate(pair.a.get(), POLLIN), 0) << "known already";
  EXPECT_EQ(take().count, 1U);
  EXPECT_EQ(send(3), 0) << "retrieved, so there is room again";
  EXPECT_EQ(take().count, 1U);
  send_text(pair.b.get(), "x");
  EXPECT_EQ(take().count, 1U);
  EXPECT_EQ(send(4), 0);
  EXPECT_EQ(send(5), -1) << "an association that has fired counts";
  EXPECT_EQ(dissociate(pair.a.get()), -1);
  EXPECT_EQ(send(6), 0) << "until it is dissociated";
}

// The hole in the hand-off (port_getn() of illumos): the head is woken for an event, is interrupted
// at the same time, and the next one is not told. Nothing is lost but time.
TEST_F(EventPortFault, LostHandOff) {
  turn_on({.lost_hand_off = kEachTime});
  PortWaiter other(port());
  PortWaiter head(port());
  ASSERT_EQ(send(1), 0);
  head.join();
  EXPECT_EQ(head.error, EINTR);
  EXPECT_EQ(head.count, 1U) << "as it was";
  let_it_sleep();
  EXPECT_FALSE(other.is_back) << "though there is an event";
  EXPECT_EQ(queued(), 1U);
  EXPECT_EQ(await().count, 1U) << "for the next one who comes";
  ASSERT_EQ(send(2), 0);
  other.join();
  EXPECT_EQ(other.error, EINTR) << "the head by now";
  EXPECT_EQ(take().count, 1U);
}

TEST_F(EventPortFault, WakesAll) {
  turn_on({.lost_hand_off = kEachTime, .wakes_all = true});
  {
    PortWaiter first(port());
    PortWaiter second(port());
    ASSERT_EQ(send(1), 0);
    for (PortWaiter* const waiter : {&first, &second}) {
      waiter->join();
      EXPECT_EQ(waiter->error, EINTR) << "signalled, both of them";
    }
  }
  turn_on({.wakes_all = true});
  PortWaiter first(port());
  PortWaiter second(port());
  ASSERT_EQ(send(1), 0);
  while (!first.is_back && !second.is_back) let_it_sleep();
  let_it_sleep();
  EXPECT_FALSE(first.is_back && second.is_back) << "one event is one waiter's";
  ASSERT_EQ(send(2), 0);
  for (PortWaiter* const waiter : {&first, &second}) {
    waiter->join();
    EXPECT_EQ(waiter->count, 1U);
  }
}

TEST_F(EventPortFault, MaxPorts) {
  turn_on({.max_ports = 1});
  EXPECT_EQ(::port_create(), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_EQ(send(1), 0) << "the one that there is goes on";
  EXPECT_EQ(take().count, 1U);
  port_.reset();
  port_ = UniqueFd(::port_create());
  EXPECT_GE(port_.get(), 0);
}

TEST_F(EventPortFault, FifoWaiters) {
  turn_on({.lifo_waiters = false});
  PortWaiter first(port());
  PortWaiter second(port());
  ASSERT_EQ(send(1), 0);
  first.join();
  EXPECT_FALSE(second.is_back);
  ASSERT_EQ(send(2), 0);
}

TEST_F(EventPortFault, MixedNgetStarvation) {
  for (const bool is_on : {false, true}) {
    turn_on({.mixed_nget_starvation = is_on});
    PortWaiter modest(port(), 1);
    PortWaiter greedy(port(), 2);
    ASSERT_EQ(send(1), 0);
    if (!is_on) modest.join();
    let_it_sleep();
    EXPECT_EQ(modest.is_back, !is_on);
    EXPECT_FALSE(greedy.is_back);
    ASSERT_EQ(send(2), 0);
    if (is_on) greedy.join();  // Before it has, it would take the third event along.
    ASSERT_EQ(send(3), 0);
    modest.join();
    greedy.join();
  }
}

TEST_F(EventPortFault, OneSeedIsOneSequence) {
  std::vector<int> runs[2];
  for (std::vector<int>& run : runs) {
    turn_on({.seed = 42, .eintr = 500});
    timespec timeout{.tv_sec = 0, .tv_nsec = 1};
    for (int i = 0; i < 50; ++i) run.push_back(getn(1, 1, &timeout).error);
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_EQ(std::ranges::count(runs[0], EINTR) + std::ranges::count(runs[0], ETIME), 50);
  EXPECT_GT(std::ranges::count(runs[0], EINTR), 0);
}

TEST_F(EventPortFault, BreachesAreCounted) {
  (void)take_event_port_breaches();
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  EXPECT_FALSE(event_port_knows(port(), fd));
  ASSERT_EQ(associate(fd, POLLIN), 0);
  EXPECT_TRUE(event_port_knows(port(), fd));
  pair.a.reset();
  EXPECT_FALSE(event_port_knows(port(), fd));
  EXPECT_EQ(associate(fd, POLLIN), -1);
  bool is_nested = false;
  event_port_hooks().on_associate = [&] {
    if (std::exchange(is_nested, true)) return;
    EXPECT_EQ(associate(pair.b.get(), POLLIN), 0);
  };
  ASSERT_EQ(associate(pair.b.get(), POLLIN), 0);
  EventPortBreaches expected{.associates_of_closed_numbers = 1,
                             .associates_at_once = 1,
                             .associates_outside_life = 2};  // Each number's first one.
  EXPECT_EQ(take_event_port_breaches(), expected);
  EXPECT_EQ(take_event_port_breaches(), EventPortBreaches{});

  event_port_hooks().on_associate = [&] {
    EXPECT_EQ(::port_dissociate(port(), PORT_SOURCE_FD, static_cast<uintptr_t>(pair.b.get())), 0);
  };
  int life = 0;
  ASSERT_EQ(
      ::port_associate(port(), PORT_SOURCE_FD, static_cast<uintptr_t>(pair.b.get()), 0, &life), 0);
  event_port_hooks() = {};
  ASSERT_EQ(::port_associate(port(), PORT_SOURCE_FD, static_cast<uintptr_t>(pair.b.get()), POLLIN,
                             nullptr),
            0);
  expected = {.associates_of_another_life = 1, .dissociates_during_associate = 1};
  EXPECT_EQ(take_event_port_breaches(), expected);
}

TEST_F(EventPortFault, BreachesHaveWords) {
  (void)take_event_port_breaches();
  const FdPair pair = socket_pair();
  ASSERT_EQ(associate(pair.a.get(), POLLIN), 0);
  EXPECT_EQ(take_event_port_breaches_in_words(), "arm outside the descriptor's life, times 1");
  EXPECT_EQ(take_event_port_breaches_in_words(), "");
}

}  // namespace
}  // namespace rearm::test
