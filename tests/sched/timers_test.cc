// The pairing heap of timers, against a std::multimap that does the same slowly.
#include "sched/timers.h"

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/scale.h"

namespace rearm::detail {
namespace {

struct NumberedWaiter final : Waiter {
  int number = 0;
};

// A wait with a timer, parked at once.
struct TimedWait {
  explicit TimedWait(int number) { waiter.number = number; }

  void park() {
    ASSERT_EQ(word.prepare(), WaitWord::Prepared::kPark);
    ASSERT_EQ(word.commit(waiter), WaitWord::Committed::kParked);
  }

  WaitWord word;
  NumberedWaiter waiter;
  Timer timer{word};
};

std::vector<int> numbers_of(WaiterList& list) {
  std::vector<int> numbers;
  while (Waiter* const waiter = list.pop_front()) {
    numbers.push_back(static_cast<NumberedWaiter*>(waiter)->number);
  }
  return numbers;
}

std::vector<int> expire(Timers& timers, std::int64_t now_ns) {
  WaiterList out;
  timers.expire(now_ns, WakeReason::kTimedOut, out);
  return numbers_of(out);
}

TEST(Timers, AreEmptyAtFirst) {
  Timers timers;
  EXPECT_EQ(timers.earliest_ns(), Timers::kNever);
  EXPECT_TRUE(expire(timers, Timers::kNever).empty());
}

TEST(Timers, ExpireInTheOrderOfTheirInstants) {
  Timers timers;
  std::vector<std::unique_ptr<TimedWait>> waits;
  for (const int when : {30, 10, 20, 40, 0}) {
    waits.push_back(std::make_unique<TimedWait>(when));
    waits.back()->park();
    timers.start(waits.back()->timer, when);
  }
  EXPECT_EQ(timers.earliest_ns(), 0);
  EXPECT_EQ(expire(timers, 20), (std::vector{0, 10, 20}));
  EXPECT_EQ(timers.earliest_ns(), 30);
  EXPECT_TRUE(expire(timers, 29).empty());
  EXPECT_EQ(expire(timers, 1000), (std::vector{30, 40}));
  for (const auto& wait : waits) EXPECT_EQ(wait->waiter.reason(), WakeReason::kTimedOut);
  for (const auto& wait : waits) timers.stop(wait->timer);  // After it has expired: nothing.
}

TEST(Timers, TheReasonIsTheCallers) {
  Timers timers;
  TimedWait wait(1);
  wait.park();
  timers.start(wait.timer, Timers::kNever - 1);
  WaiterList out;
  timers.expire(Timers::kNever, WakeReason::kCancelled, out);
  EXPECT_EQ(numbers_of(out), std::vector{1});
  EXPECT_EQ(wait.waiter.reason(), WakeReason::kCancelled);
}

TEST(Timers, AnExpiryBeforeTheParkMakesTheCommitFail) {
  Timers timers;
  TimedWait wait(1);
  ASSERT_EQ(wait.word.prepare(), WaitWord::Prepared::kPark);
  timers.start(wait.timer, 5);
  EXPECT_TRUE(expire(timers, 5).empty());
  EXPECT_EQ(wait.word.commit(wait.waiter), WaitWord::Committed::kDisturbed);
  timers.stop(wait.timer);
}

TEST(Timers, AnExpiryAfterReadinessWakesNobody) {
  Timers timers;
  TimedWait wait(1);
  wait.park();
  timers.start(wait.timer, 5);
  EXPECT_EQ(wait.word.publish().waiter, &wait.waiter);
  EXPECT_TRUE(expire(timers, 5).empty());
  EXPECT_EQ(timers.earliest_ns(), Timers::kNever);
  timers.stop(wait.timer);
}

TEST(Timers, AStoppedTimerMayBeStartedAgain) {
  Timers timers;
  TimedWait first(1);
  TimedWait second(2);
  first.park();
  second.park();
  for (int i = 0; i < 10; ++i) {
    timers.start(first.timer, 10 + i);
    timers.start(second.timer, 20 - i);
    timers.stop(i % 2 == 0 ? first.timer : second.timer);
    timers.stop(i % 2 == 0 ? second.timer : first.timer);
    EXPECT_EQ(timers.earliest_ns(), Timers::kNever);
  }
  timers.start(first.timer, 3);
  EXPECT_EQ(expire(timers, 3), std::vector{1});
}

// Starts, stops and expires at random; a multimap of the same says what must come out.
class TimersAgainstOracle {
 public:
  explicit TimersAgainstOracle(std::uint32_t seed) : random_(seed) {
    for (int i = 0; i < kWaits; ++i) waits_.push_back(std::make_unique<TimedWait>(i));
    when_.resize(kWaits, kStopped);
  }
  ~TimersAgainstOracle() {
    for (const auto& wait : waits_) timers_.stop(wait->timer);
  }

