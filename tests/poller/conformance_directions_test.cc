// Conformance: one direction never costs the other (G6), and one waiter never the next.
#include <gtest/gtest.h>

#include "poller/conformance.h"

namespace rearm::test {
namespace {

// A socket whose sending side is full, with a waiter for each direction.
class BothDirections {
 public:
  BothDirections() : pair_(socket_pair()) { fill(pair_.a.get()); }

  [[nodiscard]] UniqueFd take_end() { return std::move(pair_.a); }
  void make_readable() const { send_text(pair_.b.get(), "x"); }
  void make_writable() const { (void)drain(pair_.b.get()); }

 private:
  FdPair pair_;
};

// What a kernel that forgets costs: one arm a park, and at most one re-arm a report. A kernel that
// remembers is never told.
TEST_P(Conformance, AParkIsOneArmAndAReportAtMostOneReArm) {
  constexpr std::uint64_t kParks = 50;
  const bool remembers = GetParam() == "epoll" || GetParam() == "kqueue";
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  const Poller::Stats before = poller().stats();
  for (std::uint64_t i = 0; i < kParks; ++i) {
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    send_text(pair.b.get(), "x");
    ASSERT_TRUE(returns(reader));
    (void)drain(fd);
  }
  const Poller::Stats after = poller().stats();
  EXPECT_EQ(after.arms - before.arms, remembers ? 0 : kParks);
  EXPECT_LE(after.rearms - before.rearms, remembers ? 0 : after.events - before.events);
  EXPECT_EQ(close(token), 0U);
}

// The writer is parked all the while, so each report of reading has something to arm again: at
// once, and exactly once. A report of nothing, which a kernel may make, counts as one.
TEST_P(Conformance, EachReportThatLeavesTheOtherWaitingIsOneReArm) {
  constexpr std::uint64_t kReports = 50;
  const bool remembers = GetParam() == "epoll" || GetParam() == "kqueue";
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  fill(fd);
  const Token token = add(std::move(pair.a));
  CountingWaiter writer;
  park(token, Direction::kWrite, writer);
  const Poller::Stats before = poller().stats();
  for (std::uint64_t i = 0; i < kReports; ++i) {
    CountingWaiter reader;
    park(token, Direction::kRead, reader);
    send_text(pair.b.get(), "x");
    ASSERT_TRUE(returns(reader));
    (void)drain(fd);
  }
  const Poller::Stats after = poller().stats();
  EXPECT_GE(after.events - before.events, kReports);
  EXPECT_EQ(after.arms - before.arms, remembers ? 0 : kReports);
  EXPECT_EQ(after.rearms - before.rearms, remembers ? 0 : after.events - before.events);
  EXPECT_EQ(writer.returns, 0);
  (void)drain(pair.b.get());
  EXPECT_TRUE(returns(writer)) << "still armed";
  EXPECT_EQ(close(token), 0U);
}

// R32 (kaappi#1481), R39 (redis#13382), R49 (PhotonLibOS#381).
TEST_P(Conformance, AReportForReadingLeavesTheWriterParkedAndArmed) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  ends.make_readable();
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(writer.returns, 0);
  ends.make_writable();
  EXPECT_TRUE(returns(writer));
  EXPECT_EQ(reader.returns, 1);
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, AReportForWritingLeavesTheReaderParkedAndArmed) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kWrite, writer);
  park(token, Direction::kRead, reader);
  ends.make_writable();
  EXPECT_TRUE(returns(writer));
  EXPECT_EQ(reader.returns, 0);
  ends.make_readable();
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

// R32: the reader was cancelled, so the report wakes nobody; the writer must stay armed.
TEST_P(Conformance, AReportThatWakesNobodyLeavesTheOtherDirectionArmed) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kCancelled), &reader);
  ends.make_readable();
  EXPECT_EQ(collect_quietly(), 0U);
  ends.make_writable();
  EXPECT_TRUE(returns(writer));
  EXPECT_EQ(close(token), 0U);
}

// R39: the reader is cancelled while the report for it is pending; the writer's must still come,
// the reader's must not reach anybody.
TEST_P(Conformance, CancellingWhileAReportIsPendingCostsTheOtherDirectionNothing) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  ends.make_readable();
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kTimedOut), &reader);
  EXPECT_EQ(reader.reason(), WakeReason::kTimedOut);
  ends.make_writable();
  EXPECT_TRUE(returns(writer));
  EXPECT_EQ(reader.returns, 0);
  EXPECT_EQ(close(token), 0U);
}

// R40 (libevent#636): edge-triggered reports were lost after one of two wishes was withdrawn.
TEST_P(Conformance, CancellingTheWriterLeavesTheReaderItsReports) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  EXPECT_EQ(poller().cancel(token, Direction::kWrite, WakeReason::kCancelled), &writer);
  ends.make_readable();
  EXPECT_TRUE(returns(reader));
  ends.make_readable();  // More comes, though the first was not read.
  EXPECT_TRUE(becomes_ready(token, Direction::kRead));
  EXPECT_EQ(close(token), 0U);
}

// R60 (tokio#8054): the two sides invalidated each other's readiness and spun.
TEST_P(Conformance, TwoWaitingDirectionsDoNotKeepEachOtherBusy) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  CountingWaiter writer;
  park(token, Direction::kRead, reader);
  park(token, Direction::kWrite, writer);
  (void)collect_quietly();
  const std::uint64_t before = poller().stats().waits;
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_LT(poller().stats().waits - before, 10U);
  EXPECT_EQ(close(token), 2U);
  EXPECT_EQ(reader.returns + writer.returns, 2);
}

// R49: a second waiter in one direction gets an error, not the first one's place.
TEST_P(Conformance, ASecondWaiterInOneDirectionIsBusy) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    CountingWaiter first;
    CountingWaiter second;
    park(token, direction, first);
    const auto refused = poller().wait(token, direction, second);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::kBusy);
    EXPECT_EQ(poller().prepare(token, direction).error(), Errc::kBusy);
    EXPECT_EQ(poller().cancel(token, direction, WakeReason::kCancelled), &first);
    park(token, direction, second);
    EXPECT_EQ(poller().cancel(token, direction, WakeReason::kCancelled), &second);
  }
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, CancelWithoutAWaiterIsNothing) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kTimedOut), nullptr);
  ends.make_readable();
  (void)collect_now();
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kTimedOut), nullptr);
  EXPECT_TRUE(becomes_ready(token, Direction::kRead)) << "readiness is not the waiter's to lose";
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, CancelBetweenPrepareAndCommitMakesTheCommitFail) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  CountingWaiter reader;
  ASSERT_TRUE(poller().prepare(token, Direction::kRead));
  ASSERT_FALSE(poller().arm(token, Direction::kRead));
  EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kTimedOut), nullptr);
  EXPECT_FALSE(poller().commit(token, Direction::kRead, reader));
  park(token, Direction::kRead, reader);
  ends.make_readable();
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(close(token), 0U);
}

// R51 (PhotonLibOS#261), R70 (io-event#66): cancelled waits leave nothing behind that could reach
// a waiter which is no longer there.
TEST_P(Conformance, ManyCancelledWaitsLeaveNothingBehind) {
  BothDirections ends;
  const Token token = add(ends.take_end());
  for (int i = 0; i < 10'000; ++i) {
    const auto gone = std::make_unique<CountingWaiter>();
    park(token, Direction::kRead, *gone);
    ASSERT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kTimedOut), gone.get());
  }
  ends.make_readable();
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_TRUE(becomes_ready(token, Direction::kRead));
  EXPECT_EQ(close(token), 0U);
}

}  // namespace
}  // namespace rearm::test
