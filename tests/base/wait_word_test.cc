// Every transition in the table at the head of base/wait_word.h, one after another.
#include "base/wait_word.h"

#include <gtest/gtest.h>

namespace rearm::detail {
namespace {

struct PlainWaiter final : Waiter {};

using Prepared = WaitWord::Prepared;
using Committed = WaitWord::Committed;

class WaitWordTest : public ::testing::Test {
 protected:
  void park() {
    ASSERT_EQ(word_.prepare(), Prepared::kPark);
    ASSERT_EQ(word_.commit(waiter_), Committed::kParked);
  }

  // The word is idle: nothing known, nobody waiting.
  void expect_idle() {
    EXPECT_FALSE(word_.is_closed());
    ASSERT_EQ(word_.prepare(), Prepared::kPark);
    EXPECT_EQ(word_.withdraw(), nullptr);
  }

  WaitWord word_;
  PlainWaiter waiter_;
  PlainWaiter other_;
};

TEST_F(WaitWordTest, IdleBecomesParkingByPrepare) { EXPECT_EQ(word_.prepare(), Prepared::kPark); }

TEST_F(WaitWordTest, IdleBecomesReadyByPublish) {
  const auto found = word_.publish();
  EXPECT_EQ(found.waiter, nullptr);
  EXPECT_FALSE(found.ready);
  EXPECT_FALSE(found.closed);
  EXPECT_EQ(word_.prepare(), Prepared::kReady);
}

TEST_F(WaitWordTest, TakeTakesAParkedWaiterAndLeavesNoTrace) {
  park();
  EXPECT_EQ(word_.take(), &waiter_);
  expect_idle();
}

TEST_F(WaitWordTest, TakeChangesNothingWhereNobodyIsParked) {
  EXPECT_EQ(word_.take(), nullptr);
  expect_idle();
  EXPECT_EQ(word_.prepare(), Prepared::kPark);
  EXPECT_EQ(word_.take(), nullptr);
  EXPECT_EQ(word_.commit(waiter_), Committed::kParked);
  EXPECT_EQ(word_.publish().waiter, &waiter_);
  EXPECT_EQ(word_.take(), nullptr);
  (void)word_.publish();
  EXPECT_EQ(word_.take(), nullptr);
  EXPECT_EQ(word_.prepare(), Prepared::kReady);
  (void)word_.close();
  EXPECT_EQ(word_.take(), nullptr);
  EXPECT_TRUE(word_.is_closed());
}

TEST_F(WaitWordTest, WhatIsPutBackIsFoundAgain) {
  (void)word_.publish();
  ASSERT_EQ(word_.prepare(), Prepared::kReady);
  word_.put_back();
  EXPECT_TRUE(word_.is_ready());
  EXPECT_TRUE(word_.close().ready);
}

TEST_F(WaitWordTest, IdleStaysIdleByWithdraw) {
  EXPECT_EQ(word_.withdraw(), nullptr);
  expect_idle();
}

TEST_F(WaitWordTest, ReadyIsConsumedByOnePrepare) {
  (void)word_.publish();
  EXPECT_EQ(word_.prepare(), Prepared::kReady);
  expect_idle();
}

TEST_F(WaitWordTest, ReadyStaysReadyByPublishWhichSaysSo) {
  (void)word_.publish();
  EXPECT_TRUE(word_.publish().ready);
  EXPECT_EQ(word_.prepare(), Prepared::kReady);
  expect_idle();
}

// A deadline that expires must not take away readiness that nobody has seen.
TEST_F(WaitWordTest, ReadySurvivesAWithdraw) {
  (void)word_.publish();
  EXPECT_EQ(word_.withdraw(), nullptr);
  EXPECT_EQ(word_.prepare(), Prepared::kReady);
}

TEST_F(WaitWordTest, ParkingBecomesParkedByCommit) {
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  EXPECT_EQ(word_.commit(waiter_), Committed::kParked);
  EXPECT_EQ(word_.publish().waiter, &waiter_);
}

TEST_F(WaitWordTest, ParkingRefusesASecondPrepare) {
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  EXPECT_EQ(word_.prepare(), Prepared::kBusy);
  EXPECT_EQ(word_.commit(waiter_), Committed::kParked);
  EXPECT_EQ(word_.publish().waiter, &waiter_);
}

// G5: an event between prepare and commit makes the commit fail, and is consumed by it.
TEST_F(WaitWordTest, AnEventBetweenPrepareAndCommitIsConsumedByTheCommit) {
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  EXPECT_EQ(word_.publish().waiter, nullptr);
  EXPECT_EQ(word_.commit(waiter_), Committed::kConsumed);
  expect_idle();
}

TEST_F(WaitWordTest, TwoEventsBetweenPrepareAndCommitAreOne) {
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  (void)word_.publish();
  EXPECT_TRUE(word_.publish().ready);
  EXPECT_EQ(word_.commit(waiter_), Committed::kConsumed);
  expect_idle();
}

TEST_F(WaitWordTest, AWithdrawBetweenPrepareAndCommitDisturbsTheCommit) {
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  EXPECT_EQ(word_.withdraw(), nullptr);
  EXPECT_EQ(word_.commit(waiter_), Committed::kDisturbed);
  expect_idle();
}

TEST_F(WaitWordTest, ACloseBetweenPrepareAndCommitDisturbsTheCommit) {
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  const auto found = word_.close();
  EXPECT_EQ(found.waiter, nullptr);
  EXPECT_FALSE(found.closed);
  EXPECT_EQ(word_.commit(waiter_), Committed::kDisturbed);
  EXPECT_TRUE(word_.is_closed());
}

TEST_F(WaitWordTest, ParkedIsTakenByPublishAndLeavesNoTrace) {
  park();
  const auto found = word_.publish();
  EXPECT_EQ(found.waiter, &waiter_);
  EXPECT_FALSE(found.ready);
  expect_idle();
}

TEST_F(WaitWordTest, ParkedIsTakenByWithdrawAndLeavesNoTrace) {
  park();
  EXPECT_EQ(word_.withdraw(), &waiter_);
  expect_idle();
}

TEST_F(WaitWordTest, ParkedIsTakenByClose) {
  park();
  EXPECT_EQ(word_.close().waiter, &waiter_);
  EXPECT_TRUE(word_.is_closed());
}

TEST_F(WaitWordTest, ParkedIsTakenOnceWhoeverComesSecond) {
  park();
  EXPECT_EQ(word_.publish().waiter, &waiter_);
  EXPECT_EQ(word_.withdraw(), nullptr);
  EXPECT_EQ(word_.publish().waiter, nullptr);
  EXPECT_EQ(word_.close().waiter, nullptr);
}

TEST_F(WaitWordTest, ParkedRefusesASecondPrepare) {
  park();
  EXPECT_EQ(word_.prepare(), Prepared::kBusy);
  EXPECT_EQ(word_.publish().waiter, &waiter_);
}

TEST_F(WaitWordTest, ClosedStaysClosedWhateverComes) {
  EXPECT_FALSE(word_.close().closed);
  EXPECT_TRUE(word_.is_closed());
  EXPECT_EQ(word_.prepare(), Prepared::kClosed);
  EXPECT_TRUE(word_.publish().closed);
  EXPECT_EQ(word_.withdraw(), nullptr);
  EXPECT_TRUE(word_.close().closed);
  EXPECT_TRUE(word_.is_closed());
}

TEST_F(WaitWordTest, CloseSaysThatReadinessWasThere) {
  (void)word_.publish();
  const auto found = word_.close();
  EXPECT_TRUE(found.ready);
  EXPECT_EQ(found.waiter, nullptr);
}

TEST_F(WaitWordTest, ResetBeginsANewLife) {
  park();
  (void)word_.close();
  word_.reset();
  expect_idle();
  park();
  EXPECT_EQ(word_.publish().waiter, &waiter_);
}

TEST_F(WaitWordTest, OneWaiterAfterAnotherMayPark) {
  park();
  EXPECT_EQ(word_.publish().waiter, &waiter_);
  ASSERT_EQ(word_.prepare(), Prepared::kPark);
  ASSERT_EQ(word_.commit(other_), Committed::kParked);
  EXPECT_EQ(word_.publish().waiter, &other_);
}

}  // namespace
}  // namespace rearm::detail
