// Races of close() with everything that others may be doing on the same descriptor.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>

#include <gtest/gtest.h>

#include "support/hold_up.h"
#include "support/race_test.h"

namespace rearm::test {
namespace {

class CloseRace : public RaceTest {};

// Race: one thread waits, that is, it prepares, arms and commits for both directions; another
// closes. Forbidden (G1, G2): to arm a number that the kernel was told to forget; a waiter that is
// parked and never comes back, or comes back twice. The guards are the closing check in
// PollerCore::arm_forgetting() and the exchange in WaitWord::commit().
TEST_P(CloseRace, AWaitDuringTheCloseArmsNothingAndIsNotLost) {
  struct Lane {
    Token token;
    CountingWaiter reader;
    CountingWaiter writer;
    Result<Poller::Prepared> read{};
    Result<Poller::Prepared> write{};
  };
  std::array<Lane, kLanes> lanes;
  HoldUp hold_up;
  const auto check = [](const Result<Poller::Prepared>& wait, CountingWaiter& waiter) {
    const bool parked = wait && *wait == Poller::Prepared::kParked;
    ASSERT_EQ(waiter.returns, parked ? 1 : 0);
    if (parked) {
      ASSERT_EQ(waiter.reason(), WakeReason::kClosed);
    }
    if (!wait) {
      ASSERT_EQ(wait.error(), Errc::kClosed);
    }
    waiter.returns = 0;
  };
  race(
      rounds(25'000), [&](std::size_t i) { lanes[i].token = add(event_fd()); },
      {[&](std::size_t i) {
         Lane& lane = lanes[i];
         if (i % 2 != 0) hold_up.approach();
         lane.read = poller().wait(lane.token, Direction::kRead, lane.reader);
         lane.write = poller().wait(lane.token, Direction::kWrite, lane.writer);
       },
       [&](std::size_t i) {
         if (i % 2 == 0) {
           (void)close(lanes[i].token);
         } else {
           hold_up.during([&] { (void)close(lanes[i].token); });
         }
       }},
      [&](std::size_t i) {
        check(lanes[i].read, lanes[i].reader);
        check(lanes[i].write, lanes[i].writer);
        ASSERT_EQ(take_breaches(), "");
      });
}

// Race: two threads close. Forbidden (G4): that both win, that neither does, that the waiter comes
// back from both; that the loser closes the number, which the winner's next descriptor has got
// (R58: golang/go#49273, R61: asio#268).
TEST_P(CloseRace, OfTwoClosesOneWinsAndTheOtherTouchesNothing) {
  struct Racer {
    bool won = false;
    UniqueFd stranger;  // Opened by the winner at once, usually under the number just closed.
  };
  struct Lane {
    Token token;
    CountingWaiter reader;
    std::array<Racer, 2> racers;
  };
  std::array<Lane, kLanes> lanes;
  const auto racer = [&](std::size_t which) {
    return [&, which](std::size_t i) {
      Racer& self = lanes[i].racers[which];
      auto waiters = poller().close(lanes[i].token);
      self.won = waiters.has_value();
      if (!self.won) return;
      (void)count_returns(std::move(*waiters));
      self.stranger = event_fd();
    };
  };
  race(
      rounds(25'000),
      [&](std::size_t i) {
        lanes[i].token = add(event_fd());
        lanes[i].reader.returns = 0;
        park(lanes[i].token, Direction::kRead, lanes[i].reader);
      },
      {racer(0), racer(1)},
      [&](std::size_t i) {
        Lane& lane = lanes[i];
        ASSERT_NE(lane.racers[0].won, lane.racers[1].won);
        ASSERT_EQ(lane.reader.returns, 1);
        for (Racer& one : lane.racers) {
          if (!one.won) continue;
          ASSERT_TRUE(is_open(one.stranger.get())) << "the loser closed a stranger's number";
          one.stranger.reset();
        }
      });
}

// Race: one thread is in a system call on the number; another closes, and opens a stranger at once.
// Forbidden (G4; R18: co#9, R24 in spirit): that the number is closed under the operation, so that
// it fails or reads what belongs to the stranger.
TEST_P(CloseRace, AnOperationInFlightNeverMeetsAStrangerUnderItsNumber) {
  constexpr std::uint64_t kOurs = 1;
  constexpr std::uint64_t kStrangers = 2;
  struct Lane {
    Token token;
    UniqueFd stranger;
    bool began = false;
    bool was_open = false;
    std::uint64_t value = 0;
    int error = 0;
  };
  std::array<Lane, kLanes> lanes;
  race(
      rounds(25'000),
      [&](std::size_t i) {
        lanes[i].token = add(event_fd(kOurs));
        lanes[i].value = 0;
        lanes[i].error = 0;
      },
      {[&](std::size_t i) {
         Lane& lane = lanes[i];
         const auto operation = poller().begin(lane.token, Direction::kRead);
         lane.began = operation.has_value();
         if (!lane.began) return;
         lane.was_open = true;
         for (int k = 0; k < 4; ++k) lane.was_open = lane.was_open && is_open(operation->fd());
         const ssize_t n = ::read(operation->fd(), &lane.value, sizeof(lane.value));
         if (n < 0) lane.error = errno;
       },
       [&](std::size_t i) {
         (void)close(lanes[i].token);
         lanes[i].stranger = event_fd(kStrangers);
       }},
      [&](std::size_t i) {
        Lane& lane = lanes[i];
        if (lane.began) {
          ASSERT_TRUE(lane.was_open) << "closed under the operation";
          ASSERT_EQ(lane.error, 0) << "closed under the operation";
          ASSERT_EQ(lane.value, kOurs) << "the operation read a stranger's descriptor";
        }
        lane.stranger.reset();
      });
  EXPECT_EQ(poller().stats().descriptors, 0U);
}

// Race: the reader's and the writer's operations leave while a third thread closes. Forbidden: that
// nobody closes the number (the tear-down counts), or that it is closed twice. The guard is what
// Lifetime::leave_with() makes of the word that its exchange found.
TEST_P(CloseRace, TheLastOneOutClosesTheNumberWhoeverItIs) {
  struct Lane {
    Token token;
    int number = -1;
    std::optional<Poller::Operation> reading;
    std::optional<Poller::Operation> writing;
  };
  std::array<Lane, kLanes> lanes;
  race(
      rounds(25'000),
      [&](std::size_t i) {
        Lane& lane = lanes[i];
        UniqueFd fd = event_fd();
        lane.number = fd.get();
        lane.token = add(std::move(fd));
        lane.reading = poller().begin(lane.token, Direction::kRead).value();
        lane.writing = poller().begin(lane.token, Direction::kWrite).value();
      },
      {[&](std::size_t i) { lanes[i].reading.reset(); },
       [&](std::size_t i) { lanes[i].writing.reset(); },
       [&](std::size_t i) { (void)close(lanes[i].token); }},
      [&](std::size_t i) { ASSERT_FALSE(is_open(lanes[i].number)); });
  EXPECT_EQ(poller().stats().descriptors, 0U);
}

// Race: remove() against an operation that begins. Forbidden: that the number goes back to the
// caller while somebody is inside. The guard is the look at the references in Lifetime::remove().
TEST_P(CloseRace, ANumberIsNeverGivenBackUnderAnOperation) {
  struct Lane {
    Token token;
    bool began = false;
    bool was_open = false;
    Result<int> removed{-1};
  };
  std::array<Lane, kLanes> lanes;
  HoldUp hold_up;
  const auto remove = [&](std::size_t i) {
    lanes[i].removed = poller().remove(lanes[i].token);
    if (lanes[i].removed) (void)::close(*lanes[i].removed);
  };
  race(
      rounds(25'000), [&](std::size_t i) { lanes[i].token = add(event_fd()); },
      {[&](std::size_t i) {
         Lane& lane = lanes[i];
         if (i % 2 != 0) hold_up.approach();
         const auto operation = poller().begin(lane.token, Direction::kRead);
         lane.began = operation.has_value();
         lane.was_open = lane.began;
         for (int k = 0; k < 4 && lane.was_open; ++k) lane.was_open = is_open(operation->fd());
       },
       [&](std::size_t i) {
         if (i % 2 == 0) {
           remove(i);
         } else {
           hold_up.during([&] { remove(i); });
         }
       }},
      [&](std::size_t i) {
        Lane& lane = lanes[i];
        if (lane.began) {
          ASSERT_TRUE(lane.was_open) << "removed, and closed by its owner, under an operation";
        }
        if (lane.removed) return;
        ASSERT_EQ(lane.removed.error(), Errc::kBusy);
        (void)close(lane.token);
      });
}

INSTANTIATE_TEST_SUITE_P(Backends, CloseRace, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
