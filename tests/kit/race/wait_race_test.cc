// Races of a wait with what ends it: a report, a deadline or cancellation, another waiter.
#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include <gtest/gtest.h>

#include "support/hold_up.h"
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

// Race: a deadline expires while the waiter parks, and sometimes knows that the waiter has begun
// to. Forbidden: that the waiter is parked and the deadline gone without either knowing of the
// other.
TEST_P(WaitRace, ADeadlineDuringTheParkStopsItOrTakesTheWaiter) {
  struct Meeting {
    std::atomic<bool> has_prepared{false};
    bool was_announced = false;  // To the deadline, before it came.
  };
  std::array<Meeting, kLanes> meetings;
  race(
      rounds(25'000),
      [&](std::size_t i) {
        begin(lanes_[i]);
        meetings[i].has_prepared.store(false, std::memory_order_relaxed);
      },
      {[&](std::size_t i) {
         Lane& lane = lanes_[i];
         lane.waits[0] = poller().prepare(lane.token, Direction::kRead);
         meetings[i].has_prepared.store(true, std::memory_order_release);
         ASSERT_FALSE(poller().arm(lane.token, Direction::kRead));
         const bool parked = poller().commit(lane.token, Direction::kRead, lane.waiters[0]);
         if (!parked) lane.waits[0] = Poller::Prepared::kTryAgain;
       },
       [&](std::size_t i) {
         meetings[i].was_announced = meetings[i].has_prepared.load(std::memory_order_acquire);
         cancel(lanes_[i]);
       }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_TRUE(lane.waits[0]);
        if (lane.cancelled != nullptr) {
          ASSERT_TRUE(lane.parked(0));
        } else if (meetings[i].was_announced) {
          ASSERT_FALSE(lane.parked(0)) << "parked, and the deadline is gone";
        }
        // Whoever is still parked has come after the deadline, and is taken now.
        Waiter* const left = poller().cancel(lane.token, Direction::kRead, WakeReason::kCancelled);
        ASSERT_EQ(left != nullptr, lane.parked(0) && lane.cancelled == nullptr);
        ASSERT_EQ(close(lane.token), 0U);
      });
}

// Race: readiness comes, and is collected, while the waiter parks (G5). Forbidden: that the waiter
// sleeps although the descriptor is ready. The guard is the exchange in WaitWord::commit().
TEST_P(WaitRace, AReportDuringTheParkIsSeen) {
  HoldUp hold_up;
  const auto report = [&](std::size_t i) {
    make_readable(lanes_[i].fd);
    settle();
  };
  race(
      rounds(25'000), [&](std::size_t i) { begin(lanes_[i]); },
      {[&](std::size_t i) {
         if (i % 2 != 0) hold_up.approach();
         wait(lanes_[i], 0);
       },
       [&](std::size_t i) {
         if (i % 2 == 0) {
           report(i);
         } else {
           hold_up.during([&] { report(i); });
         }
       }},
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

// Race (R20: tokio#2924): everything is cancelled while a waiter parks, while its descriptor is
// closed, and while the slot goes to another poller. Forbidden: a waiter that comes back twice or
// never; that the sweep takes the other poller's waiter. The guards are the exchanges of the word,
// and that PollerCore::for_each_open() enters a descriptor and only then says whose it is.
TEST_P(WaitRace, CancellingEverythingDuringParkAndCloseReturnsEachWaiterOnce) {
  auto other = open_poller(GetParam());
  ASSERT_TRUE(other);
  struct Stranger {
    Token token;
    CountingWaiter waiter;
  };
  std::array<Stranger, kLanes> strangers;
  HoldUp hold_up;
  const auto close_and_replace = [&](std::size_t i) {
    (void)close(lanes_[i].token);
    UniqueFd fd = event_fd();
    strangers[i].token = other->add(fd.get()).value();
    (void)fd.release();
    ASSERT_TRUE(other->wait(strangers[i].token, Direction::kRead, strangers[i].waiter));
  };
  race(
      rounds(10'000),
      [&](std::size_t i) {
        begin(lanes_[i]);
        strangers[i].waiter.returns = 0;
      },
      {[&](std::size_t i) {
         if (i % 2 != 0) hold_up.approach();
         for (int n = 0; n < 3; ++n) {
           (void)count_returns(core_of(poller())->withdraw_all(WakeReason::kCancelled));
         }
       },
       [&](std::size_t i) {
         wait(lanes_[i], 0);
         if (i % 2 == 0) {
           close_and_replace(i);
         } else {
           hold_up.during([&] { close_and_replace(i); });
         }
       }},
      [&](std::size_t i) {
        Lane& lane = lanes_[i];
        ASSERT_EQ(lane.waiters[0].returns, lane.parked(0) ? 1 : 0);
        ASSERT_EQ(strangers[i].waiter.returns, 0) << "a waiter of another poller was cancelled";
        ASSERT_EQ(count_returns(other->close(strangers[i].token).value()), 1U);
      });
}

INSTANTIATE_TEST_SUITE_P(Backends, WaitRace, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