  void step() {
    const auto choice = random_() % 10;
    if (choice < 5) {
      start(pick());
    } else if (choice < 8) {
      stop(pick());
    } else {
      now_ns_ += static_cast<std::int64_t>(random_() % 50);
      expire_both();
    }
    const std::int64_t expected = oracle_.empty() ? Timers::kNever : oracle_.begin()->first;
    ASSERT_EQ(timers_.earliest_ns(), expected);
  }

 private:
  static constexpr int kWaits = 200;
  static constexpr std::int64_t kStopped = -1;

  std::size_t pick() { return random_() % kWaits; }

  void start(std::size_t i) {
    if (when_[i] != kStopped) return;
    waits_[i]->park();
    // Few different instants, so that many are equal.
    when_[i] = now_ns_ + static_cast<std::int64_t>(random_() % 300);
    timers_.start(waits_[i]->timer, when_[i]);
    oracle_.emplace(when_[i], i);
  }

  void stop(std::size_t i) {
    timers_.stop(waits_[i]->timer);
    if (when_[i] == kStopped) return;
    EXPECT_EQ(waits_[i]->word.withdraw(), &waits_[i]->waiter) << "the stopped timer had acted";
    forget(i);
  }

  void expire_both() {
    std::int64_t last = std::numeric_limits<std::int64_t>::min();
    for (const int number : expire(timers_, now_ns_)) {
      const auto i = static_cast<std::size_t>(number);
      ASSERT_NE(when_[i], kStopped);
      EXPECT_LE(when_[i], now_ns_);
      EXPECT_LE(last, when_[i]);
      last = when_[i];
      forget(i);
    }
    EXPECT_TRUE(oracle_.empty() || oracle_.begin()->first > now_ns_) << "one did not expire";
  }

  void forget(std::size_t i) {
    const auto [begin, end] = oracle_.equal_range(when_[i]);
    for (auto entry = begin; entry != end; ++entry) {
      if (entry->second != i) continue;
      oracle_.erase(entry);
      break;
    }
    when_[i] = kStopped;
  }

  std::mt19937 random_;
  Timers timers_;
  std::int64_t now_ns_ = 0;
  std::vector<std::unique_ptr<TimedWait>> waits_;
  std::vector<std::int64_t> when_;
  std::multimap<std::int64_t, std::size_t> oracle_;
};

TEST(Timers, AgreeWithAMultimap) {
  const std::uint64_t steps = test::scaled(20'000);
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    TimersAgainstOracle both(seed);
    for (std::uint64_t i = 0; i < steps; ++i) {
      both.step();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Race: start() and stop() by one thread against expire() by another. Forbidden: a waiter that
// comes back from both or from none, and an expiry that touches a wait after stop() has returned.
TEST(Timers, StoppingRacesWithExpiring) {
  const std::uint64_t rounds = test::scaled(20'000);
  Timers timers;
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> expired{0};
  std::thread expirer([&] {
    while (!over.load()) {
      WaiterList out;
      timers.expire(Timers::kNever - 1, WakeReason::kTimedOut, out);
      expired += numbers_of(out).size();
    }
  });
  std::uint64_t stopped = 0;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    // On purpose in memory that is gone after each round: a late expiry would be a use after free.
    std::vector<std::unique_ptr<TimedWait>> waits;
    for (int k = 0; k < 4; ++k) {
      waits.push_back(std::make_unique<TimedWait>(k));
      waits.back()->park();
      timers.start(waits.back()->timer, static_cast<std::int64_t>(i));
    }
    for (const auto& wait : waits) timers.stop(wait->timer);
    std::uint64_t mine = 0;
    for (const auto& wait : waits) mine += wait->word.withdraw() != nullptr ? 1U : 0U;
    stopped += mine;
    while (expired.load() + stopped < 4 * (i + 1)) std::this_thread::yield();
  }
  over.store(true);
  expirer.join();
  EXPECT_EQ(expired.load() + stopped, 4 * rounds);
}

}  // namespace
}  // namespace rearm::detail
