// Conformance: which backends, and what they say of themselves. Its first test prints the name of
// the backend, so that a log shows what has been proven.
#include "poller/conformance.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace rearm::test {
namespace {

TEST_P(Conformance, TheBackendHasTheNameItWasAskedForBy) {
  const std::string name(poller().backend_name());
  std::printf("backend: %s\n", name.c_str());
  EXPECT_EQ(name, GetParam());
}

TEST_P(Conformance, ANewPollerHasNothingToSay) {
  EXPECT_EQ(collect_now(), 0U);
  const Poller::Stats stats = poller().stats();
  EXPECT_EQ(stats.descriptors, 0U);
  EXPECT_EQ(stats.events, 0U);
  EXPECT_EQ(stats.stale_events, 0U);
  EXPECT_EQ(stats.wakes, 0U);
}

TEST_P(Conformance, DescriptorsAreCountedUntilTheyAreGone) {
  const Token first = add_quiet();
  const Token second = add_quiet();
  EXPECT_EQ(poller().stats().descriptors, 2U);
  EXPECT_EQ(close(first), 0U);
  EXPECT_EQ(poller().stats().descriptors, 1U);
  const auto fd = poller().remove(second);
  ASSERT_TRUE(fd);
  EXPECT_EQ(poller().stats().descriptors, 0U);
  UniqueFd(*fd).reset();
}

INSTANTIATE_TEST_SUITE_P(Backends, Conformance, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

// Restores REARM_BACKEND, which the whole test program may have been started with.
class BackendChoice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* const value = std::getenv(kVariable)) saved_ = value;
  }
  void TearDown() override {
    if (saved_) {
      ::setenv(kVariable, saved_->c_str(), 1);
    } else {
      ::unsetenv(kVariable);
    }
  }

  static constexpr const char* kVariable = "REARM_BACKEND";
  std::optional<std::string> saved_;
};

TEST_F(BackendChoice, TheFirstInTheListIsTheDefault) {
  ASSERT_FALSE(Poller::backends().empty());
  ::unsetenv(kVariable);
  const auto opened = Poller::open();
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->backend_name(), Poller::backends().front());
}

TEST_F(BackendChoice, TheEnvironmentChoosesWhereTheOptionsDoNot) {
  for (const std::string_view name : Poller::backends()) {
    ::setenv(kVariable, std::string(name).c_str(), 1);
    const auto opened = Poller::open();
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->backend_name(), name);
  }
  ::setenv(kVariable, "no such backend", 1);
  EXPECT_EQ(Poller::open().error(), Errc::kUnknownBackend);
  EXPECT_TRUE(Poller::open({.backend = Poller::backends().front()})) << "the options come first";
  ::setenv(kVariable, "", 1);
  EXPECT_TRUE(Poller::open()) << "an empty variable is no choice";
}

TEST_F(BackendChoice, AnUnknownNameIsAnErrorByName) {
  const auto opened = Poller::open({.backend = "completion ports"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error(), Errc::kUnknownBackend);
}

}  // namespace
}  // namespace rearm::test
