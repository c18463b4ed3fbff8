// The portable poller over a scripted kernel: what it makes of reports that no real kernel can be
// made to give on demand.
#include "poller/poller_core.h"

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "support/scripted_poller_test.h"

namespace rearm::detail {
namespace {

using namespace std::chrono_literals;
using test::CountingWaiter;

class PollerCoreTest : public test::ScriptedPollerTest {
 protected:
  PollerCoreTest() : ScriptedPollerTest(test::ScriptedBackend::Kind::kRemembers) {}
};

TEST_F(PollerCoreTest, AReportWakesTheWaiterOfItsDirectionOnly) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(reader.reason(), WakeReason::kReady);
  EXPECT_EQ(writer.returns, 0);
  EXPECT_EQ(close(token), 1U);
  EXPECT_EQ(writer.reason(), WakeReason::kClosed);
}

TEST_F(PollerCoreTest, AHangUpWakesBothDirections) {
  const Token token = add();
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  backend_->push({{token, Ready::hang_up()}});
  EXPECT_EQ(collect(Deadline::never()), 2U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(writer.returns, 1);
  EXPECT_EQ(close(token), 0U);
}

// R07 (wasmer#6608), R53 (dotnet/runtime#45673): a kernel may split one report into two.
TEST_F(PollerCoreTest, ASplitOrRepeatedReportWakesAWaiterOnce) {
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  backend_->push({{token, kRead}, {token, kRead}, {token, kWrite}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(poller_->stats().events, 3U);
  EXPECT_EQ(close(token), 0U);
}

TEST_F(PollerCoreTest, AReportWithoutAWaiterIsKeptForTheNextOne) {
  const Token token = add();
  CountingWaiter reader;
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect_now(), 0U);
  const auto first = poller_->wait(token, Direction::kRead, reader);
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, Poller::Prepared::kTryAgain);
  park(token, Direction::kRead, reader);
  EXPECT_EQ(close(token), 1U);
}

// R50 (PhotonLibOS#502): a report that says nothing, before one that does.
TEST_F(PollerCoreTest, AnEmptyReportWakesNobodyAndStopsNothing) {
  const Token token = add();
  const Token other = add();
  CountingWaiter reader;
  CountingWaiter other_reader;
  park(token, Direction::kRead, reader);
  park(other, Direction::kRead, other_reader);
  backend_->push({{token, Ready::none()}, {other, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(reader.returns, 0);
  EXPECT_EQ(other_reader.returns, 1);
  EXPECT_EQ(close(token), 1U);
  EXPECT_EQ(close(other), 0U);
}

// R50: a wait that was cancelled, followed by a live one in the same batch.
TEST_F(PollerCoreTest, ACancelledEntryDoesNotHideTheLiveOneBehindIt) {
  const Token token = add();
  const Token other = add();
  CountingWaiter cancelled;
  CountingWaiter live;
  park(token, Direction::kRead, cancelled);
  park(other, Direction::kRead, live);
  EXPECT_EQ(poller_->cancel(token, Direction::kRead, WakeReason::kTimedOut), &cancelled);
  EXPECT_EQ(cancelled.reason(), WakeReason::kTimedOut);
  backend_->push({{token, kRead}, {other, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(cancelled.returns, 0);
  EXPECT_EQ(live.returns, 1);
  EXPECT_EQ(close(token), 0U);
  EXPECT_EQ(close(other), 0U);
}

// R02 (golang/go#59545), R05 (rust-vmm/event-manager#41), R12 (boringtun#144): the slot and the
// number are reused before a late report of the earlier life is taken. G3: it must not act.
TEST_F(PollerCoreTest, ALateReportOfAnEarlierLifeIsDroppedAndCounted) {
  const Token old_token = add();
  const int old_fd = last_fd_;
  EXPECT_EQ(close(old_token), 0U);
  const Token token = add();
  ASSERT_EQ(token.slot, old_token.slot) << "the slot is reused";
  ASSERT_EQ(last_fd_, old_fd) << "the number is reused";
  ASSERT_NE(token.generation, old_token.generation);
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  backend_->push({{old_token, Ready::hang_up()}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(reader.returns, 0) << "a stale event woke the slot's next user";
  EXPECT_EQ(poller_->stats().stale_events, 1U);
  EXPECT_EQ(close(token), 1U);
}

TEST_F(PollerCoreTest, OnlyATokenOfThisLifeAndThisPollerIsFound) {
  const PollerCore& core = *test::core_of(*poller_);
  const Token old_token = add();
  EXPECT_NE(core.find(old_token), nullptr);
  EXPECT_EQ(close(old_token), 0U);
  EXPECT_EQ(core.find(old_token), nullptr) << "closed";
  const Token token = add();
  ASSERT_EQ(token.slot, old_token.slot);
  EXPECT_EQ(core.find(old_token), nullptr) << "of an earlier life";
  EXPECT_NE(core.find(token), nullptr);
  auto other = Poller::open();
  ASSERT_TRUE(other);
  EXPECT_EQ(test::core_of(*other)->find(token), nullptr) << "of another poller";
  EXPECT_EQ(close(token), 0U);
}

// R44 (mio#267): added and closed at once; R14 (HPCC-Platform#7859): events for removed tags.
TEST_F(PollerCoreTest, AReportForAClosedOrUnknownTokenIsCountedNotFatal) {
  const Token token = add();
  EXPECT_EQ(close(token), 0U);
  constexpr Token kNeverGivenOut{.slot = 4'000'000'000, .generation = 7};
  constexpr Token kNobody{};
  backend_->push({{token, kRead}, {kNeverGivenOut, Ready::both()}, {kNobody, kRead}});
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(poller_->stats().stale_events, 3U);
}

// R15 (netdata#23023): a batch of nothing but stale reports is no reason to return, and none to
// forget the deadline.
TEST_F(PollerCoreTest, StaleBatchesDoNotEndTheWait) {
  const Token gone = add();
  EXPECT_EQ(close(gone), 0U);
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  for (int i = 0; i < 5; ++i) backend_->push({{gone, kRead}, {gone, kWrite}});
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(poller_->stats().stale_events, 10U);
  EXPECT_EQ(close(token), 0U);
}

TEST_F(PollerCoreTest, StaleBatchesKeepTheDeadline) {
  const Token gone = add();
  EXPECT_EQ(close(gone), 0U);
  for (int i = 0; i < 5; ++i) backend_->push({{gone, kRead}});
  const std::int64_t start_ns = now_ns();
  EXPECT_EQ(collect(Deadline::after(10ms)), 0U);
  EXPECT_GE(now_ns() - start_ns, 10'000'000);
}

TEST_F(PollerCoreTest, EarlyReturnsOfTheKernelDoNotEndTheWait) {
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  for (int i = 0; i < 5; ++i) backend_->push({});  // As after a signal.
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(backend_->waits, 6);
  EXPECT_EQ(close(token), 0U);
}

TEST_F(PollerCoreTest, APassedDeadlineAsksTheKernelOnce) {
  EXPECT_EQ(collect_now(), 0U);
  EXPECT_EQ(collect(Deadline::at_ns(0)), 0U);
  EXPECT_EQ(backend_->waits, 2);
}

TEST_F(PollerCoreTest, AWakeEndsTheWaitEvenWithAStaleBatch) {
  const Token gone = add();
  EXPECT_EQ(close(gone), 0U);
  backend_->push({{gone, kRead}}, true);
  EXPECT_EQ(collect(Deadline::never()), 0U);
  EXPECT_EQ(backend_->waits, 1);
}

// R27, R75: wakes are merged until the one that reached the kernel has ended a wait.
TEST_F(PollerCoreTest, WakesAreMergedUntilOneHasEndedAWait) {
  for (int i = 0; i < 1'000; ++i) poller_->wake();
  EXPECT_EQ(backend_->wakes, 1);
  backend_->push({}, true);
  EXPECT_EQ(collect(Deadline::never()), 0U);
  poller_->wake();
  EXPECT_EQ(backend_->wakes, 2) << "the next wake must reach the kernel again";
}

// The order of the flag and the wait: a wake that comes when the kernel's report has been taken,
// but before collect() has returned, belongs to this collect(); one that comes later does not.
TEST_F(PollerCoreTest, AWakeAfterCollectReturnedReachesTheKernel) {
  poller_->wake();
  backend_->push({}, true);
  backend_->on_wait = [this] { poller_->wake(); };
  EXPECT_EQ(collect(Deadline::never()), 0U);
  backend_->on_wait = nullptr;
  EXPECT_EQ(backend_->wakes, 1) << "merged with the one that ended the wait";
  poller_->wake();
  EXPECT_EQ(backend_->wakes, 2);
}

TEST_F(PollerCoreTest, ACollectInsideACollectReturnsNothingAtOnce) {
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  std::size_t inner = 99;
  backend_->on_wait = [&] {
    if (backend_->waits == 1) inner = collect(Deadline::never());
  };
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_EQ(inner, 0U);
  EXPECT_EQ(backend_->waits, 1) << "the inner call did not reach the kernel";
  EXPECT_EQ(close(token), 0U);
}

TEST_F(PollerCoreTest, WhatTheKernelRefusesStaysTheCallers) {
  const test::FdPair pipe = test::pipe_pair();
  backend_->add_error = std::error_code(ENOSPC, std::system_category());
  const auto refused = poller_->add(pipe.a.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), std::errc::no_space_on_device);
  EXPECT_TRUE(test::is_open(pipe.a.get()));
  EXPECT_EQ(poller_->stats().descriptors, 0U);
  backend_->add_error = {};
  const Token token = add();
  EXPECT_EQ(close(token), 0U) << "the slot of the refused one is in order";
}

TEST_F(PollerCoreTest, TheKernelForgetsBeforeTheNumberIsClosed) {
  const Token token = add();
  const int fd = last_fd_;
  bool was_open = false;
  EXPECT_EQ(backend_->removed.size(), 0U);
  const auto operation = poller_->begin(token, Direction::kRead);
  ASSERT_TRUE(operation);
  EXPECT_EQ(close(token), 0U);
  was_open = test::is_open(fd);
  EXPECT_EQ(backend_->removed, std::vector<int>{fd});
  EXPECT_TRUE(was_open);
}

TEST_F(PollerCoreTest, AKernelThatRemembersIsNeverArmed) {
  const Token token = add();
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_FALSE(poller_->arm(token, Direction::kWrite));
  backend_->push({{token, kRead}});
  EXPECT_EQ(collect(Deadline::never()), 1U);
  EXPECT_TRUE(backend_->arms.empty());
  EXPECT_EQ(poller_->stats().arms, 0U);
  EXPECT_EQ(poller_->stats().rearms, 0U);
  EXPECT_EQ(close(token), 0U);
}

// R20 (tokio#2924): when the owner of the poller stops, every waiter comes back, with the reason.
TEST_F(PollerCoreTest, WithdrawAllEndsEveryWaitOfThisPoller) {
  constexpr int kDescriptors = 300;
  std::vector<Token> tokens;
  std::vector<CountingWaiter> readers(kDescriptors);
  std::vector<CountingWaiter> writers(kDescriptors);
  for (std::size_t i = 0; i < kDescriptors; ++i) {
    tokens.push_back(add());
    park(tokens[i], Direction::kRead, readers[i]);
    park(tokens[i], Direction::kWrite, writers[i]);
  }
  auto waiters = test::core_of(*poller_)->withdraw_all(WakeReason::kCancelled);
  EXPECT_EQ(test::count_returns(std::move(waiters)), 2U * kDescriptors);
  for (std::size_t i = 0; i < kDescriptors; ++i) {
    EXPECT_EQ(readers[i].returns, 1);
    EXPECT_EQ(writers[i].reason(), WakeReason::kCancelled);
    EXPECT_EQ(close(tokens[i]), 0U);
  }
}

TEST_F(PollerCoreTest, WithdrawAllLeavesOtherPollersAlone) {
  auto other = Poller::open();
  ASSERT_TRUE(other);
  test::FdPair pipe = test::pipe_pair();
  const auto token = other->add(pipe.a.get());
  ASSERT_TRUE(token);
  (void)pipe.a.release();
  CountingWaiter reader;
  ASSERT_TRUE(other->wait(*token, Direction::kRead, reader));
  EXPECT_TRUE(test::core_of(*poller_)->withdraw_all(WakeReason::kCancelled).empty());
  auto waiters = other->close(*token);
  ASSERT_TRUE(waiters);
  EXPECT_EQ(test::count_returns(std::move(*waiters)), 1U);
}

}  // namespace
}  // namespace rearm::detail
