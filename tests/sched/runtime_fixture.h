// RuntimeTest: a fixture whose runtime is checked at its end: no fiber, stack or descriptor is
// left. WorkersTest: the same, for each number of workers that the suite is instantiated with.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/sanitizer.h"
#include "rearm/runtime.h"
#include "support/leak_check.h"

namespace rearm::test {

// Long enough for any machine: only a test that fails waits for it.
inline constexpr std::chrono::seconds kPatience{20};

// Under a sanitizer everything is ten times slower, and ThreadSanitizer has room for about 8000
// contexts at once.
inline constexpr bool kSanitized = REARM_TSAN != 0 || REARM_ASAN != 0;

inline void expect_nothing_left(const Runtime& runtime) {
  const Runtime::Stats stats = runtime.stats();
  EXPECT_EQ(stats.fibers_alive, 0U) << "a fiber is left";
  EXPECT_EQ(stats.stacks_taken, 0U) << "a stack is left";
  EXPECT_EQ(stats.poller.descriptors, 0U) << "a descriptor is left";
}

[[nodiscard]] inline std::chrono::nanoseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::steady_clock::now() - start;
}

class RuntimeTest : public LeakCheck {
 protected:
  void TearDown() override {
    if (runtime_) expect_nothing_left(*runtime_);
    runtime_.reset();
    LeakCheck::TearDown();
  }

  void open(const Runtime::Options& options) { runtime_.emplace(options); }
  Runtime& runtime() { return *runtime_; }

  template <class F>
  auto run(F&& function) {
    if (!runtime_) open({.workers = 2});
    return runtime_->run(std::forward<F>(function));
  }

 private:
  std::optional<Runtime> runtime_;
};

class WorkersTest : public RuntimeTest, public ::testing::WithParamInterface<std::size_t> {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    open({.workers = GetParam()});
  }
};

inline std::string workers_test_name(const ::testing::TestParamInfo<std::size_t>& info) {
  return std::to_string(info.param) + (info.param == 1 ? "Worker" : "Workers");
}

}  // namespace rearm::test
