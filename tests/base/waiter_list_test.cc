// WaiterList: first in, first out, through the waiters themselves.
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/waiter.h"

namespace rearm {
namespace {

struct ListedWaiter final : Waiter {};

std::vector<Waiter*> pop_all(WaiterList& list) {
  std::vector<Waiter*> all;
  while (Waiter* const waiter = list.pop_front()) all.push_back(waiter);
  return all;
}

TEST(WaiterList, ANewListIsEmpty) {
  WaiterList list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.pop_front(), nullptr);
}

TEST(WaiterList, ComesOutInTheOrderItWentIn) {
  ListedWaiter a;
  ListedWaiter b;
  ListedWaiter c;
  WaiterList list;
  for (ListedWaiter* waiter : {&a, &b, &c}) list.push_back(*waiter);
  EXPECT_FALSE(list.empty());
  EXPECT_EQ(pop_all(list), (std::vector<Waiter*>{&a, &b, &c}));
  EXPECT_TRUE(list.empty());
}

TEST(WaiterList, AWaiterMayGoInAgainOnceItIsOut) {
  ListedWaiter a;
  ListedWaiter b;
  WaiterList list;
  list.push_back(a);
  list.push_back(b);
  EXPECT_EQ(list.pop_front(), &a);
  list.push_back(a);
  EXPECT_EQ(pop_all(list), (std::vector<Waiter*>{&b, &a}));
}

TEST(WaiterList, SplicingMovesEverythingToTheBack) {
  ListedWaiter a;
  ListedWaiter b;
  ListedWaiter c;
  WaiterList list;
  WaiterList other;
  list.push_back(a);
  other.push_back(b);
  other.push_back(c);
  list.splice_back(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(pop_all(list), (std::vector<Waiter*>{&a, &b, &c}));
}

TEST(WaiterList, SplicingAnEmptyListOrIntoOneWorks) {
  ListedWaiter a;
  WaiterList list;
  WaiterList other;
  list.splice_back(other);
  EXPECT_TRUE(list.empty());
  other.push_back(a);
  list.splice_back(other);
  list.splice_back(other);
  EXPECT_EQ(pop_all(list), (std::vector<Waiter*>{&a}));
}

TEST(WaiterList, MovingEmptiesTheSource) {
  ListedWaiter a;
  ListedWaiter b;
  WaiterList source;
  source.push_back(a);
  WaiterList target(std::move(source));
  EXPECT_EQ(pop_all(target), (std::vector<Waiter*>{&a}));
  WaiterList second;
  second.push_back(b);
  target = std::move(second);
  EXPECT_EQ(pop_all(target), (std::vector<Waiter*>{&b}));
}

TEST(Waiter, TheReasonIsWhatTheLastEnderWrote) {
  ListedWaiter waiter;
  for (const WakeReason reason :
       {WakeReason::kTimedOut, WakeReason::kCancelled, WakeReason::kClosed, WakeReason::kReady}) {
    waiter.set_reason(reason);
    EXPECT_EQ(waiter.reason(), reason);
  }
}

}  // namespace
}  // namespace rearm
