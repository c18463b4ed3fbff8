// Ready: the set of directions that a report speaks of.
#include <gtest/gtest.h>

#include "poller/backend.h"

namespace rearm::detail {
namespace {

constexpr Ready kRead = Ready::of(Direction::kRead);
constexpr Ready kWrite = Ready::of(Direction::kWrite);

TEST(Ready, HoldsTheDirectionsItWasMadeOf) {
  EXPECT_TRUE(Ready::none().empty());
  EXPECT_TRUE(kRead.has(Direction::kRead));
  EXPECT_FALSE(kRead.has(Direction::kWrite));
  EXPECT_EQ(kRead | kWrite, Ready::both());
}

TEST(Ready, AHangUpIsReadinessOfBothDirections) {
  EXPECT_TRUE(Ready::hang_up().has(Direction::kRead));
  EXPECT_TRUE(Ready::hang_up().has(Direction::kWrite));
  EXPECT_TRUE(Ready::hang_up().has_hang_up());
  EXPECT_FALSE(Ready::both().has_hang_up());
}

TEST(Ready, WithoutRemovesAndLeavesTheRest) {
  EXPECT_EQ(Ready::both().without(kRead), kWrite);
  EXPECT_EQ(kWrite.without(kRead), kWrite);
  EXPECT_TRUE(Ready::both().without(Ready::hang_up()).empty());
  EXPECT_TRUE(Ready::none().without(Ready::both()).empty());
}

}  // namespace
}  // namespace rearm::detail
