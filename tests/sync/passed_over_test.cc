// The lines of a channel under a select() that is passed over, step by step: what a giver may do in
// the moments in which the waiter's claim is its own (src/base/claim.h).
#include <gtest/gtest.h>

#include "base/claim.h"
#include "base/wait_queue.h"
#include "rearm/waiter.h"
#include "sched/worker.h"
#include "sync/channel_core.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using detail::ChannelCore;
using detail::Claim;

// A select() with one case, which stands in the channel's line.
class Chooser {
 public:
  Chooser(ChannelCore& channel, bool sends, int value = 0)
      : channel_(channel), sends_(sends), value_(value) {
    static_cast<void>(claim_.word().prepare());
    EXPECT_FALSE(try_case());
    EXPECT_FALSE(was_passed_over_);
  }
  Chooser(const Chooser&) = delete;
  Chooser& operator=(const Chooser&) = delete;
  ~Chooser() { channel_.leave_case(sends_, node_); }

  // From one to the other it tries another case.
  void begin_to_try_another() { EXPECT_TRUE(claim_.begin_to_try()); }
  void end_of_try() { EXPECT_FALSE(claim_.reopen()) << "nobody has passed it over"; }

  [[nodiscard]] bool try_case() {
    return channel_.try_case(sends_, &value_, is_closed_, woken_, &turn_);
  }
  [[nodiscard]] int value() const { return value_; }
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  void wake() { detail::Worker::wake(woken_); }

 private:
  ChannelCore& channel_;
  const bool sends_;
  int value_;
  bool is_closed_ = false;
  bool was_passed_over_ = false;
  WaiterList woken_;
  Claim claim_;
  detail::WaitQueue::Node node_{claim_, 0, &value_};
  const detail::CaseTurn turn_{
      .claim = claim_, .node = node_, .place = 0, .was_passed_over = was_passed_over_};
};

class PassedOverTest : public RuntimeTest {
 protected:
  [[nodiscard]] static Result<void> send(ChannelCore& channel, int value, Deadline deadline) {
    return channel.send(&value, deadline, nullptr);
  }
  // 0: nothing.
  [[nodiscard]] static int receive(ChannelCore& channel, Deadline deadline) {
    int value = 0;
    return channel.receive(&value, deadline, nullptr) ? value : 0;
  }
};

TEST_F(PassedOverTest, ValuesInTheRingComeBeforeOneThatIsHandedOver) {
  ChannelCore channel(2, sizeof(int));
  Chooser receiver(channel, /*sends=*/false);
  receiver.begin_to_try_another();
  EXPECT_TRUE(send(channel, 1, Deadline::immediate()));
  receiver.end_of_try();
  EXPECT_TRUE(send(channel, 2, Deadline::immediate()));
  EXPECT_EQ(channel.size(), 2U) << "the second value has overtaken the first";
  ASSERT_TRUE(receiver.try_case());
  EXPECT_EQ(receiver.value(), 1);
  EXPECT_EQ(receive(channel, Deadline::immediate()), 2);
}

TEST_F(PassedOverTest, ASenderInLineComesBeforeOneWhoComesLater) {
  open({.workers = 1});
  run([] {
    ChannelCore channel(0, sizeof(int));
    Chooser receiver(channel, /*sends=*/false);
    receiver.begin_to_try_another();
    auto first = spawn([&] { return send(channel, 1, patience()); });
    this_fiber::yield();
    receiver.end_of_try();
    EXPECT_FALSE(send(channel, 2, Deadline::immediate())) << "it has overtaken who waits";
    EXPECT_TRUE(receiver.try_case());
    EXPECT_EQ(receiver.value(), 1);
    receiver.wake();
    EXPECT_TRUE(first.join());
  });
}

TEST_F(PassedOverTest, AReceiverInLineComesBeforeOneWhoComesLater) {
  open({.workers = 1});
  run([] {
    ChannelCore channel(0, sizeof(int));
    Chooser sender(channel, /*sends=*/true, 1);
    sender.begin_to_try_another();
    auto first = spawn([&] { return receive(channel, soon()); });
    this_fiber::yield();
    sender.end_of_try();
    EXPECT_EQ(receive(channel, Deadline::immediate()), 0) << "it has overtaken who waits";
    EXPECT_TRUE(sender.try_case());
    sender.wake();
    EXPECT_EQ(first.join(), 1);
  });
}

TEST_F(PassedOverTest, NothingIsTakenFromASenderAfterTheClose) {
  ChannelCore channel(0, sizeof(int));
  Chooser sender(channel, /*sends=*/true, 1);
  sender.begin_to_try_another();
  EXPECT_TRUE(channel.close());
  sender.end_of_try();
  int value = 0;
  const Result<void> received = channel.receive(&value, Deadline::immediate(), nullptr);
  ASSERT_FALSE(received) << "a value was sent after the close";
  EXPECT_EQ(received.error(), Errc::kClosed);
  ASSERT_TRUE(sender.try_case());
  EXPECT_TRUE(sender.is_closed());
}

struct SleepingWaiter final : Waiter {};

// One node that is given something twice, as that of a lock's waiter who was called in vain.
TEST_F(PassedOverTest, WhoWasAsleepOnceIsNotTakenForAsleepAgain) {
  detail::WaitWord word;
  detail::WaitQueue queue;
  detail::WaitQueue::Node node(word);
  for (const bool is_asleep : {true, false}) {
    SleepingWaiter waiter;
    static_cast<void>(word.prepare());
    if (is_asleep) static_cast<void>(word.commit(waiter));
    queue.push_back(node);
    WaiterList woken;
    EXPECT_TRUE(queue.give(woken));
    EXPECT_EQ(node.was_asleep(), is_asleep);
    while (woken.pop_front() != nullptr) {
    }
  }
}

}  // namespace
}  // namespace rearm::test
