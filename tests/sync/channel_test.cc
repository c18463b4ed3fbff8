// Values go through a channel once each and in order, whoever sends, waits, gives up and closes.
#include "rearm/sync/channel.h"

#include <atomic>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/sync/select.h"
#include "rearm/testing.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using ChannelTest = RuntimeTest;

// Neither lost, doubled nor reordered per sender: fibers and plain threads at both ends.
void values_go_through(std::size_t capacity) {
  Channel<int> channel(capacity);
  constexpr int kSenders = 4;
  const int each = kSanitized ? 300 : 3000;
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(kSenders * each));
  std::atomic<int> senders{kSenders};
  // Even numbers send, odd ones receive; the last two of the eight are plain threads.
  run_mixed(6, 2, [&](int number) {
    if (number % 2 == 0) {
      for (int i = 0; i < each; ++i) {
        // Some give up and try again, so that a deadline meets a receiver.
        while (
            !channel.send(number / 2 * each + i, i % 7 == 0 ? Deadline::after(10us) : patience())) {
        }
      }
      if (senders.fetch_sub(1) == 1) {
        EXPECT_TRUE(channel.close());
      }
    } else {
      std::vector<int> last(kSenders, -1);
      for (;;) {
        const Result<int> value = channel.receive(number == 3 ? Deadline::after(10us) : patience());
        if (!value && value.error() == Errc::kTimedOut) continue;
        if (!value) break;
        const auto sender = static_cast<std::size_t>(*value / each);
        EXPECT_GT(*value, last[sender]) << "out of order";
        last[sender] = *value;
        ++seen[static_cast<std::size_t>(*value)];
      }
    }
  });
  for (const auto& count : seen) ASSERT_EQ(count, 1);
  EXPECT_EQ(channel.receive().error(), Errc::kClosed);
}

TEST_F(ChannelTest, UnbufferedValuesGoThroughOnceAndInOrder) { values_go_through(0); }
TEST_F(ChannelTest, BufferedValuesGoThroughOnceAndInOrder) { values_go_through(3); }

TEST_F(ChannelTest, ASendOfAnUnbufferedOneEndsWhenTheValueIsTaken) {
  open({.workers = 1});
  run([] {
    Channel<int> channel;
    bool is_sent = false;
    auto sender = spawn([&] {
      EXPECT_TRUE(channel.send(1));
      is_sent = true;
    });
    this_fiber::yield();
    EXPECT_FALSE(is_sent);
    EXPECT_EQ(channel.receive().value(), 1);
    sender.join();
    EXPECT_EQ(channel.try_send(2).error(), Errc::kTimedOut) << "nobody receives";
    EXPECT_EQ(channel.try_receive().error(), Errc::kTimedOut);
  });
}

TEST_F(ChannelTest, ABufferedOneHoldsItsCapacityAndNoMore) {
  run([] {
    Channel<int> channel(2);
    EXPECT_EQ(channel.capacity(), 2U);
    EXPECT_TRUE(channel.send(1));
    EXPECT_TRUE(channel.try_send(2));
    EXPECT_EQ(channel.size(), 2U);
    EXPECT_EQ(channel.try_send(3).error(), Errc::kTimedOut);
    EXPECT_EQ(channel.send(3, soon()).error(), Errc::kTimedOut);
    auto sender = spawn([&] { return channel.send(3); });
    this_fiber::yield();
    for (int i = 1; i <= 3; ++i) EXPECT_EQ(channel.receive(patience()).value(), i);
    EXPECT_TRUE(sender.join());
    EXPECT_EQ(channel.receive(soon()).error(), Errc::kTimedOut);
    EXPECT_EQ(channel.receive(Deadline::after(-1s)).error(), Errc::kTimedOut);
  });
}

TEST_F(ChannelTest, WhatIsInAClosedOneComesOutFirst) {
  run([] {
    Channel<std::string> channel(2);
    EXPECT_TRUE(channel.send("one"));
    EXPECT_TRUE(channel.send("two"));
    auto late = spawn([&] {
      std::string value = "three";
      EXPECT_EQ(channel.send(std::move(value)).error(), Errc::kClosed);
      EXPECT_EQ(value, "three") << "what was not sent is the caller's";
    });
    this_fiber::yield();
    EXPECT_TRUE(channel.close());
    EXPECT_EQ(channel.close().error(), Errc::kClosed);
    late.join();
    EXPECT_EQ(channel.try_send("four").error(), Errc::kClosed);
    std::vector<std::string> rest;
    for (std::string& value : channel) rest.push_back(std::move(value));
    EXPECT_EQ(rest, (std::vector<std::string>{"one", "two"}));
    EXPECT_EQ(channel.receive().error(), Errc::kClosed);
  });
}

TEST_F(ChannelTest, ACloseEndsTheWaitsOfReceivers) {
  run([] {
    Channel<int> channel(1);
    std::vector<JoinHandle<void>> receivers;
    for (int i = 0; i < 3; ++i) {
      receivers.push_back(spawn([&] { EXPECT_EQ(channel.receive().error(), Errc::kClosed); }));
    }
    this_fiber::yield();
    EXPECT_TRUE(channel.close());
    for (auto& receiver : receivers) receiver.join();
  });
}

