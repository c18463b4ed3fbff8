// Conformance: more reports than one batch holds, and strangers in a batch.
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "poller/conformance.h"
#include "poller/poller_core.h"

namespace rearm::test {
namespace {

constexpr std::size_t kBatch = detail::PollerCore::kBatch;
constexpr std::size_t kMany = kBatch + kBatch / 2;  // Two batches, within the usual limit of fds.

UniqueFd ready_descriptor() { return event_fd(1); }

// R33 (silk#80) and R68 (libuv#3008) in spirit: nobody is forgotten in a flood.
TEST_P(Conformance, MoreReportsThanABatchHoldsAllArriveOnce) {
  std::vector<Token> tokens;
  std::vector<CountingWaiter> waiters(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    tokens.push_back(add(ready_descriptor()));
    park(tokens[i], Direction::kRead, waiters[i]);
  }
  std::size_t returned = 0;
  const Deadline patience = Deadline::after(kPatience);
  while (returned < kMany) {
    const std::size_t count = collect(patience);
    ASSERT_GT(count, 0U) << "after " << returned;
    ASSERT_LE(count, kBatch);
    returned += count;
  }
  EXPECT_EQ(collect_now(), 0U);
  for (std::size_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(waiters[i].returns, 1) << i;
    EXPECT_EQ(close(tokens[i]), 0U);
  }
}

// R33: the means to wake was deaf after a flood.
TEST_P(Conformance, AWakeIsHeardInAFlood) {
  std::vector<Token> tokens;
  std::vector<CountingWaiter> waiters(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    tokens.push_back(add(ready_descriptor()));
    park(tokens[i], Direction::kRead, waiters[i]);
  }
  poller().wake();
  std::size_t returned = 0;
  const Deadline patience = Deadline::after(kPatience);
  while (returned < kMany && detail::now_ns() < patience.ns()) returned += collect(patience);
  EXPECT_EQ(returned, kMany);
  (void)collect_now();
  poller().wake();
  EXPECT_EQ(poller().stats().wakes, 2U) << "the first has ended no wait";
  for (const Token token : tokens) EXPECT_EQ(close(token), 0U);
}

// One report in flight for a hot descriptor, however often it becomes ready. With several threads:
// conformance_threads_test.cc.
TEST_P(Conformance, OneBatchHandsOutEachWaiterOnce) {
  const UniqueFd hot = ready_descriptor();
  const Token token = add(duplicate(hot.get()));
  CountingWaiter reader;
  for (int i = 0; i < 1'000; ++i) {
    const auto prepared = poller().wait(token, Direction::kRead, reader);
    ASSERT_TRUE(prepared);
    make_readable(hot.get());
    if (*prepared == Poller::Prepared::kTryAgain) continue;
    WaiterList list = poller().collect(Deadline::after(kPatience));
    ASSERT_EQ(list.pop_front(), &reader);
    ASSERT_EQ(list.pop_front(), nullptr);
  }
  EXPECT_EQ(close(token), 0U);
}

// R04 (libuv#968), R06 (re#266): two are ready in one batch; the handler of the first closes the
// second and opens a stranger, who gets its number and its slot.
TEST_P(Conformance, AHandlerMayCloseAndReplaceAnotherReadyDescriptorOfItsBatch) {
  for (int i = 0; i < 50; ++i) {
    const Token first = add(ready_descriptor());
    UniqueFd second_fd = ready_descriptor();
    const int number = second_fd.get();
    const Token second = add(std::move(second_fd));
    CountingWaiter first_waiter;
    park(first, Direction::kRead, first_waiter);
    // The second has a report pending and nobody waits for it: it is dropped with its owner.
    EXPECT_EQ(close(second), 0U);
    UniqueFd stranger_fd = event_fd();
    ASSERT_EQ(stranger_fd.get(), number);
    const Token stranger = add(std::move(stranger_fd));
    ASSERT_EQ(stranger.slot, second.slot);
    CountingWaiter stranger_waiter;
    park(stranger, Direction::kRead, stranger_waiter);
    EXPECT_TRUE(returns(first_waiter));
    (void)collect_now();
    EXPECT_EQ(stranger_waiter.returns, 0) << "a stranger was woken by another's report";
    EXPECT_EQ(close(first), 0U);
    EXPECT_EQ(close(stranger), 1U);
  }
}

// R04, R22 (netty#5048) within the batch itself: both waiters are on the list when the first
// handler closes the second descriptor; its waiter has come back already and does not come again.
TEST_P(Conformance, ClosingADescriptorWhoseWaiterIsOnTheListReturnsItNoSecondTime) {
  const Token tokens[] = {add(ready_descriptor()), add(ready_descriptor())};
  CountingWaiter waiters[2];
  park(tokens[0], Direction::kRead, waiters[0]);
  park(tokens[1], Direction::kRead, waiters[1]);
  WaiterList list = poller().collect(Deadline::after(kPatience));
  Waiter* const first = list.pop_front();
  ASSERT_NE(first, nullptr);
  const std::size_t other = first == &waiters[0] ? 1 : 0;
  EXPECT_EQ(close(tokens[other]), list.empty() ? 1U : 0U);
  EXPECT_EQ(close(tokens[1 - other]), 0U);
  (void)count_returns(std::move(list));
  EXPECT_EQ(waiters[other].returns, 1);
}

// R48 (libuv#970, skynet#858): the handler of one withdraws the wait of every other that is ready,
// in its own batch and in those to come. Whoever is on the list comes back as it would have, and
// withdrawing says so; the others never come, and their readiness is there for the next wait.
TEST_P(Conformance, AHandlerMayWithdrawTheWaitsOfAllOthersThatAreReady) {
  std::vector<Token> tokens;
  std::vector<CountingWaiter> waiters(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    tokens.push_back(add(ready_descriptor()));
    park(tokens[i], Direction::kRead, waiters[i]);
  }
  WaiterList list = poller().collect(Deadline::after(kPatience));
  ASSERT_FALSE(list.empty());
  std::vector<bool> withdrawn;
  for (std::size_t i = 0; i < kMany; ++i) {
    Waiter* const waiter = poller().cancel(tokens[i], Direction::kRead, WakeReason::kCancelled);
    ASSERT_TRUE(waiter == nullptr || waiter == &waiters[i]);
    withdrawn.push_back(waiter != nullptr);
  }
  const std::size_t on_the_list = count_returns(std::move(list));
  EXPECT_LE(on_the_list, kBatch);
  EXPECT_EQ(collect_now() + collect_now(), 0U) << "a wait that was withdrawn has come back";
  for (std::size_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(waiters[i].returns, withdrawn[i] ? 0 : 1) << i;
    if (withdrawn[i]) {
      EXPECT_EQ(waiters[i].reason(), WakeReason::kCancelled);
      EXPECT_TRUE(becomes_ready(tokens[i], Direction::kRead)) << i;
    }
    EXPECT_EQ(close(tokens[i]), 0U);
  }
}

// R48: both directions are ready, and one is not wanted any more: it is not woken by the other's
// report.
TEST_P(Conformance, AReportPassesByADirectionWhoseWaitWasWithdrawn) {
  for (const Direction kept : {Direction::kRead, Direction::kWrite}) {
    const Direction left = kept == Direction::kRead ? Direction::kWrite : Direction::kRead;
    const UniqueFd fd = event_fd();
    const Token token = add(duplicate(fd.get()));
    CountingWaiter waiters[2];
    park(token, Direction::kRead, waiters[0]);
    park(token, Direction::kWrite, waiters[1]);
    CountingWaiter& unwanted = waiters[left == Direction::kRead ? 0 : 1];
    make_readable(fd.get());  // A fresh eventfd is writable: now both reports are pending.
    EXPECT_EQ(poller().cancel(token, left, WakeReason::kCancelled), &unwanted);
    EXPECT_TRUE(returns(waiters[kept == Direction::kRead ? 0 : 1]));
    (void)collect_now();
    EXPECT_EQ(unwanted.returns, 0);
    EXPECT_EQ(close(token), 0U);
  }
}

}  // namespace
}  // namespace rearm::test
