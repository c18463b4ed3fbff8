// Races of a wait with what ends it: a report, a deadline or cancellation, another waiter.
#include <array>
#include <cstdint>

#include <gtest/gtest.h>

#include "support/race_test.h"

namespace rearm::test {
namespace {

class WaitRace : public RaceTest {
 protected:
  struct Lane {
    Token token;
    int fd = -1;
    CountingWaiter waiters[2];
    Result<Poller::Prepared> waits[2];
    Waiter* cancelled = nullptr;

    [[nodiscard]] bool parked(std::size_t which) const {
      return waits[which] && *waits[which] == Poller::Prepared::kParked;
    }
  };

  void begin(Lane& lane) {
    for (CountingWaiter& waiter : lane.waiters) waiter.returns = 0;
    lane.cancelled = nullptr;
    UniqueFd fd = event_fd();
    lane.fd = fd.get();
    lane.token = add(std::move(fd));
  }
  void wait(Lane& lane, std::size_t which) {
    lane.waits[which] = poller().wait(lane.token, Direction::kRead, lane.waiters[which]);
  }
  void cancel(Lane& lane) {
    lane.cancelled = poller().cancel(lane.token, Direction::kRead, WakeReason::kTimedOut);
  }

  std::array<Lane, kLanes> lanes_;
};

// Race: a deadline expires while the report for the same waiter is collected. Forbidden (G2): that
// the waiter comes back twice, or never, or with the wrong reason; that the report is lost when the
// deadline came first (R54: golang/go#45211).
TEST_P(WaitRace, ADeadlineDuringTheReportEndsTheWaitOnce) {
  race(
      rounds(25'000),
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        begin(lane);
        park(lane.token, Direction::kRead, lane.waiters[0]);
        make_readable(lane.fd);
      },
      {[&](std::size_t) { settle(); }, [&](std::size_t i) { cancel(lanes_[i]); }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        CountingWaiter& waiter = lane.waiters[0];
        if (lane.cancelled == nullptr && waiter.returns == 0) (void)returns(waiter);
        ASSERT_EQ(waiter.returns + (lane.cancelled == &waiter ? 1 : 0), 1);
        const bool reported = waiter.returns == 1;
        ASSERT_EQ(waiter.reason(), reported ? WakeReason::kReady : WakeReason::kTimedOut);
        if (lane.cancelled != nullptr) {
          ASSERT_TRUE(becomes_ready(lane.token, Direction::kRead)) << "the report was lost";
        }
        (void)close(lane.token);
      });
}

// Race: a deadline expires while the waiter parks. Forbidden: that the waiter is parked and the
// deadline gone without either knowing of the other.
TEST_P(WaitRace, ADeadlineDuringTheParkStopsItOrTakesTheWaiter) {
  race(
      rounds(25'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t i) { wait(lanes_[i], 0); }, [&](std::size_t i) { cancel(lanes_[i]); }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_TRUE(lane.waits[0]);
        if (lane.cancelled != nullptr) {
          ASSERT_TRUE(lane.parked(0));
        }
        // Whoever is still parked has come after the deadline, and is taken now.
        Waiter* const left = poller().cancel(lane.token, Direction::kRead, WakeReason::kCancelled);
        ASSERT_EQ(left != nullptr, lane.parked(0) && lane.cancelled == nullptr);
        ASSERT_EQ(close(lane.token), 0U);
      });
}

// Race: readiness comes while the waiter parks, collected by a third thread (G5). Forbidden: that
// the waiter sleeps although the descriptor is ready.
TEST_P(WaitRace, AReportDuringTheParkIsSeen) {
  race(
      rounds(25'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t) { settle(); }, [&](std::size_t i) { make_readable(lanes_[i].fd); },
       [&](std::size_t i) { wait(lanes_[i], 0); }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_TRUE(lane.waits[0]);
        if (lane.parked(0) && lane.waiters[0].returns == 0) {
          ASSERT_TRUE(returns(lane.waiters[0])) << "asleep, though it is ready";
        }
        ASSERT_EQ(lane.waiters[0].returns, lane.parked(0) ? 1 : 0);
        (void)close(lane.token);
      });
}

// Race (R49: PhotonLibOS#381): two threads wait for the same direction. Forbidden: that both park,
// and one takes the other's place.
TEST_P(WaitRace, OfTwoWaitersOneParksAndTheOtherIsBusy) {
  race(
      rounds(25'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t i) { wait(lanes_[i], 0); }, [&](std::size_t i) { wait(lanes_[i], 1); }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_NE(lane.parked(0), lane.parked(1));
        const std::size_t loser = lane.parked(0) ? 1 : 0;
        ASSERT_FALSE(lane.waits[loser]);
        ASSERT_EQ(lane.waits[loser].error(), Errc::kBusy);
        ASSERT_EQ(close(lane.token), 1U);
        ASSERT_EQ(lane.waiters[1 - loser].returns, 1);
      });
}

// Race (R20: tokio#2924): everything is cancelled while a waiter parks. Forbidden: a waiter that
// comes back twice; the sweep must stand descriptors that are closed under it.
TEST_P(WaitRace, CancellingEverythingDuringParkAndCloseReturnsEachWaiterOnce) {
  race(
      rounds(10'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t) {
         (void)count_returns(core_of(poller())->cancel_all(WakeReason::kCancelled));
       },
       [&](std::size_t i) { wait(lanes_[i], 0); },
       [&](std::size_t i) { (void)close(lanes_[i].token); }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_EQ(lane.waiters[0].returns, lane.parked(0) ? 1 : 0);
      });
}

INSTANTIATE_TEST_SUITE_P(Backends, WaitRace, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
