// Every transition in the table at the head of poller/lifetime.h.
#include "poller/lifetime.h"

#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace rearm::detail {
namespace {

using Entered = Lifetime::Entered;
using Removed = Lifetime::Removed;

class LifetimeTest : public ::testing::Test {
 protected:
  std::uint32_t begin() {
    const std::uint32_t generation = lifetime_.next_generation();
    lifetime_.begin_life(generation);
    return generation;
  }

  Lifetime lifetime_;
};

TEST_F(LifetimeTest, AFreeSlotIsNotOpenAndLetsNobodyIn) {
  EXPECT_EQ(lifetime_.open_generation(), 0U);
  for (const std::uint32_t generation : {0U, 1U, 2U}) {
    EXPECT_FALSE(lifetime_.is_open(generation));
    EXPECT_EQ(lifetime_.enter(generation), Entered::kClosed);
    EXPECT_EQ(lifetime_.enter(generation, Direction::kRead), Entered::kClosed);
    EXPECT_FALSE(lifetime_.close(generation));
    EXPECT_EQ(lifetime_.remove(generation), Removed::kClosed);
  }
}

TEST_F(LifetimeTest, ALifeBeginsOpenWithOneReference) {
  const std::uint32_t generation = begin();
  EXPECT_EQ(generation, 1U);
  EXPECT_TRUE(lifetime_.is_open(generation));
  EXPECT_EQ(lifetime_.open_generation(), generation);
  EXPECT_TRUE(lifetime_.close(generation));
  EXPECT_TRUE(lifetime_.leave()) << "the descriptor's own reference is the only one";
}

TEST_F(LifetimeTest, AnotherGenerationIsRefusedByEveryCall) {
  const std::uint32_t old_generation = begin();
  ASSERT_TRUE(lifetime_.close(old_generation));
  ASSERT_TRUE(lifetime_.leave());
  const std::uint32_t generation = begin();
  EXPECT_EQ(generation, old_generation + 1);
  EXPECT_FALSE(lifetime_.is_open(old_generation));
  EXPECT_EQ(lifetime_.enter(old_generation), Entered::kClosed);
  EXPECT_EQ(lifetime_.enter(old_generation, Direction::kWrite), Entered::kClosed);
  EXPECT_FALSE(lifetime_.close(old_generation));
  EXPECT_EQ(lifetime_.remove(old_generation), Removed::kClosed);
  EXPECT_TRUE(lifetime_.is_open(generation)) << "the refused calls left it as it was";
}

TEST_F(LifetimeTest, OneReaderAndOneWriterAreInsideTogether) {
  const std::uint32_t generation = begin();
  EXPECT_EQ(lifetime_.enter(generation, Direction::kRead), Entered::kYes);
  EXPECT_EQ(lifetime_.enter(generation, Direction::kWrite), Entered::kYes);
  EXPECT_EQ(lifetime_.enter(generation), Entered::kYes) << "beside both";
  EXPECT_FALSE(lifetime_.leave());
  EXPECT_EQ(lifetime_.leave(Direction::kRead), Lifetime::Left::kNothing);
  EXPECT_EQ(lifetime_.leave(Direction::kWrite), Lifetime::Left::kNothing);
}

TEST_F(LifetimeTest, ASecondReaderOrWriterIsBusyUntilTheFirstHasLeft) {
  const std::uint32_t generation = begin();
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    ASSERT_EQ(lifetime_.enter(generation, direction), Entered::kYes);
    EXPECT_EQ(lifetime_.enter(generation, direction), Entered::kBusy);
    EXPECT_EQ(lifetime_.leave(direction), Lifetime::Left::kNothing);
    EXPECT_EQ(lifetime_.enter(generation, direction), Entered::kYes);
    EXPECT_EQ(lifetime_.leave(direction), Lifetime::Left::kNothing);
  }
}

