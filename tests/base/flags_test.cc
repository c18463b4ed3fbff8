#include "support/flags.h"

#include <array>
#include <cstdint>

#include <gtest/gtest.h>

namespace rearm::test {
namespace {

struct Options {
  bool verbose = false;
  bool hold = true;
  std::string name;
  std::uint64_t seed = 1;
  int bound = -1;
  double seconds = 0.5;
};

template <class... Arguments>
std::optional<int> parse(Options& options, Arguments... arguments) {
  Flags flags("A program.");
  flags.add("--verbose", options.verbose, "say more");
  flags.add_off("--no-hold", options.hold, "hold nothing");
  flags.add("--name", options.name, "a text");
  flags.add("--seed", options.seed, "a number");
  flags.add("--bound", options.bound, "one that may be negative");
  flags.add("--seconds", options.seconds, "one with a fraction");
  const std::array<const char*, sizeof...(arguments) + 1> argv{"program", arguments...};
  return flags.parse(static_cast<int>(argv.size()), argv.data());
}

TEST(Flags, ReadsEveryKindOfValue) {
  Options options;
  EXPECT_EQ(parse(options, "--verbose", "--no-hold", "--name", "read+report", "--seed",
                  "18446744073709551615", "--bound=-2", "--seconds", "0.25"),
            std::nullopt);
  EXPECT_TRUE(options.verbose);
  EXPECT_FALSE(options.hold);
  EXPECT_EQ(options.name, "read+report");
  EXPECT_EQ(options.seed, 18446744073709551615ull);
  EXPECT_EQ(options.bound, -2);
  EXPECT_EQ(options.seconds, 0.25);
}

TEST(Flags, LeavesWhatIsNotNamed) {
  Options options;
  EXPECT_EQ(parse(options), std::nullopt);
  EXPECT_TRUE(options.hold);
  EXPECT_EQ(options.seed, 1u);
}

TEST(Flags, RefusesWhatItDoesNotUnderstand) {
  Options options;
  EXPECT_EQ(parse(options, "--sede", "7"), Flags::kMistake);
  EXPECT_EQ(parse(options, "--seed"), Flags::kMistake);
  EXPECT_EQ(parse(options, "--seed", "7x"), Flags::kMistake);
  EXPECT_EQ(parse(options, "--seed", "-7"), Flags::kMistake);
  EXPECT_EQ(parse(options, "--seed", "18446744073709551616"), Flags::kMistake);
  EXPECT_EQ(parse(options, "--seed="), Flags::kMistake);
  EXPECT_EQ(parse(options, "--seconds", ""), Flags::kMistake);
  EXPECT_EQ(parse(options, "--verbose=1"), Flags::kMistake);
  EXPECT_EQ(parse(options, "read"), Flags::kMistake);
  EXPECT_EQ(options.seed, 1u) << "and a value that is refused changes nothing";
}

TEST(Flags, HelpEndsTheProgramWell) {
  Options options;
  EXPECT_EQ(parse(options, "--help"), 0);
}

}  // namespace
}  // namespace rearm::test
