// Signals at every thread, a thousand a second, have no effect on waits, sleeps and joins.
#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "sched/signal_storm.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;

class SignalsTest : public test::WorkersTest {
 protected:
  void SetUp() override {
    WorkersTest::SetUp();
    before_ = test::SignalStorm::received();
    storm_.emplace();
  }
  void TearDown() override {
    storm_.reset();
    EXPECT_GT(test::SignalStorm::received(), before_) << "there was no storm";
    WorkersTest::TearDown();
  }

 private:
  std::optional<test::SignalStorm> storm_;
  long before_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Scheduler, SignalsTest, ::testing::Values(1, 3), test::workers_test_name);

TEST_P(SignalsTest, ASleepIsNotCutShort) {
  run([] {
    for (int i = 0; i < 10; ++i) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_TRUE(this_fiber::sleep_for(7ms));
      EXPECT_GE(test::since(start), 7ms);
    }
  });
}

TEST_P(SignalsTest, AJoinAndItsDeadlineHold) {
  run([] {
    auto child = spawn([] {
      EXPECT_TRUE(this_fiber::sleep_for(30ms));
      return 1;
    });
    const auto start = std::chrono::steady_clock::now();
    const bool ended = child.wait(Deadline::after(10ms));
    EXPECT_TRUE(ended || test::since(start) >= 10ms);
    EXPECT_EQ(child.join(), 1);
  });
}

TEST_P(SignalsTest, APlainThreadsJoinHolds) {
  auto handle = runtime().spawn([] {
    EXPECT_TRUE(this_fiber::sleep_for(20ms));
    return 2;
  });
  std::thread joiner([&] { EXPECT_EQ(handle.join(), 2); });
  run([] {});
  joiner.join();
}

TEST_P(SignalsTest, FibersThatThrowAndParkGoOn) {
  std::atomic<int> caught{0};
  run([&] {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 20; ++i) {
      handles.push_back(spawn([&] {
        for (int k = 0; k < 20; ++k) {
          try {
            throw std::runtime_error("x");
          } catch (const std::runtime_error&) {
            (void)this_fiber::sleep_for(1ms);
            ++caught;
          }
        }
      }));
    }
    for (auto& handle : handles) handle.join();
  });
  EXPECT_EQ(caught.load(), 400);
}

}  // namespace
}  // namespace rearm