TEST_F(LifetimeTest, ClosedLetsNobodyInAndTheLastOneOutIsTold) {
  const std::uint32_t generation = begin();
  ASSERT_EQ(lifetime_.enter(generation, Direction::kRead), Entered::kYes);
  ASSERT_EQ(lifetime_.enter(generation, Direction::kWrite), Entered::kYes);
  EXPECT_TRUE(lifetime_.close(generation));
  EXPECT_FALSE(lifetime_.is_open(generation));
  EXPECT_EQ(lifetime_.open_generation(), 0U);
  EXPECT_EQ(lifetime_.enter(generation), Entered::kClosed);
  EXPECT_EQ(lifetime_.enter(generation, Direction::kRead), Entered::kClosed);
  EXPECT_FALSE(lifetime_.leave());
  EXPECT_EQ(lifetime_.leave(Direction::kWrite), Lifetime::Left::kNothing);
  EXPECT_EQ(lifetime_.leave(Direction::kRead), Lifetime::Left::kCloseNumber);
}

TEST_F(LifetimeTest, OnlyTheFirstCloseCloses) {
  const std::uint32_t generation = begin();
  EXPECT_TRUE(lifetime_.close(generation));
  EXPECT_FALSE(lifetime_.close(generation));
  EXPECT_TRUE(lifetime_.leave());
  EXPECT_FALSE(lifetime_.close(generation));
}

TEST_F(LifetimeTest, RemoveClosesOnlyWhenNobodyIsInside) {
  const std::uint32_t generation = begin();
  ASSERT_EQ(lifetime_.enter(generation, Direction::kRead), Entered::kYes);
  EXPECT_EQ(lifetime_.remove(generation), Removed::kBusy);
  EXPECT_TRUE(lifetime_.is_open(generation));
  ASSERT_EQ(lifetime_.leave(Direction::kRead), Lifetime::Left::kNothing);
  EXPECT_EQ(lifetime_.remove(generation), Removed::kYes);
  EXPECT_FALSE(lifetime_.is_open(generation));
  EXPECT_EQ(lifetime_.remove(generation), Removed::kClosed);
  EXPECT_TRUE(lifetime_.leave());
}

// R59 (tokio#6133, #8331): a counter that wraps after 256 lives makes an old event look new.
TEST_F(LifetimeTest, GenerationsDoNotRepeatAfterManyLives) {
  const std::uint32_t first = begin();
  for (std::uint32_t life = 1; life <= 70'000; ++life) {
    const std::uint32_t generation = first + life - 1;
    ASSERT_TRUE(lifetime_.close(generation));
    ASSERT_TRUE(lifetime_.leave());
    ASSERT_EQ(begin(), generation + 1);
    ASSERT_FALSE(lifetime_.is_open(first));
  }
}

// R56 (golang/go#72900): packing must survive all ones, and the wrap must skip "no descriptor".
TEST_F(LifetimeTest, TheLastGenerationWrapsToOneAndNeverToZero) {
  constexpr std::uint32_t kLast = std::numeric_limits<std::uint32_t>::max();
  lifetime_.begin_life(kLast);
  EXPECT_TRUE(lifetime_.is_open(kLast));
  EXPECT_FALSE(lifetime_.is_open(0));
  EXPECT_EQ(lifetime_.enter(kLast, Direction::kRead), Entered::kYes);
  EXPECT_EQ(lifetime_.enter(kLast, Direction::kWrite), Entered::kYes);
  EXPECT_EQ(lifetime_.leave(Direction::kRead), Lifetime::Left::kNothing);
  EXPECT_EQ(lifetime_.leave(Direction::kWrite), Lifetime::Left::kNothing);
  ASSERT_TRUE(lifetime_.close(kLast));
  ASSERT_TRUE(lifetime_.leave());
  EXPECT_EQ(lifetime_.next_generation(), 1U);
  EXPECT_EQ(begin(), 1U);
  EXPECT_TRUE(lifetime_.is_open(1));
}

#if REARM_DEBUG_CHECKS
TEST_F(LifetimeTest, LeavingWithoutEnteringDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  (void)begin();
  EXPECT_DEATH((void)lifetime_.leave(Direction::kRead), "rearm: leave without enter");
}
#endif

}  // namespace
}  // namespace rearm::detail
