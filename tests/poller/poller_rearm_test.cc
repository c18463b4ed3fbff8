// The discipline for kernels that forget (event ports: golang/go#7410), step by step: when
// poller_core.cc arms, with what, and when it must not. The races are in tests/kit/race.
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "poller/poller_core.h"
#include "support/scripted_poller_test.h"

namespace rearm::detail {
namespace {

using test::CountingWaiter;

class PollerRearmTest : public test::ScriptedPollerTest {
 protected:
  PollerRearmTest() : ScriptedPollerTest(test::ScriptedBackend::Kind::kForgets) {}

  // What the kernel was told since the last look.
  std::vector<Ready> armed() {
    std::vector<Ready> interests;
    for (const auto& arm : backend_->arms) interests.push_back(arm.interest);
    backend_->arms.clear();
    return interests;
  }

  static std::error_code out_of_memory() { return {ENOMEM, std::system_category()}; }
};

using Interests = std::vector<Ready>;

TEST_F(PollerRearmTest, NothingIsArmedBeforeSomebodyWaits) {
  const Token token = add();
  EXPECT_EQ(armed(), Interests{});
  EXPECT_EQ(close(token), 0U);
}

TEST_F(PollerRearmTest, EachWishIsToldToTheKernelOnce) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(armed(), Interests{kRead});
  park(token, Direction::kWrite, writer);
  EXPECT_EQ(armed(), Interests{Ready::both()}) << "arm sets the whole interest";
  EXPECT_FALSE(poller_->arm(token, Direction::kRead));
  EXPECT_EQ(armed(), Interests{}) << "the kernel knows that already";
  EXPECT_EQ(poller_->stats().arms, 2U);
  EXPECT_EQ(close(token), 2U);
}

// R32 (kaappi#1481), R39 (redis#13382), G6: a report for one direction leaves the other armed.
TEST_F(PollerRearmTest, WhatDidNotFireIsArmedAgain) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  (void)armed();
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(armed(), Interests{kWrite});
  EXPECT_EQ(poller_->stats().rearms, 1U);
  EXPECT_EQ(close(token), 1U);
}

