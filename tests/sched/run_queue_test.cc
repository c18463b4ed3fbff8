// The run queue: the owner's ends, its limits, and thieves. The fibers here never run.
#include "sched/run_queue.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/scale.h"

namespace rearm::detail {
namespace {

// Places that stand for fibers; nobody looks at what is there, so they cost only address space.
class FakeFibers {
 public:
  explicit FakeFibers(std::size_t count)
      : memory_(std::make_unique_for_overwrite<Place[]>(count)) {}

  Fiber& operator[](std::size_t i) { return *reinterpret_cast<Fiber*>(&memory_[i]); }
  std::size_t number(const Fiber* fiber) const {
    return static_cast<std::size_t>(reinterpret_cast<const Place*>(fiber) - memory_.get());
  }

 private:
  struct alignas(Fiber) Place {
    std::byte bytes[sizeof(Fiber)];
  };
  std::unique_ptr<Place[]> memory_;
};

// What the owner does, with thieves about and without.
class RunQueueOwner : public ::testing::TestWithParam<RunQueue::Thieves> {};

INSTANTIATE_TEST_SUITE_P(RunQueue, RunQueueOwner,
                         ::testing::Values(RunQueue::Thieves::kNone, RunQueue::Thieves::kSome),
                         [](const auto& parameter) {
                           return parameter.param == RunQueue::Thieves::kNone ? "Alone" : "Shared";
                         });

TEST_P(RunQueueOwner, IsFirstInFirstOut) {
  FakeFibers fibers(3);
  RunQueue queue(GetParam());
  EXPECT_EQ(queue.pop(), nullptr);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(queue.push(fibers[i]));
  EXPECT_EQ(queue.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(queue.pop(), &fibers[i]);
  EXPECT_EQ(queue.pop(), nullptr);
}

TEST_P(RunQueueOwner, RefusesWhatDoesNotFit) {
  FakeFibers fibers(RunQueue::kCapacity + 1);
  RunQueue queue(GetParam());
  for (std::size_t i = 0; i < RunQueue::kCapacity; ++i) ASSERT_TRUE(queue.push(fibers[i]));
  EXPECT_FALSE(queue.push(fibers[RunQueue::kCapacity]));
  EXPECT_EQ(queue.pop(), &fibers[0]);
  EXPECT_TRUE(queue.push(fibers[RunQueue::kCapacity]));
  EXPECT_EQ(queue.size(), RunQueue::kCapacity);
}

TEST_P(RunQueueOwner, KeepsItsOrderWhenTheRingWraps) {
  FakeFibers fibers(10 * RunQueue::kCapacity);
  RunQueue queue(GetParam());
  std::size_t pushed = 0;
  std::size_t popped = 0;
  while (popped < 10 * RunQueue::kCapacity) {
    for (int i = 0; i < 300 && pushed < 10 * RunQueue::kCapacity; ++i) {
      if (!queue.push(fibers[pushed])) break;
      ++pushed;
    }
    for (int i = 0; i < 200; ++i) {
      Fiber* const fiber = queue.pop();
      if (fiber == nullptr) break;
      ASSERT_EQ(fiber, &fibers[popped]);
      ++popped;
    }
  }
}

TEST_P(RunQueueOwner, TheNextSlotHoldsOneAndReturnsTheDisplaced) {
  FakeFibers fibers(2);
  RunQueue queue(GetParam());
  EXPECT_EQ(queue.pop_next(), nullptr);
  EXPECT_EQ(queue.push_next(fibers[0]), nullptr);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.pop(), nullptr);  // The ring is another place.
  EXPECT_EQ(queue.push_next(fibers[1]), &fibers[0]);
  EXPECT_EQ(queue.pop_next(), &fibers[1]);
  EXPECT_EQ(queue.size(), 0U);
}

TEST(RunQueue, AThiefTakesTheOlderHalf) {
  for (const std::size_t size : {1U, 2U, 3U, 8U, 9U, RunQueue::kCapacity}) {
    SCOPED_TRACE(size);
    FakeFibers fibers(size);
    RunQueue victim;
    RunQueue thief;
    for (std::size_t i = 0; i < size; ++i) ASSERT_TRUE(victim.push(fibers[i]));
    const std::size_t stolen = size - size / 2;
    Fiber* const first = victim.steal_into(thief);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(thief.size(), stolen - 1);
    EXPECT_EQ(victim.size(), size - stolen);
    std::set<std::size_t> taken{fibers.number(first)};
    while (Fiber* const fiber = thief.pop()) taken.insert(fibers.number(fiber));
    EXPECT_EQ(taken.size(), stolen);
    EXPECT_EQ(*taken.rbegin(), stolen - 1);
    for (std::size_t i = stolen; i < size; ++i) EXPECT_EQ(victim.pop(), &fibers[i]);
  }
}

TEST(RunQueue, AThiefTakesTheNextSlotByItself) {
  FakeFibers fibers(2);
  RunQueue victim;
  RunQueue thief;
  EXPECT_EQ(victim.push_next(fibers[0]), nullptr);
  ASSERT_TRUE(victim.push(fibers[1]));
  EXPECT_EQ(victim.steal_into(thief), &fibers[1]);
  EXPECT_EQ(victim.steal_into(thief), nullptr);
  EXPECT_EQ(victim.size(), 1U);
  EXPECT_EQ(victim.ring_size(), 0U);
  EXPECT_EQ(victim.steal_next(), &fibers[0]);
  EXPECT_EQ(victim.steal_next(), nullptr);
  EXPECT_EQ(thief.size(), 0U);
}

// Race: the owner (push, push_next, pop, pop_next) against two thieves. Forbidden: a fiber that is
// taken twice, or never.
TEST(RunQueue, EveryFiberIsTakenExactlyOnce) {
  const std::size_t count = test::scaled(200'000);
  FakeFibers fibers(count);
  const auto taken = std::make_unique<std::atomic<unsigned char>[]>(count);
  std::atomic<std::size_t> total{0};
  const auto take = [&](const Fiber* fiber) {
    taken[fibers.number(fiber)].fetch_add(1, std::memory_order_relaxed);
    total.fetch_add(1, std::memory_order_relaxed);
  };
  RunQueue queue;
  std::vector<std::thread> thieves;
  for (int i = 0; i < 2; ++i) {
    thieves.emplace_back([&] {
      RunQueue own;
      while (total.load(std::memory_order_relaxed) < count) {
        Fiber* first = queue.steal_into(own);
        if (first == nullptr) first = queue.steal_next();
        if (first == nullptr) {
          std::this_thread::yield();
          continue;
        }
        take(first);
        while (Fiber* const fiber = own.pop()) take(fiber);
      }
    });
  }
  for (std::size_t i = 0; i < count; ++i) {
    Fiber* waiting = i % 3 == 0 ? queue.push_next(fibers[i]) : &fibers[i];
    while (waiting != nullptr && !queue.push(*waiting)) {
      if (Fiber* const fiber = queue.pop()) take(fiber);
    }
    if (i % 5 == 0) {
      if (Fiber* const fiber = queue.pop()) take(fiber);
      if (Fiber* const fiber = queue.pop_next()) take(fiber);
    }
  }
  while (Fiber* const fiber = queue.pop()) take(fiber);
  if (Fiber* const fiber = queue.pop_next()) take(fiber);
  for (std::thread& thief : thieves) thief.join();
  EXPECT_EQ(total.load(), count);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(taken[i].load(), 1) << "fiber " << i;
}

}  // namespace
}  // namespace rearm::detail
