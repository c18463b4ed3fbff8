// Queues of waiters, and claims of one that stands in several of them.
#include "base/wait_queue.h"

#include <gtest/gtest.h>

#include "base/claim.h"
#include "base/wait_word.h"

namespace rearm::detail {
namespace {

struct QueuedWaiter final : Waiter {};

// Somebody who has parked in a queue.
struct Sleeper {
  explicit Sleeper(WaitQueue& queue) : node(word) {
    EXPECT_EQ(word.prepare(), WaitWord::Prepared::kPark);
    queue.push_back(node);
    EXPECT_EQ(word.commit(waiter), WaitWord::Committed::kParked);
  }
  WaitWord word;
  WaitQueue::Node node;
  QueuedWaiter waiter;
};

TEST(WaitQueue, NobodyIsThereToBeGivenAnything) {
  WaitQueue queue;
  WaiterList woken;
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.give(woken));
}

TEST(WaitQueue, WhoCameFirstIsGivenFirst) {
  WaitQueue queue;
  Sleeper first(queue);
  Sleeper second(queue);
  Sleeper third(queue);
  for (Sleeper* const sleeper : {&first, &second, &third}) {
    WaiterList woken;
    EXPECT_TRUE(queue.give(woken));
    EXPECT_EQ(woken.pop_front(), &sleeper->waiter);
    EXPECT_EQ(woken.pop_front(), nullptr);
    EXPECT_EQ(sleeper->waiter.reason(), WakeReason::kReady);
    EXPECT_FALSE(queue.remove(sleeper->node));  // It was given.
  }
  EXPECT_TRUE(queue.empty());
}

TEST(WaitQueue, WhoLeavesFromTheMiddleIsPassedOver) {
  WaitQueue queue;
  Sleeper first(queue);
  Sleeper second(queue);
  Sleeper third(queue);
  EXPECT_EQ(second.word.withdraw(), &second.waiter);
  EXPECT_TRUE(queue.remove(second.node));
  WaiterList woken;
  EXPECT_TRUE(queue.give(woken));
  EXPECT_TRUE(queue.give(woken));
  EXPECT_FALSE(queue.give(woken));
  EXPECT_EQ(woken.pop_front(), &first.waiter);
  EXPECT_EQ(woken.pop_front(), &third.waiter);
}

TEST(WaitQueue, OneThatHasNotParkedYetIsGivenAndNotReturned) {
  WaitQueue queue;
  WaitWord word;
  WaitQueue::Node node(word);
  QueuedWaiter waiter;
  EXPECT_EQ(word.prepare(), WaitWord::Prepared::kPark);
  queue.push_back(node);
  WaiterList woken;
  EXPECT_TRUE(queue.give(woken));
  EXPECT_TRUE(woken.empty());
  EXPECT_EQ(word.commit(waiter), WaitWord::Committed::kConsumed);
  EXPECT_FALSE(queue.remove(node));
}

// A deadline and a gift at once: the gift is not lost.
TEST(WaitQueue, OneWhoseWaitWasEndedOtherwiseMayStillHaveBeenGiven) {
  WaitQueue queue;
  Sleeper sleeper(queue);
  EXPECT_EQ(sleeper.word.withdraw(), &sleeper.waiter);
  WaiterList woken;
  EXPECT_TRUE(queue.give(woken));
  EXPECT_TRUE(woken.empty());
  EXPECT_FALSE(queue.remove(sleeper.node));
}

// --- Claims. ---

TEST(Claim, OneWinsAndTheOthersEventsStayWhereTheyAre) {
  WaitQueue here;
  WaitQueue there;
  Claim claim;
  WaitQueue::Node first(claim, 0);
  WaitQueue::Node second(claim, 1);
  QueuedWaiter waiter;
  EXPECT_EQ(claim.word().prepare(), WaitWord::Prepared::kPark);
  here.push_back(first);
  there.push_back(second);
  EXPECT_EQ(claim.word().commit(waiter), WaitWord::Committed::kParked);

  WaiterList woken;
  EXPECT_TRUE(there.give(woken));
  EXPECT_EQ(woken.pop_front(), &waiter);
  EXPECT_FALSE(here.give(woken));  // Nobody can take it.
  EXPECT_EQ(claim.close(), 1);
  EXPECT_TRUE(here.remove(first));
  EXPECT_FALSE(there.remove(second));
}

TEST(Claim, OneThatHasLostIsPassedOverForTheNext) {
  WaitQueue queue;
  Claim claim;
  WaitQueue::Node chooser(claim, 0);
  queue.push_back(chooser);
  Sleeper next(queue);
  EXPECT_EQ(claim.close(), Claim::kNobody);
  WaiterList woken;
  EXPECT_TRUE(queue.give(woken));
  EXPECT_EQ(woken.pop_front(), &next.waiter);
  EXPECT_TRUE(queue.remove(chooser));
}

TEST(Claim, AfterItIsClosedNobodyWins) {
  Claim claim;
  EXPECT_EQ(claim.close(), Claim::kNobody);
  EXPECT_FALSE(claim.win(0));
}

TEST(Claim, OfWordsTheLoserPutsItsEventBack) {
  Claim claim;
  WaitWord words[2];
  const Place places[2] = {{claim, 0, words[0]}, {claim, 1, words[1]}};
  QueuedWaiter stand_ins[2];
  QueuedWaiter waiter;
  EXPECT_EQ(claim.word().prepare(), WaitWord::Prepared::kPark);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(words[i].prepare(), WaitWord::Prepared::kPark);
    EXPECT_EQ(words[i].commit(stand_ins[i]), WaitWord::Committed::kParked);
  }
  EXPECT_EQ(claim.word().commit(waiter), WaitWord::Committed::kParked);

  EXPECT_EQ(words[1].publish().waiter, &stand_ins[1]);
  EXPECT_EQ(words[0].publish().waiter, &stand_ins[0]);
  EXPECT_EQ(places[1].arrive(WakeReason::kReady), &waiter);
  EXPECT_EQ(claim.close(), 1);
  EXPECT_EQ(words[0].withdraw(), nullptr);
  EXPECT_EQ(words[1].withdraw(), nullptr);

  // The second one has been taken out, and has not come yet: it is waited for.
  EXPECT_TRUE(claim.must_settle(2));
  EXPECT_EQ(claim.settled().commit(waiter), WaitWord::Committed::kParked);
  EXPECT_EQ(places[0].arrive(WakeReason::kReady), &waiter);
  EXPECT_TRUE(words[0].is_ready());
  EXPECT_FALSE(words[1].is_ready());
  EXPECT_EQ(claim.reason(), WakeReason::kReady);
}

TEST(Claim, WhereEveryoneHasReportedNobodyIsWaitedFor) {
  Claim claim;
  WaitWord word;
  const Place place{claim, 0, word};
  QueuedWaiter stand_in;
  EXPECT_EQ(claim.word().prepare(), WaitWord::Prepared::kPark);
  EXPECT_EQ(word.prepare(), WaitWord::Prepared::kPark);
  EXPECT_EQ(word.commit(stand_in), WaitWord::Committed::kParked);
  EXPECT_EQ(word.close().waiter, &stand_in);
  EXPECT_EQ(place.arrive(WakeReason::kClosed), nullptr);  // The waiter has not parked yet.
  EXPECT_EQ(claim.close(), 0);
  EXPECT_EQ(claim.reason(), WakeReason::kClosed);
  EXPECT_FALSE(claim.must_settle(1));
  EXPECT_FALSE(claim.must_settle(0));
}

}  // namespace
}  // namespace rearm::detail