// R32: even a report that wakes nobody, because its waiter was cancelled, costs the other nothing.
TEST_F(PollerRearmTest, WhatDidNotFireIsArmedAgainEvenIfNobodyIsWoken) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  EXPECT_EQ(poller_->cancel(token, Direction::kRead, WakeReason::kCancelled), &reader);
  (void)armed();
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(armed(), Interests{kWrite});
  backend_->push({{token, kWrite}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(writer.returns, 1);
  EXPECT_EQ(close(token), 0U);
}

TEST_F(PollerRearmTest, NothingIsArmedAgainWhenEverythingFired) {
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  (void)armed();
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(armed(), Interests{});
  EXPECT_EQ(poller_->stats().rearms, 0U);
  EXPECT_EQ(close(token), 0U);
}

// R38 (php-src#9960): only the first event came, because nobody associated again. R66 (libmtev#81).
TEST_F(PollerRearmTest, EachNewWaitIsArmedAnew) {
  const Token token = add();
  CountingWaiter reader;
  for (int i = 1; i <= 3; ++i) {
    park(token, Direction::kRead, reader);
    EXPECT_EQ(armed(), Interests{kRead}) << "wait " << i;
    backend_->push({{token, kRead}});
    EXPECT_EQ(collect(Deadline::never()), 1U);
    EXPECT_EQ(reader.returns, i);
  }
  EXPECT_EQ(close(token), 0U);
}

// A report of a direction that was never armed (an error, a hang-up) forgets the rest all the same.
TEST_F(PollerRearmTest, AnEmptyReportArmsEverythingAgain) {
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  (void)armed();
  backend_->push({{token, Ready::none()}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(armed(), Interests{kRead});
  EXPECT_EQ(close(token), 1U);
}

TEST_F(PollerRearmTest, AHangUpFiresBothDirections) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  (void)armed();
  backend_->push({{token, Ready::hang_up()}});
  EXPECT_EQ(collect(Deadline::never()), 2U);
  EXPECT_EQ(armed(), Interests{});
  EXPECT_EQ(close(token), 0U);
}

// R01 (golang/go#7410) without threads: the report arrives after the close, and after the slot and
// the number have a new owner. Forbidden: any association on behalf of the report.
TEST_F(PollerRearmTest, AReportOfAnEarlierLifeArmsNothing) {
  const Token old_token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(old_token, Direction::kRead, reader);
  park(old_token, Direction::kWrite, writer);
  EXPECT_EQ(close(old_token), 2U);
  (void)armed();
  backend_->push({{old_token, kRead}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(armed(), Interests{}) << "armed on behalf of a closed descriptor";

  const Token token = add();
  ASSERT_EQ(token.slot, old_token.slot);
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  (void)armed();
  backend_->push({{old_token, kRead}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(armed(), Interests{}) << "armed a stranger's descriptor";
  EXPECT_EQ(close(token), 2U);
}

TEST_F(PollerRearmTest, ArmingAfterCloseOrForAnEarlierLifeIsRefused) {
  const Token token = add();
  PollerCore& core = *test::core_of(*poller_);
  Descriptor* const descriptor = core.find(token);
  ASSERT_NE(descriptor, nullptr);
  EXPECT_EQ(core.arm(*descriptor, token.generation - 1, Direction::kRead), Errc::kClosed);
  // Held by an operation, so that the slot stays where it is.
  auto operation = poller_->begin(token, Direction::kRead);
  ASSERT_TRUE(operation);
  EXPECT_EQ(close(token), 0U);
  EXPECT_EQ(core.arm(*descriptor, token.generation, Direction::kRead), Errc::kClosed);
  EXPECT_EQ(poller_->arm(token, Direction::kRead), Errc::kClosed);
  EXPECT_EQ(armed(), Interests{});
}

TEST_F(PollerRearmTest, ARefusalToArmIsTheWaitersErrorAndLeavesNoTrace) {
  const Token token = add();
  CountingWaiter reader;
  backend_->arm_error = out_of_memory();
  const auto refused = poller_->wait(token, Direction::kRead, reader);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), std::errc::not_enough_memory);
  backend_->arm_error = {};
  (void)armed();
  park(token, Direction::kRead, reader);
  EXPECT_EQ(armed(), Interests{kRead}) << "the refused wish is told again";
  EXPECT_EQ(close(token), 1U);
  EXPECT_EQ(reader.returns, 1);
}

// G6, R32: the kernel forgot both directions and refuses one back. Forbidden: that its waiter is
// left parked on a descriptor that the kernel does not watch; it must come back and try again.
TEST_F(PollerRearmTest, ARefusalToArmAgainWakesBothDirections) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  backend_->arm_error = out_of_memory();
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 2U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(writer.returns, 1) << "parked, and the kernel will never report it";
  backend_->arm_error = {};
  (void)close(token);
}

// G5: the wish is told between prepare and commit, so a report of that very moment must be seen.
TEST_F(PollerRearmTest, AReportBetweenArmAndCommitMakesTheCommitFail) {
  const Token token = add();
  CountingWaiter reader;
  const auto prepared = poller_->prepare(token, Direction::kRead);
  ASSERT_TRUE(prepared);
  ASSERT_FALSE(poller_->arm(token, Direction::kRead));
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_FALSE(poller_->commit(token, Direction::kRead, reader));
  (void)armed();
  park(token, Direction::kRead, reader);
  EXPECT_EQ(armed(), Interests{kRead});
  EXPECT_EQ(close(token), 1U);
}

// The report was taken from the kernel, which has forgotten; but the poller has not looked at it
// yet, and believes the direction armed. Forbidden: that a wait that comes in between is lost.
TEST_F(PollerRearmTest, AWaitBetweenTheReportAndItsDeliveryComesBack) {
  const Token token = add();
  CountingWaiter first;
  CountingWaiter second;
  park(token, Direction::kRead, first);
  backend_->push({{token, kRead}});
  backend_->on_wait = [&] {  // The kernel has fired; the report is on its way.
    ASSERT_EQ(poller_->cancel(token, Direction::kRead, WakeReason::kCancelled), &first);
    park(token, Direction::kRead, second);
  };
  EXPECT_EQ(collect(Deadline::never()), 1U);
  backend_->on_wait = nullptr;
  EXPECT_EQ(second.returns, 1) << "believed armed, and never reported";
  EXPECT_EQ(close(token), 0U);
}

}  // namespace
}  // namespace rearm::detail
