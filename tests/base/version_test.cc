// The version that the headers say is the one that the library was compiled with.
#include "rearm/version.h"

#include <gtest/gtest.h>

namespace rearm {
namespace {

TEST(Version, OfTheLinkedLibraryIsThatOfTheHeaders) {
  EXPECT_EQ(linked_version(), std::uint32_t{REARM_VERSION});
  EXPECT_EQ(linked_version(),
            REARM_VERSION_MAJOR * 10'000U + REARM_VERSION_MINOR * 100U + REARM_VERSION_PATCH);
}

}  // namespace
}  // namespace rearm
