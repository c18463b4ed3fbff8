// Stacks: the pool, the cache in front of it, guards, colours, trimming, and deep fibers.
#include "sched/stack.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "sched/stacks.h"

namespace rearm::detail {
namespace {

const std::size_t kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

void give_back(StackPool& pool, Stack* stack) {
  stack->next_free = nullptr;
  pool.give_back(stack, 1);
}

// The types of mincore()'s arguments are each system's own.
template <class Address, class State>
std::size_t count_resident(int (*function)(Address, std::size_t, State*), std::byte* base,
                           std::size_t pages) {
  std::vector<State> resident(pages);
  void* const address = base;
  if (function(static_cast<Address>(address), pages * kPage, resident.data()) != 0) return pages;
  return static_cast<std::size_t>(
      std::ranges::count_if(resident, [](State page) { return (page & 1) != 0; }));
}

// How many pages of the usable part of a stack are in memory.
std::size_t resident_pages(const Stack& stack) {
  return count_resident(&::mincore, stack.base, stack.bytes / kPage);
}

// The kernel refuses to read there on our behalf.
class Prober {
 public:
  Prober() { EXPECT_EQ(::pipe(ends_), 0); }
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;
  ~Prober() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  bool is_guarded(const std::byte* address) const { return !can_be_read(address); }
  bool can_be_read(const std::byte* address) const { return ::write(ends_[1], address, 1) == 1; }

