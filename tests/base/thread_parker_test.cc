// ThreadParker: a binary token that one thread waits for.
#include "base/thread_parker.h"

#include <chrono>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "support/scale.h"

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
// Forbidden: that unpark() touches the memory after the token could be taken.
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
