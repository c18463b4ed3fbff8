// Races of wake() with the wait that it is meant to end.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>

#include "support/race_test.h"

namespace rearm::test {
namespace {

// One thread collects without a deadline, and looks for posted work whenever it returns. Others
// post and wake. Whatever is posted before a wake must be seen.
class WakeRace : public RaceTest {
 protected:
  void SetUp() override {
    RaceTest::SetUp();
    UniqueFd fd = event_fd();
    rescue_fd_ = fd.get();
    rescue_ = add(std::move(fd));
    settle();
    park(rescue_, Direction::kRead, rescue_waiter_);
    collector_ = std::thread([this] {
      Jitter jitter(11);
      while (!over_.load(std::memory_order_relaxed)) {
        for (std::size_t i = 0; i < kPosters; ++i) {
          seen_[i].store(posted_[i].load(std::memory_order_acquire), std::memory_order_release);
        }
        jitter.delay();  // It looks for work elsewhere: what is posted now must end the wait.
        (void)count_returns(poller().collect(Deadline::never()));
      }
    });
  }

  void TearDown() override {
    over_ = true;
    make_readable(rescue_fd_);  // If a wake was lost, the next one may be, too.
    collector_.join();
    (void)close(rescue_);
    RaceTest::TearDown();
  }

  void post_and_wake(std::size_t poster) {
    posted_[poster].fetch_add(1, std::memory_order_release);
    poller().wake();
  }

  bool is_seen(std::size_t poster) {
    const Deadline patience = Deadline::after(kPatience);
    const std::uint64_t posted = posted_[poster].load(std::memory_order_relaxed);
    while (seen_[poster].load(std::memory_order_acquire) != posted) {
      ::sched_yield();
      if (detail::now_ns() > patience.ns()) return false;
    }
    return true;
  }

  static constexpr std::size_t kPosters = 2;

  std::atomic<std::uint64_t> posted_[kPosters] = {};
  std::atomic<std::uint64_t> seen_[kPosters] = {};
  std::atomic<bool> over_{false};
  int rescue_fd_ = -1;
  Token rescue_;
  CountingWaiter rescue_waiter_;
  std::thread collector_;
};

// Race (R25: golang/go#42237, R27: #53434, R34: zio#503): a wake comes before, in, or after the
// wait, and while the wake before it is being taken. Forbidden: that the collector goes to sleep
// although work was posted and a wake followed.
TEST_P(WakeRace, AWakeIsNeverLostHoweverItFallsOnTheWait) {
  const std::uint64_t all = rounds(25'000);
  Jitter jitter(7);
  for (std::uint64_t i = 0; i < all; ++i) {
    post_and_wake(0);
    jitter.delay();
    post_and_wake(0);  // Falls on the return of the first.
    ASSERT_TRUE(is_seen(0)) << "asleep, though work was posted and a wake followed; round " << i;
  }
}

// Race: two threads wake at once, so that one is merged with the other. Forbidden: that what the
// merged one had posted is not seen.
TEST_P(WakeRace, AMergedWakeIsAsGoodAsItsOwn) {
  const std::uint64_t all = rounds(25'000);
  std::atomic<bool> failed{false};
  const auto poster = [&](std::size_t which) {
    Jitter jitter(static_cast<std::uint32_t>(which));
    for (std::uint64_t i = 0; i < all && !failed; ++i) {
      post_and_wake(which);
      if (!is_seen(which)) failed = true;
      jitter.delay();
    }
  };
  std::thread other(poster, 1);
  poster(0);
  other.join();
  EXPECT_FALSE(failed) << "asleep, though work was posted and a wake followed";
}

INSTANTIATE_TEST_SUITE_P(Backends, WakeRace, ::testing::ValuesIn(tested_backends()),
                         backend_test_name);

}  // namespace
}  // namespace rearm::test