 private:
  int ends_[2];
};

TEST(StackPool, StacksAreOfTheSizeAskedForAndDoNotOverlap) {
  constexpr std::size_t kBytes = 64 * 1024;
  StackPool pool(kBytes);
  std::vector<Stack*> stacks;
  for (int i = 0; i < 200; ++i) {
    Stack* const stack = pool.take();
    ASSERT_NE(stack, nullptr);
    EXPECT_GT(stack->bytes, kBytes - 2 * kPage);
    EXPECT_LE(stack->bytes, kBytes);
    std::memset(stack->base, i, stack->bytes);
    stacks.push_back(stack);
  }
  EXPECT_EQ(pool.taken(), 200U);
  for (std::size_t i = 0; i < stacks.size(); ++i) {
    const auto filled = static_cast<std::byte>(i);
    EXPECT_EQ(stacks[i]->base[0], filled);
    EXPECT_EQ(stacks[i]->base[stacks[i]->bytes - 1], filled);
  }
  for (Stack* const stack : stacks) give_back(pool, stack);
  EXPECT_EQ(pool.taken(), 0U);
}

TEST(StackPool, SizesAreRoundedUp) {
  EXPECT_EQ(StackPool(0).stack_bytes(), StackPool::kMinStackBytes);
  EXPECT_EQ(StackPool(1).stack_bytes(), StackPool::kMinStackBytes);
  EXPECT_EQ(StackPool(256 * 1024).stack_bytes(), 256U * 1024);
  EXPECT_EQ(StackPool(256 * 1024 + 1).stack_bytes(), 256U * 1024 + kPage);
}

TEST(StackPool, TheLastGivenBackIsTheFirstTaken) {
  StackPool pool(64 * 1024);
  Stack* const first = pool.take();
  Stack* const second = pool.take();
  give_back(pool, first);
  give_back(pool, second);
  EXPECT_EQ(pool.take(), second);
  EXPECT_EQ(pool.take(), first);
  give_back(pool, first);
  give_back(pool, second);
}

std::vector<Stack*> take_many(StackPool& pool, std::size_t count) {
  std::vector<Stack*> stacks;
  for (std::size_t i = 0; i < count; ++i) {
    stacks.push_back(pool.take());
    std::memset(stacks.back()->base, 1, stacks.back()->bytes);
  }
  return stacks;
}

// Copies of what the stacks say, which is gone with their memory.
std::vector<Stack> copies(const std::vector<Stack*>& stacks) {
  std::vector<Stack> all;
  for (const Stack* const stack : stacks) all.push_back(*stack);
  return all;
}

std::size_t resident_pages(const std::vector<Stack>& stacks) {
  std::size_t pages = 0;
  for (const Stack& stack : stacks) pages += resident_pages(stack);
  return pages;
}

void end_period(StackPool& pool) {
  pool.end_period();
  while (pool.trim_surplus()) {
  }
}

// The next fiber touches the same pages again.
TEST(StackPool, GivingBackMakesNoSystemCalls) {
  StackPool pool(64 * 1024);
  const std::vector<Stack*> stacks = take_many(pool, 200);
  const std::vector<Stack> known = copies(stacks);
  {
    StackCache cache(pool);
    for (Stack* const stack : stacks) cache.give_back(*stack);
  }
  EXPECT_EQ(pool.warm(), 200U);
  EXPECT_EQ(resident_pages(known), 200 * (known[0].bytes / kPage));
}

#if defined(__linux__)  // Others take memory when they need it.

TEST(StackPool, AllThatIsFreeGoesWhenItIsTrimmed) {
  StackPool pool(64 * 1024);
  std::vector<Stack*> stacks = take_many(pool, 100);
  const std::vector<Stack> known = copies(stacks);
  for (Stack* const stack : stacks) give_back(pool, stack);
  pool.trim();
  EXPECT_EQ(pool.warm(), 0U);
  EXPECT_EQ(resident_pages(known), 0U);
  // And they can be used again, guard and all.
  stacks = take_many(pool, 100);
  EXPECT_EQ(pool.taken(), 100U);
  for (Stack* const stack : stacks) give_back(pool, stack);
}

TEST(StackPool, WhatIsInUseIsNotTrimmed) {
  StackPool pool(64 * 1024);
  const std::vector<Stack*> stacks = take_many(pool, 100);
  for (std::size_t i = 0; i < stacks.size(); i += 2) give_back(pool, stacks[i]);
  pool.trim();
  for (std::size_t i = 1; i < stacks.size(); i += 2) {
    EXPECT_EQ(resident_pages(*stacks[i]), stacks[i]->bytes / kPage);
    EXPECT_EQ(stacks[i]->base[0], std::byte{1});
    give_back(pool, stacks[i]);
  }
}

TEST(StackPool, AfterABurstTheMemoryGoesByHalves) {
  constexpr std::size_t kStacks = 320;
  StackPool pool(64 * 1024);
  const std::vector<Stack*> stacks = take_many(pool, kStacks);
  const std::vector<Stack> known = copies(stacks);
  const std::size_t all = resident_pages(known);
  for (Stack* const stack : stacks) give_back(pool, stack);
  end_period(pool);
  EXPECT_EQ(resident_pages(known), all) << "the burst was in this period";
  end_period(pool);
  EXPECT_EQ(pool.warm(), kStacks / 2);
  EXPECT_EQ(resident_pages(known), all / 2);
  for (int i = 0; i < 3; ++i) end_period(pool);
  EXPECT_LE(resident_pages(known), all / 10);
  for (int i = 0; i < 6; ++i) end_period(pool);
  EXPECT_EQ(resident_pages(known), 0U);
}

TEST(StackPool, ALoadThatComesAndGoesKeepsItsMemory) {
  StackPool pool(64 * 1024);
  std::vector<Stack*> stacks = take_many(pool, 100);
  const std::vector<Stack> known = copies(stacks);
  const std::size_t all = resident_pages(known);
  for (int period = 0; period < 10; ++period) {
    for (Stack* const stack : stacks) give_back(pool, stack);
    EXPECT_EQ(resident_pages(known), all);
    for (Stack*& stack : stacks) stack = pool.take();
    end_period(pool);
  }
  for (Stack* const stack : stacks) give_back(pool, stack);
}

#endif

// A worker that looks ahead may look at a fiber that is gone.
TEST(StackPool, TheAddressesOfStacksThatAreGoneCanBeRead) {
  StackPool pool(64 * 1024);
  const std::vector<Stack*> stacks = take_many(pool, 100);
  for (Stack* const stack : stacks) give_back(pool, stack);
  pool.trim();
  for (const Stack* const stack : stacks) {
    EXPECT_TRUE(Prober().can_be_read(reinterpret_cast<const std::byte*>(stack)));
  }
}

TEST(StackPool, NeighboursBeginAtDifferentColours) {
  StackPool pool(64 * 1024);
  std::vector<Stack*> stacks;
  std::set<std::uintptr_t> places;
  for (int i = 0; i < 16; ++i) {
    stacks.push_back(pool.take());
    places.insert(reinterpret_cast<std::uintptr_t>(stacks.back()->top()) % kPage);
  }
  EXPECT_EQ(places.size(), 16U);
  for (Stack* const stack : stacks) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(stack->top()) % 64, 0U);
    give_back(pool, stack);
  }
}

TEST(StackPool, TheGuardIsBelowTheStackAndNowhereElse) {
  StackPool pool(64 * 1024);
  Stack* const stack = pool.take();
  const std::size_t guard = pool.guard_bytes();
  EXPECT_EQ(guard, StackPool::kDefaultGuardBytes);
  EXPECT_FALSE(stack->guards(stack->base, guard));
  EXPECT_TRUE(stack->guards(stack->base - 1, guard));
  EXPECT_TRUE(stack->guards(stack->base - guard, guard));
  EXPECT_FALSE(stack->guards(stack->base - guard - 1, guard));
  const Prober prober;
  EXPECT_FALSE(prober.is_guarded(stack->base));
  EXPECT_TRUE(prober.is_guarded(stack->base - 1));
  EXPECT_TRUE(prober.is_guarded(stack->base - guard));
  give_back(pool, stack);
}

