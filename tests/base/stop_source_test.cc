// A stop ends the waits that are registered, and refuses those to come.
#include "base/stop_source.h"

#include <gtest/gtest.h>

#include "base/wait_word.h"

namespace rearm::detail {
namespace {

struct StoppedWaiter final : Waiter {};

TEST(StopSource, ARequestEndsEveryRegisteredWait) {
  StopSource stops;
  WaitWord words[3];
  StopSource::Node nodes[3] = {StopSource::Node(words[0]), StopSource::Node(words[1]),
                               StopSource::Node(words[2])};
  StoppedWaiter waiters[3];
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(words[i].prepare(), WaitWord::Prepared::kPark);
    EXPECT_TRUE(stops.add(nodes[i]));
    EXPECT_EQ(words[i].commit(waiters[i]), WaitWord::Committed::kParked);
  }
  EXPECT_FALSE(stops.is_requested());
  stops.remove(nodes[1]);
  EXPECT_EQ(words[1].withdraw(), &waiters[1]);
  WaiterList woken;
  stops.request(woken);
  EXPECT_TRUE(stops.is_requested());
  EXPECT_EQ(woken.pop_front(), &waiters[0]);
  EXPECT_EQ(woken.pop_front(), &waiters[2]);
  EXPECT_EQ(woken.pop_front(), nullptr);
  EXPECT_EQ(waiters[0].reason(), WakeReason::kCancelled);
  for (StopSource::Node& node : nodes) stops.remove(node);
}

TEST(StopSource, OneThatHasNotParkedYetDoesNotPark) {
  StopSource stops;
  WaitWord word;
  StopSource::Node node(word);
  StoppedWaiter waiter;
  EXPECT_EQ(word.prepare(), WaitWord::Prepared::kPark);
  EXPECT_TRUE(stops.add(node));
  WaiterList woken;
  stops.request(woken);
  EXPECT_TRUE(woken.empty());
  EXPECT_EQ(word.commit(waiter), WaitWord::Committed::kDisturbed);
  stops.remove(node);
}

TEST(StopSource, AfterARequestNobodyIsRegistered) {
  StopSource stops;
  WaiterList woken;
  stops.request(woken);
  stops.request(woken);
  WaitWord word;
  StopSource::Node node(word);
  EXPECT_FALSE(stops.add(node));
  EXPECT_FALSE(node.is_linked());
  stops.remove(node);
}

}  // namespace
}  // namespace rearm::detail
