// The wait word under two and three threads: whoever moves it away from a waiter owns the waiter,
// and nobody else does (G2); an event between prepare and commit is never lost (G5).
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "base/wait_word.h"
#include "support/race.h"
#include "support/scale.h"

namespace rearm::detail {
namespace {

using Prepared = WaitWord::Prepared;
using Committed = WaitWord::Committed;

struct TestWaiter final : Waiter {
  std::uint64_t payload = 0;  // Plain memory: ThreadSanitizer sees whether it is handed over.
};

// One word and those who act on it, and what they found.
struct Lane {
  WaitWord word;
  TestWaiter waiter;
  std::atomic<int> taken{0};
  std::atomic<int> prepared{0};
  std::atomic<bool> woken{false};
  Waiter* withdrawn = nullptr;
  Committed committed = Committed::kDisturbed;

  void begin() {
    word.reset();
    taken = 0;
    prepared = 0;
    woken = false;
    withdrawn = nullptr;
    committed = Committed::kDisturbed;
  }
  void begin_parking() {
    begin();
    ASSERT_EQ(word.prepare(), Prepared::kPark);
  }
  void begin_parked() {
    begin_parking();
    ++waiter.payload;
    ASSERT_EQ(word.commit(waiter), Committed::kParked);
  }
  void begin_ready() {
    begin();
    (void)word.publish();
  }

  void commit() {
    ++waiter.payload;
    committed = word.commit(waiter);
  }
  void publish() { take(word.publish().waiter); }
  void withdraw() { take(withdrawn = word.withdraw()); }
  void close() { take(word.close().waiter); }
  void prepare_if(Prepared expected) { prepared += word.prepare() == expected ? 1 : 0; }

  void take(Waiter* found) {
    if (found == nullptr) return;
    ++static_cast<TestWaiter*>(found)->payload;
    taken.fetch_add(1, std::memory_order_relaxed);
  }
  // Whoever parked was taken once, and whoever did not park was not.
  void expect_taken_if_parked() const { ASSERT_EQ(taken, committed == Committed::kParked ? 1 : 0); }
};

class WaitWordRaceTest : public ::testing::Test {
 protected:
  using Step = std::function<void(Lane&)>;