TEST_F(ChannelTest, ARequestToStopEndsBothEndsAndLosesNothing) {
  run([] {
    Channel<std::unique_ptr<int>> channel;
    auto sender = spawn([&] {
      auto value = std::make_unique<int>(7);
      EXPECT_EQ(channel.send(std::move(value)).error(), Errc::kCancelled);
      EXPECT_EQ(*value, 7);
    });
    this_fiber::yield();
    sender.request_stop();
    sender.join();
    auto receiver = spawn([&] { EXPECT_EQ(channel.receive().error(), Errc::kCancelled); });
    this_fiber::yield();
    receiver.request_stop();
    receiver.join();
    EXPECT_EQ(channel.try_receive().error(), Errc::kTimedOut) << "a sender is left in line";
  });
}

struct Wide {
  std::array<std::uint64_t, 32> words{};
};

// Copied as bytes by the channel, and by nobody else.
struct Ticket {
  explicit Ticket(int of) : number(of) {}
  Ticket(Ticket&&) = default;
  Ticket& operator=(Ticket&&) = default;
  int number;
};
static_assert(std::is_trivially_copyable_v<Ticket> && !std::is_copy_constructible_v<Ticket>);

// What is left in a channel is destroyed with it; move-only and wide values go through whole.
TEST_F(ChannelTest, EveryKindOfValueGoesThrough) {
  auto counted = std::make_shared<int>(1);
  run([&] {
    Channel<std::shared_ptr<int>> kept(4);
    EXPECT_TRUE(kept.send(counted));
    EXPECT_TRUE(kept.send(counted));
    EXPECT_EQ(kept.receive().value(), counted);
    Channel<std::unique_ptr<std::string>> unique(1);
    EXPECT_TRUE(unique.send(std::make_unique<std::string>("moved")));
    EXPECT_EQ(**unique.receive(), "moved");
    Channel<Wide> wide(1);
    Wide value;
    value.words[31] = 42;
    EXPECT_TRUE(wide.send(value));
    EXPECT_EQ(wide.receive()->words[31], 42U);
    Channel<char> narrow(1);
    EXPECT_TRUE(narrow.send('x'));
    EXPECT_EQ(narrow.receive().value(), 'x');
    Channel<Ticket> tickets(2);
    EXPECT_TRUE(tickets.send(Ticket(1)));
    EXPECT_EQ(tickets.receive()->number, 1);
    SendCase<Ticket> send(tickets, Ticket(2));
    EXPECT_TRUE(select(patience(), send));
    ReceiveCase<Ticket> receive(tickets);
    EXPECT_TRUE(select(patience(), receive));
    EXPECT_EQ(receive.value()->number, 2);
  });
  EXPECT_EQ(counted.use_count(), 1) << "what was left in the channel was not destroyed";
}

// Its move constructor throws the second time that it is called in a row.
struct Brittle {
  explicit Brittle(std::string of) : text(std::move(of)) {}
  Brittle(Brittle&& other) : text(std::move(other.text)) {
    if (++moves == 2) throw std::runtime_error("moved twice");
  }
  Brittle& operator=(Brittle&& other) noexcept = default;
  ~Brittle() { ++destroyed; }

  std::string text;
  static inline int moves = 0;
  static inline int destroyed = 0;
};

TEST_F(ChannelTest, AFailedSendGivesBackByAssignment) {
  Channel<Brittle> channel;
  {
    Brittle value("a text that is too long for the small buffer");
    EXPECT_NO_THROW(EXPECT_EQ(channel.try_send(std::move(value)).error(), Errc::kTimedOut));
    EXPECT_EQ(value.text, "a text that is too long for the small buffer");
  }
  EXPECT_EQ(Brittle::destroyed, 2) << "the value and its box";
}

TEST_F(ChannelTest, NothingIsLostUnderAnySchedule) {
  for (const std::size_t capacity : {0U, 1U}) {
    const testing::Report report = testing::explore(
        [capacity] {
          Channel<int> channel(capacity);
          auto first = spawn([&] { return channel.send(1).has_value(); });
          auto second = spawn([&] { return channel.send(2, Deadline::after(1s)).has_value(); });
          int sum = 0;
          auto receiver = spawn([&] {
            for (const int value : channel) sum += value;
          });
          first.request_stop();
          const int sent = (first.join() ? 1 : 0) + (second.join() ? 2 : 0);
          (void)channel.close();
          receiver.join();
          if (sum != sent) throw std::runtime_error("a value was lost or made");
        },
        {.strategy = testing::Strategy::kExhaustive, .delays = 2, .quiet = true});
    EXPECT_TRUE(report) << report.failure->what << report.failure->table;
    EXPECT_TRUE(report.complete);
  }
}

TEST(ChannelDeathTest, OneThatIsWaitedOnIsNotDestroyed) {
  EXPECT_DEATH(
      {
        Runtime runtime({.workers = 1});
        runtime.run([] {
          auto channel = std::make_unique<Channel<int>>();
          auto receiver = spawn([&] { (void)channel->receive(); });
          this_fiber::yield();
          channel.reset();
        });
      },
      "rearm: a Channel was destroyed that is waited on");
}

}  // namespace
}  // namespace rearm::test
