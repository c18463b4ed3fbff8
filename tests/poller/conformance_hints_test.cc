// Conformance: a hint is never lost, spurious ones are tolerated, and quiet descriptors are quiet.
#include <string>

#include <gtest/gtest.h>

#include "poller/conformance.h"

namespace rearm::test {
namespace {

TEST_P(Conformance, ReadinessOlderThanTheDescriptorIsSeen) {
  FdPair pair = socket_pair();
  send_text(pair.b.get(), "x");
  const Token token = add(std::move(pair.a));
  EXPECT_TRUE(becomes_ready(token, Direction::kRead));
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, ReadinessOlderThanTheWaitIsSeen) {
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  (void)collect_now();
  send_text(pair.b.get(), "x");
  (void)collect_now();
  EXPECT_TRUE(becomes_ready(token, Direction::kRead));
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, ReadinessDuringTheWaitIsSeen) {
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  EXPECT_EQ(collect_quietly(), 0U);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(reader.reason(), WakeReason::kReady);
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, AnEmptyQueueIsWritableAtOnce) {
  const FdPair pair = socket_pair();
  const Token token = add(duplicate(pair.a.get()));
  EXPECT_TRUE(becomes_ready(token, Direction::kWrite));
  EXPECT_EQ(close(token), 0U);
}

// G5: between the system call that said EAGAIN and the park, wherever the report is collected.
TEST_P(Conformance, ReadinessBetweenPrepareAndCommitIsSeenByTheCommitOrAfterIt) {
  for (const bool collect_between : {false, true}) {
    FdPair pair = socket_pair();
    const Token token = add(std::move(pair.a));
    CountingWaiter reader;
    const auto prepared = poller().prepare(token, Direction::kRead);
    ASSERT_TRUE(prepared);
    ASSERT_EQ(*prepared, Poller::Prepared::kParked);
    ASSERT_FALSE(poller().arm(token, Direction::kRead));
    send_text(pair.b.get(), "x");
    if (collect_between) {
      EXPECT_EQ(collect_now(), 0U);
    }
    const bool parked = poller().commit(token, Direction::kRead, reader);
    EXPECT_EQ(parked, !collect_between);
    if (parked) {
      EXPECT_TRUE(returns(reader));
    }
    EXPECT_EQ(close(token), 0U);
  }
}

TEST_P(Conformance, ReadinessBetweenPrepareAndArmIsSeen) {
  FdPair pair = socket_pair();
  const Token token = add(std::move(pair.a));
  (void)collect_now();
  CountingWaiter reader;
  ASSERT_TRUE(poller().prepare(token, Direction::kRead));
  send_text(pair.b.get(), "x");
  ASSERT_FALSE(poller().arm(token, Direction::kRead));
  if (poller().commit(token, Direction::kRead, reader)) {
    EXPECT_TRUE(returns(reader));
  }
  EXPECT_EQ(close(token), 0U);
}

// R38 (php-src#9960): only the first event came.
TEST_P(Conformance, EachMessageOnOneDescriptorIsReported) {
  FdPair pair = socket_pair();
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  for (int i = 0; i < 50; ++i) {
    park(token, Direction::kRead, reader);
    send_text(pair.b.get(), "message");
    ASSERT_TRUE(returns(reader)) << i;
    EXPECT_EQ(drain(fd), "message");
  }
  EXPECT_EQ(reader.returns, 50);
  EXPECT_EQ(close(token), 0U);
}

// R59 (tokio#6133, #8331): readiness was lost when a counter of reports wrapped, at 256 or 65536.
TEST_P(Conformance, ReadinessIsKeptHoweverManyReportsComeInBetween) {
  const UniqueFd kept = event_fd(1);
  const UniqueFd busy = event_fd();
  const Token kept_token = add(duplicate(kept.get()));
  const Token busy_token = add(duplicate(busy.get()));
  CountingWaiter reader;
  for (int i = 0; i < 65'536 + 256; ++i) {
    const auto prepared = poller().wait(busy_token, Direction::kRead, reader);
    ASSERT_TRUE(prepared);
    make_readable(busy.get());
    if (*prepared == Poller::Prepared::kParked) {
      ASSERT_TRUE(returns(reader));
    }
    std::uint64_t value = 0;
    ASSERT_EQ(::read(busy.get(), &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
  }
  EXPECT_TRUE(becomes_ready(kept_token, Direction::kRead));
  EXPECT_EQ(close(kept_token), 0U);
  EXPECT_EQ(close(busy_token), 0U);
}

// R65 (PowerDNS#2925): somebody else took what the report spoke of. R03 (golang/go#14548) is its
// cousin: a report proves nothing, the system call does.
TEST_P(Conformance, AReportThatIsNoLongerTrueCostsOneMoreTry) {
  FdPair pair = socket_pair();
  const UniqueFd thief = duplicate(pair.a.get());
  const int fd = pair.a.get();
  const Token token = add(std::move(pair.a));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  send_text(pair.b.get(), "stolen");
  EXPECT_EQ(drain(thief.get()), "stolen");
  (void)collect_quietly();  // May report the theft, or nothing.
  if (reader.returns == 1) park(token, Direction::kRead, reader);
  EXPECT_EQ(drain(fd), "");
  const int before = reader.returns;
  send_text(pair.b.get(), "kept");
  EXPECT_TRUE(returns(reader));
  EXPECT_EQ(reader.returns, before + 1);
  EXPECT_EQ(drain(fd), "kept");
  EXPECT_EQ(close(token), 0U);
}

TEST_P(Conformance, DuplicatesOfOneFileAreReportedEach) {
  const FdPair pair = socket_pair();
  const Token first = add(duplicate(pair.a.get()));
  const Token second = add(duplicate(pair.a.get()));
  CountingWaiter reader;
  CountingWaiter second_reader;
  park(first, Direction::kRead, reader);
  park(second, Direction::kRead, second_reader);
  send_text(pair.b.get(), "x");
  EXPECT_TRUE(returns(reader));
  EXPECT_TRUE(second_reader.returns == 1 || returns(second_reader));
  EXPECT_EQ(close(first), 0U);
  EXPECT_EQ(close(second), 0U);
}

// R16 (libxev#234), R23 (netty#16689), R70 (io-event#66): a descriptor that nobody waits for must
// not wake the poller again and again, whatever state it is in.
TEST_P(Conformance, WhatNobodyWaitsForDoesNotSpin) {
  FdPair readable = socket_pair();
  FdPair hung_up = pipe_pair();
  FdPair reset = tcp_pair();
  const Token tokens[] = {add(std::move(readable.a)), add(std::move(hung_up.a)),
                          add(std::move(reset.a))};
  CountingWaiter waiter;
  for (const Token token : tokens) {  // Waited for once, then no longer: timed out.
    park(token, Direction::kRead, waiter);
    EXPECT_EQ(poller().cancel(token, Direction::kRead, WakeReason::kTimedOut), &waiter);
  }
  send_text(readable.b.get(), "unread");
  hung_up.b.reset();
  close_with_reset(std::move(reset.b));
  EXPECT_EQ(collect_quietly(), 0U);
  const std::uint64_t before = poller().stats().waits;
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_LT(poller().stats().waits - before, 10U);
  for (const Token token : tokens) EXPECT_EQ(close(token), 0U);
}

// R28 (polling#265): nothing to report means that the wait sleeps.
TEST_P(Conformance, AnIdleDescriptorLetsTheWaitSleep) {
  const FdPair pair = socket_pair();
  const Token token = add(duplicate(pair.a.get()));
  CountingWaiter reader;
  park(token, Direction::kRead, reader);
  (void)collect_quietly();
  const std::uint64_t before = poller().stats().waits;
  EXPECT_EQ(collect_quietly(), 0U);
  EXPECT_LT(poller().stats().waits - before, 10U);
  EXPECT_EQ(close(token), 1U);
}

}  // namespace
}  // namespace rearm::test
