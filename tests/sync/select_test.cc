// The first of several things is done, and the others are as if they had not been asked.
#include "rearm/sync/select.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/testing.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using SelectTest = RuntimeTest;

TEST_F(SelectTest, WhatIsThereIsTakenInTurns) {
  run([] {
    Channel<int> first(100);
    Channel<int> second(100);
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(first.send(1));
      EXPECT_TRUE(second.send(2));
    }
    int ones = 0;
    for (int i = 0; i < 50; ++i) {
      ReceiveCase one(first);
      ReceiveCase two(second);
      const auto chosen = select(Deadline::immediate(), one, two);
      ASSERT_TRUE(chosen);
      EXPECT_EQ(one.value().has_value(), *chosen == 0);
      EXPECT_EQ(two.value().has_value(), *chosen == 1);
      if (*chosen == 0) ++ones;
    }
    EXPECT_GE(ones, 15);
    EXPECT_LE(ones, 35) << "one case starves the other";
    EXPECT_EQ(first.size() + second.size(), 50U);
  });
}

TEST_F(SelectTest, TheFirstThatComesEndsTheWait) {
  run([] {
    Channel<std::unique_ptr<int>> values;
    Event event;
    ReceiveCase value(values);
    EventCase is_set(event);
    auto sender = spawn([&] { EXPECT_TRUE(values.send(std::make_unique<int>(7))); });
    auto chosen = select(patience(), value, is_set);
    ASSERT_EQ(chosen, Result<std::size_t>(0));
    EXPECT_EQ(**value.value(), 7);
    sender.join();
    auto setter = spawn([&] { event.set(); });
    chosen = select(patience(), value, is_set);
    EXPECT_EQ(chosen, Result<std::size_t>(1));
    EXPECT_FALSE(value.value());
    setter.join();
    EXPECT_EQ(values.try_send(nullptr).error(), Errc::kTimedOut) << "a case stands in line still";
  });
}

TEST_F(SelectTest, DeadlinesClosesAndStopsEndIt) {
  run([] {
    Channel<int> channel;
    Channel<std::string> closed(1);
    ReceiveCase value(channel);
    EXPECT_EQ(select(Deadline::immediate(), value).error(), Errc::kTimedOut);
    EXPECT_EQ(select(soon(), value).error(), Errc::kTimedOut);
    EXPECT_EQ(select(Deadline::after(-1s), value).error(), Errc::kTimedOut);
    EXPECT_EQ(select(Deadline::never(), std::span<detail::SelectCase* const>()).error(),
              Errc::kInvalidArgument);

    ReceiveCase text(closed);
    auto closer = spawn([&] { EXPECT_TRUE(closed.close()); });
    EXPECT_EQ(select(patience(), value, text), Result<std::size_t>(1));
    EXPECT_FALSE(text.value());
    closer.join();
    SendCase<std::string> send(closed, "kept");
    EXPECT_EQ(select(patience(), send), Result<std::size_t>(0));
    EXPECT_TRUE(send.is_closed());
    EXPECT_FALSE(send.is_sent());
    EXPECT_EQ(send.value(), "kept");

    auto fiber = spawn([&] {
      ReceiveCase other(channel);
      EXPECT_EQ(select(Deadline::never(), other).error(), Errc::kCancelled);
    });
    this_fiber::yield();
    fiber.request_stop();
    fiber.join();
  });
}

// A choice that sends meets one that receives, and one of both kinds meets itself.
TEST_F(SelectTest, ChoicesMeetChoices) {
  Channel<int> there;
  Channel<int> back;
  std::atomic<int> sent{0};
  std::atomic<int> received{0};
  const int rounds = kSanitized ? 100 : 2000;
  run_mixed(4, 2, [&](int) {
    for (int i = 0; i < rounds; ++i) {
      SendCase<int> give(there, i);
      SendCase<int> give_back(back, i);
      ReceiveCase take(there);
      ReceiveCase take_back(back);
      const auto chosen = select(Deadline::after(10ms), give, take_back, take, give_back);
      if (!chosen) continue;  // The others have ended.
      sent += (give.is_sent() ? 1 : 0) + (give_back.is_sent() ? 1 : 0);
      received += (take.value() ? 1 : 0) + (take_back.value() ? 1 : 0);
    }
  });
  EXPECT_EQ(sent, received);
  EXPECT_GT(sent, rounds);
}

TEST_F(SelectTest, NothingIsLostUnderAnySchedule) {
  const testing::Report report = testing::explore(
      [] {
        Channel<int> first;
        Channel<int> second(1);
        int received = 0;
        auto chooser = spawn([&] {
          for (int i = 0; i < 2; ++i) {
            ReceiveCase one(first);
            ReceiveCase two(second);
            if (!select(Deadline::after(1s), one, two)) continue;
            received += one.value().value_or(0) + two.value().value_or(0);
          }
        });
        auto sender = spawn([&] { return first.send(1, Deadline::after(1s)).has_value() ? 1 : 0; });
        const int sent = second.send(2, Deadline::after(1s)) ? 2 : 0;
        const int both = sent + sender.join();
        chooser.join();
        const int left = second.try_receive().value_or(0);
        if (received + left != both) throw std::runtime_error("a value was lost or doubled");
      },
      {.strategy = testing::Strategy::kExhaustive, .delays = 2, .quiet = true});
  EXPECT_TRUE(report) << report.failure->what << report.failure->table;
  EXPECT_TRUE(report.complete);
}

}  // namespace
}  // namespace rearm::test
