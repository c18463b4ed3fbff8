// Numbers that make no sense, in every option that is a number: refused by name and at once, or
// taken and kept to. Never a fault later.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "rearm/runtime.h"
#include "sched/runtime_fixture.h"

namespace rearm {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();

// What the constructor says of the options; empty if it takes them.
std::string complaint(const Runtime::Options& options) {
  try {
    const Runtime runtime(options);
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(Options, AnAbsurdStackIsRefusedByName) {
  for (const std::size_t bytes : {kMost, kMost - 1, kMost - 4096, kMost / 2, kMost / 4 + 1}) {
    EXPECT_THAT(complaint({.workers = 1, .stack_bytes = bytes}),
                HasSubstr("Runtime::Options::stack_bytes is " + std::to_string(bytes)));
  }
}

TEST(Options, AnAbsurdGuardIsRefusedByName) {
  EXPECT_THAT(complaint({.workers = 1, .guard_bytes = kMost}),
              HasSubstr("Runtime::Options::guard_bytes is " + std::to_string(kMost)));
}

TEST(Options, AnAbsurdNumberOfWorkersIsRefusedByName) {
  for (const std::size_t workers : {kMost, kMost / 2, std::size_t{4097}}) {
    EXPECT_THAT(complaint({.workers = workers}),
                HasSubstr("Runtime::Options::workers is " + std::to_string(workers)));
  }
}

TEST(Options, AnAbsurdStackOfOneFiberIsRefusedByName) {
  Runtime runtime({.workers = 1});
  runtime.run([] {
    for (const std::size_t bytes : {kMost, kMost - 4096, kMost / 2, (std::size_t{1} << 40) + 1}) {
      const auto handle = try_spawn([] {}, {.stack_bytes = bytes});
      ASSERT_FALSE(handle);
      EXPECT_EQ(handle.error(), Errc::kInvalidArgument);
      try {
        spawn([] {}, {.stack_bytes = bytes}).join();
        ADD_FAILURE() << "spawn() took " << bytes;
      } catch (const std::system_error& error) {
        EXPECT_THAT(error.what(), HasSubstr("SpawnOptions::stack_bytes"));
      }
    }
  });
  test::expect_nothing_left(runtime);
}

// Sizes near where arithmetic breaks, and others.
class Extremes {
 public:
  explicit Extremes(std::uint64_t seed) : random_(seed) {}

  std::size_t operator()() {
    const std::uint64_t power = std::uint64_t{1} << (random_() % 64);
    switch (random_() % 5) {
      case 0: return static_cast<std::size_t>(power);
      case 1: return static_cast<std::size_t>(power - 1 - random_() % 4096);
      case 2: return static_cast<std::size_t>(power + random_() % 4096);
      case 3: return kMost - static_cast<std::size_t>(random_() % 70'000);
      default: return static_cast<std::size_t>(random_() % 300);
    }
  }

 private:
  std::mt19937_64 random_;
};

// Constructs a runtime and, where that cannot ask the machine for thousands of threads, runs it.
// Whatever happens has a name.
void try_out(const Runtime::Options& options) {
  try {
    Runtime runtime(options);
    if (options.workers == 0 || options.workers > 4) return;
    runtime.run([] { EXPECT_EQ(spawn([] { return 7; }).join(), 7); });
    test::expect_nothing_left(runtime);
  } catch (const std::system_error& error) {
    EXPECT_TRUE(error.code() == Errc::kInvalidArgument || error.code() == Errc::kStacksExhausted)
        << error.what();
  }
}

TEST(Options, NoNumberIsMetLater) {
  if (test::kSanitized) GTEST_SKIP() << "a sanitizer has no room for shadows of such sizes";
  Extremes extremes(1);
  for (int i = 0; i < 400; ++i) {
    const Runtime::Options options{.workers = extremes() % (i % 2 == 0 ? kMost : 4),
                                   .stack_bytes = extremes(),
                                   .guard_bytes = extremes()};
    SCOPED_TRACE(std::to_string(options.workers) + " workers, " +
                 std::to_string(options.stack_bytes) + " bytes, guarded by " +
                 std::to_string(options.guard_bytes));
    try_out(options);
  }
}

TEST(Options, NoSizeOfOneFibersStackIsMetLater) {
  if (test::kSanitized) GTEST_SKIP() << "a sanitizer has no room for shadows of such sizes";
  Extremes extremes(2);
  Runtime runtime({.workers = 2});
  runtime.run([&] {
    for (int i = 0; i < 400; ++i) {
      const std::size_t bytes = extremes();
      auto handle = try_spawn([] { return 7; }, {.stack_bytes = bytes});
      if (handle) {
        EXPECT_EQ(handle->join(), 7) << bytes;
      } else {
        EXPECT_TRUE(handle.error() == Errc::kInvalidArgument ||
                    handle.error() == Errc::kStacksExhausted)
            << bytes << ": " << handle.error().message();
      }
    }
  });
  test::expect_nothing_left(runtime);
}

}  // namespace
}  // namespace rearm