// Pages of 64 KiB, as some kernels for ARM and POWER have them. A guard of less would take a part
// of the stack with it, and no other one could begin between two pages.
TEST(StackPool, GuardsAndStacksAreWholePagesHoweverLargeThoseAre) {
  constexpr std::size_t kLargePage = 64 * 1024;
  StackPool pool(256 * 1024, 1, kLargePage);
  EXPECT_EQ(pool.guard_bytes(), kLargePage);
  std::vector<Stack*> stacks;
  for (int i = 0; i < 3; ++i) stacks.push_back(pool.take());
  const Prober prober;
  for (const Stack* const stack : stacks) {
    ASSERT_NE(stack, nullptr);
    EXPECT_EQ((stack->base - stacks.front()->base) % std::ptrdiff_t{kLargePage}, 0);
    EXPECT_TRUE(prober.is_guarded(stack->base - 1));
    EXPECT_TRUE(prober.is_guarded(stack->base - kLargePage));
    EXPECT_FALSE(prober.is_guarded(stack->base));
  }
  for (Stack* const stack : stacks) give_back(pool, stack);
  EXPECT_EQ(StackPool(1, 1, kLargePage).stack_bytes(), kLargePage);
}

TEST(StackPool, ServesSeveralThreadsAtOnce) {
  StackPool pool(32 * 1024);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        Stack* list = nullptr;
        for (int i = 0; i < 20; ++i) {
          Stack* const stack = pool.take();
          ASSERT_NE(stack, nullptr);
          stack->base[stack->bytes - 1] = std::byte{1};
          stack->next_free = list;
          list = stack;
        }
        pool.give_back(list, 20);
      }
    });
  }
  threads.emplace_back([&] {
    for (int round = 0; round < 200; ++round) {
      if (round % 50 == 0) pool.trim();
      pool.end_period();
      (void)pool.trim_surplus();
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.taken(), 0U);
  pool.trim();
  EXPECT_EQ(pool.warm(), 0U);
}

TEST(StackCache, KeepsAFewAndGivesTheRestBack) {
  StackPool pool(32 * 1024);
  {
    StackCache cache(pool);
    std::vector<Stack*> stacks;
    for (int i = 0; i < 300; ++i) stacks.push_back(cache.take());
    EXPECT_EQ(pool.taken(), 300U);
    for (Stack* const stack : stacks) cache.give_back(*stack);
    EXPECT_LT(pool.taken(), 100U);
    EXPECT_GT(pool.taken(), 0U);
    const std::size_t cached = pool.taken();
    Stack* const reused = cache.take();
    EXPECT_EQ(reused, stacks.back());
    EXPECT_EQ(pool.taken(), cached);
    cache.give_back(*reused);
  }
  EXPECT_EQ(pool.taken(), 0U);
}

// Each stack is in one place: what the cache counts is there without the pool, and the pool hands
// out nothing that the cache still has.
TEST(StackCache, CountsWhatItHas) {
  StackPool pool(32 * 1024);
  StackCache cache(pool);
  std::vector<Stack*> stacks;
  for (int i = 0; i < 300; ++i) stacks.push_back(cache.take());
  for (Stack* const stack : stacks) cache.give_back(*stack);
  std::set<Stack*> all;
  EXPECT_EQ(pool.taken(), cache.size());
  EXPECT_EQ(pool.warm(), stacks.size() - cache.size());
  for (std::size_t n = cache.size(); n > 0; --n) {
    const std::size_t taken = pool.taken();
    all.insert(cache.take());
    EXPECT_EQ(pool.taken(), taken) << "with " << n << " left";
  }
  EXPECT_EQ(cache.size(), 0U);
  for (std::size_t n = pool.warm(); n > 0; --n) all.insert(pool.take());
  EXPECT_EQ(all.size(), stacks.size()) << "a stack is in two places, or in none";
  for (Stack* const stack : all) cache.give_back(*stack);
}

TEST(StackCache, LendsWhatItHasWhileItsWorkerSleeps) {
  StackPool pool(32 * 1024);
  StackCache cache(pool);
  std::vector<Stack*> stacks;
  for (int i = 0; i < 20; ++i) stacks.push_back(cache.take());
  for (Stack* const stack : stacks) cache.give_back(*stack);
  cache.lend();
  EXPECT_TRUE(cache.has_lent());
  cache.take_back();
  EXPECT_EQ(cache.take(), stacks.back());
  cache.give_back(*stacks.back());
  EXPECT_EQ(pool.taken(), 20U);
  cache.lend();
  cache.reclaim();
  EXPECT_FALSE(cache.has_lent());
  EXPECT_EQ(pool.taken(), 0U);
  cache.take_back();
  EXPECT_EQ(cache.size(), 0U);
  cache.give_back(*cache.take());
}

TEST(StackCache, FewAreNotLent) {
  StackPool pool(32 * 1024);
  StackCache cache(pool);
  Stack* const stack = cache.take();
  cache.give_back(*stack);
  cache.lend();
  cache.reclaim();
  cache.take_back();
  EXPECT_EQ(pool.taken(), 1U);
  EXPECT_EQ(cache.take(), stack);
  cache.give_back(*stack);
}

class DeepStackTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, DeepStackTest, ::testing::Values(1, 2),
                         test::workers_test_name);

