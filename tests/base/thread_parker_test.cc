// ThreadParker: a binary token that one thread waits for.
#include "base/thread_parker.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "explore/peek.h"
#include "support/scale.h"

namespace rearm::explore {

struct ParkerMu {
  using Type = detail::Mutex detail::ThreadParker::*;
  friend constexpr Type member_of(ParkerMu);
};
struct ParkerToken {
  using Type = bool detail::ThreadParker::*;
  friend constexpr Type member_of(ParkerToken);
};
template struct Peek<&detail::ThreadParker::mu_, ParkerMu>;
template struct Peek<&detail::ThreadParker::token_, ParkerToken>;

}  // namespace rearm::explore

namespace rearm::detail {
namespace {

using namespace std::chrono_literals;

TEST(ThreadParker, AnUnparkBeforeTheParkIsRemembered) {
  ThreadParker parker;
  parker.unpark();
  EXPECT_TRUE(parker.park());
}

TEST(ThreadParker, SeveralUnparksAreOne) {
  ThreadParker parker;
  parker.unpark();
  parker.unpark();
  EXPECT_TRUE(parker.park());
  EXPECT_FALSE(parker.park(Deadline::after(0s)));
}

TEST(ThreadParker, ATokenIsTakenEvenAfterTheDeadline) {
  ThreadParker parker;
  parker.unpark();
  EXPECT_TRUE(parker.park(Deadline::after(-1s)));
}

TEST(ThreadParker, WithoutATokenTheDeadlineEndsThePark) {
  ThreadParker parker;
  const std::int64_t start = now_ns();
  EXPECT_FALSE(parker.park(Deadline::after(5ms)));
  EXPECT_GE(now_ns() - start, 5'000'000);
}

TEST(ThreadParker, AnUnparkEndsAParkThatHasNoDeadline) {
  for (const Deadline deadline : {Deadline(), Deadline::never(), Deadline::after(300h)}) {
    ThreadParker parker;
    std::thread other([&parker] { parker.unpark(); });
    EXPECT_TRUE(parker.park(deadline));
    other.join();
  }
}

// Race: the parked thread returns and destroys the parker while the other is still in unpark().
// Forbidden: that unpark() touches the memory after the token could be taken. Guards the lock
// around its notify_one(): without it ThreadSanitizer reports a race with the destructor.
TEST(ThreadParker, MayBeDestroyedAsSoonAsParkReturns) {
  const std::uint64_t rounds = test::scaled(500);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    auto parker = std::make_unique<ThreadParker>();
    std::thread other([raw = parker.get()] { raw->unpark(); });
    EXPECT_TRUE(parker->park());
    parker.reset();
    other.join();
  }
}

// A token that comes when the deadline has passed, and the one that parks has not looked yet.
TEST(ThreadParker, ATokenThatComesAtTheDeadlineIsTaken) {
  const Deadline patience = Deadline::after(20s);
  bool was_in_time = false;
  while (!was_in_time && now_ns() < patience.ns()) {
    ThreadParker parker;
    const Deadline deadline = Deadline::after(20ms);
    std::thread other([&]() REARM_NO_THREAD_SAFETY_ANALYSIS {
      std::this_thread::sleep_for(5ms);  // The other one waits by now, and cannot return below.
      MutexLock lock(parker.*member_of(explore::ParkerMu{}));
      was_in_time = now_ns() < deadline.ns();
      while (now_ns() < deadline.ns() + 10'000'000) std::this_thread::sleep_for(1ms);
      parker.*member_of(explore::ParkerToken{}) = true;
    });
    const bool got = parker.park(deadline);
    other.join();
    EXPECT_TRUE(got || !was_in_time) << "a token was given, and nobody has it";
  }
  EXPECT_TRUE(was_in_time);
}

// Race: unpark() against park(), over and over. Forbidden: a token that nobody gets.
TEST(ThreadParker, NoTokenIsLostBetweenTwoThreads) {
  const std::uint64_t rounds = test::scaled(5'000);
  ThreadParker there;
  ThreadParker back;
  std::thread other([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      if (!there.park(Deadline::after(30s))) return;
      back.unpark();
    }
  });
  std::uint64_t done = 0;
  for (; done < rounds; ++done) {
    there.unpark();
    if (!back.park(Deadline::after(30s))) break;
  }
  other.join();
  EXPECT_EQ(done, rounds);
}

}  // namespace
}  // namespace rearm::detail