  void race(const Step& before, const std::vector<Step>& racers, const Step& after) {
    const auto on_lane = [this](const Step& step) -> test::RaceStep {
      return [this, step](std::size_t lane) { step(lanes_[lane]); };
    };
    std::vector<test::RaceStep> steps;
    for (const Step& racer : racers) steps.push_back(on_lane(racer));
    test::race(test::scaled(20'000), on_lane(before), steps, on_lane(after));
  }

  std::array<Lane, test::kLanes> lanes_;
};

// Race: an event comes while the waiter commits. Forbidden: that the waiter is parked and the event
// gone, or that both act.
TEST_F(WaitWordRaceTest, AnEventDuringTheCommitIsConsumedOrTakesTheWaiter) {
  race(&Lane::begin_parking, {&Lane::commit, &Lane::publish}, [](Lane& lane) {
    ASSERT_NE(lane.committed, Committed::kDisturbed);
    lane.expect_taken_if_parked();
    ASSERT_EQ(lane.word.prepare(), Prepared::kPark) << "the event acted twice";
  });
}

// Race: a deadline expires while the waiter commits. Forbidden: that the waiter stays parked.
TEST_F(WaitWordRaceTest, AWithdrawDuringTheCommitStopsItOrTakesTheWaiter) {
  race(&Lane::begin_parking, {&Lane::commit, &Lane::withdraw}, [](Lane& lane) {
    ASSERT_NE(lane.committed, Committed::kConsumed);
    lane.expect_taken_if_parked();
  });
}

// Race: close while the waiter commits. Forbidden: that the waiter stays parked on a closed word.
TEST_F(WaitWordRaceTest, ACloseDuringTheCommitStopsItOrTakesTheWaiter) {
  race(&Lane::begin_parking, {&Lane::commit, &Lane::close}, [](Lane& lane) {
    ASSERT_NE(lane.committed, Committed::kConsumed);
    lane.expect_taken_if_parked();
    ASSERT_TRUE(lane.word.is_closed());
  });
}

// Race: an event and a deadline for the same parked waiter. Forbidden: that both take it; that the
// event vanishes when the deadline took the waiter.
TEST_F(WaitWordRaceTest, AnEventAndAWithdrawTakeTheWaiterOnce) {
  race(&Lane::begin_parked, {&Lane::publish, &Lane::withdraw}, [](Lane& lane) {
    ASSERT_EQ(lane.taken, 1);
    const bool event_is_left = lane.withdrawn != nullptr;
    ASSERT_EQ(lane.word.prepare(), event_is_left ? Prepared::kReady : Prepared::kPark);
  });
}

// Race: an event comes to a word with nobody parked while a deadline looks at it. Forbidden: that
// the event vanishes.
TEST_F(WaitWordRaceTest, AWithdrawNeverTakesAnEventAway) {
  race(&Lane::begin_parking, {&Lane::publish, &Lane::withdraw},
       [](Lane& lane) { ASSERT_EQ(lane.word.prepare(), Prepared::kReady); });
}

// Race: two deadlines, or a deadline and a cancellation, for the same parked waiter.
TEST_F(WaitWordRaceTest, TwoWithdrawsTakeTheWaiterOnce) {
  race(&Lane::begin_parked, {&Lane::withdraw, [](Lane& lane) { lane.take(lane.word.withdraw()); }},
       [](Lane& lane) { ASSERT_EQ(lane.taken, 1); });
}

// Race: two events for the same parked waiter. Forbidden: that both take it.
TEST_F(WaitWordRaceTest, TwoEventsTakeTheWaiterOnceAndTheSecondIsKept) {
  race(&Lane::begin_parked, {&Lane::publish, &Lane::publish}, [](Lane& lane) {
    ASSERT_EQ(lane.taken, 1);
    ASSERT_EQ(lane.word.prepare(), Prepared::kReady);
  });
}

// Race: event, deadline and close at once. Forbidden: that two of them take the waiter, or none;
// that a late event or withdraw opens a closed word again.
TEST_F(WaitWordRaceTest, EventWithdrawAndCloseTakeTheWaiterOnce) {
  race(&Lane::begin_parked, {&Lane::publish, &Lane::withdraw, &Lane::close}, [](Lane& lane) {
    ASSERT_EQ(lane.taken, 1);
    ASSERT_TRUE(lane.word.is_closed());
  });
}

// Race: commit, event and close at once. Forbidden: that the waiter stays parked.
TEST_F(WaitWordRaceTest, EventAndCloseDuringTheCommitLeaveNobodyParked) {
  race(&Lane::begin_parking, {&Lane::commit, &Lane::publish, &Lane::close}, [](Lane& lane) {
    lane.expect_taken_if_parked();
    ASSERT_TRUE(lane.word.is_closed());
  });
}

// Race: two threads want to wait at once. Forbidden: that both may park.
TEST_F(WaitWordRaceTest, OfTwoPreparesOneIsBusy) {
  const Step prepare = [](Lane& lane) { lane.prepare_if(Prepared::kPark); };
  race(&Lane::begin, {prepare, prepare}, [](Lane& lane) { ASSERT_EQ(lane.prepared, 1); });
}

// Race: two threads find the same event. Forbidden: that one event sets both going.
TEST_F(WaitWordRaceTest, OneEventIsConsumedByOnePrepare) {
  const Step prepare = [](Lane& lane) { lane.prepare_if(Prepared::kReady); };
  race(&Lane::begin_ready, {prepare, prepare}, [](Lane& lane) { ASSERT_EQ(lane.prepared, 1); });
}

// Race: the producer writes and publishes while the consumer looks, finds nothing and parks (G5;
// R54: golang/go#45211, where a plain field and the word could pass each other). Forbidden: that
// the consumer sleeps although something was written; that it sees the event and not what was
// written before.
TEST_F(WaitWordRaceTest, WhatWasWrittenBeforeTheEventIsSeenAfterIt) {
  struct Message {
    std::uint64_t text = 0;  // Plain memory, handed over by the word alone.
    std::uint64_t expected = 0;
  };
  std::array<Message, test::kLanes> messages;
  test::race(
      test::scaled(20'000),
      [&](std::size_t i) {
        lanes_[i].begin();
        ++messages[i].expected;
      },
      {[&](std::size_t i) {
         Lane& lane = lanes_[i];
         if (lane.word.prepare() == Prepared::kPark &&
             lane.word.commit(lane.waiter) == Committed::kParked) {
           while (!lane.woken.load(std::memory_order_acquire)) ::sched_yield();
         }
         ASSERT_EQ(messages[i].text, messages[i].expected);
       },
       [&](std::size_t i) {
         messages[i].text = messages[i].expected;
         if (lanes_[i].word.publish().waiter != nullptr) {
           lanes_[i].woken.store(true, std::memory_order_release);
         }
       }},
      [](std::size_t) {});
}

}  // namespace
}  // namespace rearm::detail