// Uses about `bytes` of stack in frames of a KiB, parks at the bottom, and checks on the way up
// that nobody wrote there.
[[gnu::noinline]] bool dive(std::size_t bytes, int seed) {
  volatile unsigned char frame[1024];
  for (std::size_t i = 0; i < sizeof(frame); ++i) {
    frame[i] = static_cast<unsigned char>(i + static_cast<std::size_t>(seed));
  }
  bool intact = true;
  if (bytes > sizeof(frame)) {
    intact = dive(bytes - sizeof(frame), seed + 1);
  } else {
    this_fiber::yield();
    (void)this_fiber::sleep_for(std::chrono::microseconds(100));
  }
  for (std::size_t i = 0; i < sizeof(frame); ++i) {
    intact = intact && frame[i] == static_cast<unsigned char>(i + static_cast<std::size_t>(seed));
  }
  return intact;
}

TEST_P(DeepStackTest, AFiberUsesTwoHundredKiBOfItsStack) {
  // A sanitizer's frames are larger than what they hold.
  constexpr std::size_t kDepth = test::kSanitized ? 100 * 1024 : 180 * 1024;
  run([] {
    std::vector<JoinHandle<bool>> handles;
    for (int i = 0; i < 40; ++i) handles.push_back(rearm::spawn([i] { return dive(kDepth, i); }));
    for (auto& handle : handles) EXPECT_TRUE(handle.join());
  });
}

TEST_P(DeepStackTest, AFiberMayAskForAStackOfItsOwnSize) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  run([] {
    for (int round = 0; round < 3; ++round) {
      std::vector<JoinHandle<bool>> handles;
      for (int i = 0; i < 20; ++i) {
        handles.push_back(rearm::spawn([i] { return dive(6 * kMiB, i); },
                                       {.name = "deep", .stack_bytes = 10 * kMiB}));
        handles.push_back(rearm::spawn([i] { return dive(8 * 1024, i); }, {.stack_bytes = 1}));
        handles.push_back(rearm::spawn([i] { return dive(8 * 1024, i); }));
      }
      for (auto& handle : handles) EXPECT_TRUE(handle.join());
    }
  });
}

TEST(Stacks, SizesArePoolsByPowersOfTwo) {
  Stacks stacks(256 * 1024, StackPool::kDefaultGuardBytes);
  EXPECT_EQ(stacks.of_size(256 * 1024), &stacks.usual());
  EXPECT_EQ(stacks.of_size(256 * 1024 - 1), &stacks.usual());
  StackPool* const large = stacks.of_size(300 * 1024);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(large->stack_bytes(), 512U * 1024);
  EXPECT_EQ(stacks.of_size(512 * 1024), large);
  EXPECT_EQ(stacks.of_size(1)->stack_bytes(), StackPool::kMinStackBytes);
  Stack* const one = large->take();
  EXPECT_EQ(stacks.taken(), 1U);
  EXPECT_FALSE(stacks.has_warm());
  give_back(*large, one);
  EXPECT_TRUE(stacks.has_warm());
  for (int i = 0; i < 3; ++i) {
    stacks.end_period();
    while (stacks.trim_surplus()) {
    }
  }
  EXPECT_FALSE(stacks.has_warm()) << "the pools of other sizes are trimmed, too";
}

TEST_P(DeepStackTest, AStackIsReusedAfterADeepDive) {
  run([] {
    for (int i = 0; i < 300; ++i) {
      EXPECT_TRUE(rearm::spawn([i] { return dive(16 * 1024, i); }).join());
    }
  });
}

}  // namespace
}  // namespace rearm::detail
