// DescriptorTable: slots are found by number, and their memory never becomes anything else (G3).
#include "poller/descriptor_table.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/race.h"
#include "support/scale.h"

namespace rearm::detail {
namespace {

// Tables live for ever by design, so each test's own one stays reachable.
DescriptorTable& new_table() {
  static auto* const tables = new std::vector<DescriptorTable*>;
  tables->push_back(new DescriptorTable);
  return *tables->back();
}

// A slot for a number that nothing else has.
Descriptor* allocate(DescriptorTable& table) {
  static std::atomic<int> next{0};
  const int number = next++;
  Descriptor* const descriptor = table.allocate(number).value_or(nullptr);
  if (descriptor != nullptr) descriptor->fd = number;
  return descriptor;
}

void free(DescriptorTable& table, Descriptor& descriptor) { table.free(descriptor, descriptor.fd); }

// Segment k begins at slot 64 * (2^k - 1).
constexpr std::uint32_t kEdges[] = {0, 63, 64, 191, 192, 447, 448, 959, 960, 1983, 1984, 4031};

TEST(DescriptorTable, ANewTableHasNoSlots) {
  DescriptorTable& table = new_table();
  for (const std::uint32_t slot : kEdges) EXPECT_EQ(table.find(slot), nullptr) << slot;
}

TEST(DescriptorTable, ANumberBeyondTheLastSegmentIsNotFound) {
  DescriptorTable& table = new_table();
  ASSERT_NE(allocate(table), nullptr);
  constexpr std::uint32_t kLimit = 64U * ((1U << 22) - 1);  // The number of slots there can be.
  for (const std::uint32_t slot :
       {kLimit - 1, kLimit, kLimit + 1, std::numeric_limits<std::uint32_t>::max()}) {
    EXPECT_EQ(table.find(slot), nullptr) << slot;
  }
}

TEST(DescriptorTable, LowSlotsAreHandedOutFirst) {
  DescriptorTable& table = new_table();
  for (std::uint32_t slot = 0; slot < 200; ++slot) ASSERT_EQ(allocate(table)->slot, slot);
}

TEST(DescriptorTable, TheSlotUsedLastIsHandedOutNext) {
  DescriptorTable& table = new_table();
  Descriptor* const first = allocate(table);
  Descriptor* const second = allocate(table);
  free(table, *first);
  free(table, *second);
  EXPECT_EQ(allocate(table), second);
  EXPECT_EQ(allocate(table), first);
}

TEST(DescriptorTable, EverySlotIsFoundByItsNumberAcrossSegmentEdges) {
  DescriptorTable& table = new_table();
  constexpr std::uint32_t kSlots = 20'000;
  std::vector<Descriptor*> all;
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    all.push_back(allocate(table));
    ASSERT_NE(all.back(), nullptr);
    ASSERT_EQ(all.back()->slot, i);
  }
  EXPECT_EQ(std::set<Descriptor*>(all.begin(), all.end()).size(), kSlots);
  for (std::uint32_t i = 0; i < kSlots; ++i) ASSERT_EQ(table.find(i), all[i]) << i;
  for (const std::uint32_t slot : kEdges) EXPECT_EQ(table.find(slot)->slot, slot);
}

TEST(DescriptorTable, MemoryIsTypeStableWhateverIsFreed) {
  DescriptorTable& table = new_table();
  std::vector<Descriptor*> all;
  for (int i = 0; i < 1'000; ++i) all.push_back(allocate(table));
  for (Descriptor* const descriptor : all) free(table, *descriptor);
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    ASSERT_EQ(table.find(i), all[i]) << "a free slot is still there";
    EXPECT_EQ(table.find(i)->lifetime.open_generation(), 0U);
  }
  for (int i = 0; i < 1'000; ++i) EXPECT_LT(allocate(table)->slot, 1'000U) << "slots are reused";
}

TEST(DescriptorTable, ForEachVisitsEverySlotOnce) {
  DescriptorTable& table = new_table();
  for (int i = 0; i < 64; ++i) ASSERT_NE(allocate(table), nullptr);
  free(table, *allocate(table));  // Of a second segment, and free.
  std::set<std::uint32_t> seen;
  table.for_each([&](Descriptor& descriptor) {
    EXPECT_TRUE(seen.insert(descriptor.slot).second) << descriptor.slot;
  });
  EXPECT_EQ(seen.size(), 65U) << "not what has never been handed out";
}

TEST(DescriptorTable, ANumberHasOneSlot) {
  DescriptorTable& table = new_table();
  const std::error_code exists(EEXIST, std::system_category());
  Descriptor* const first = table.allocate(7).value_or(nullptr);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(table.allocate(7).error(), exists);
  EXPECT_TRUE(table.allocate(100'000));  // The set grows.
  EXPECT_EQ(table.allocate(7).error(), exists);
  table.free(*first, 7);
  EXPECT_EQ(table.allocate(7).value_or(nullptr), first);
}

// Race: two threads add the same numbers, beyond the end of the set. Forbidden: a number with two
// slots, or one that is lost.
TEST(DescriptorTable, OfTwoThreadsThatAddANumberOneGetsIt) {
  DescriptorTable& table = new_table();
  constexpr int kNumbers = 20'000;
  std::array<int, 2> got{};
  test::Gate gate(2);
  const auto add = [&](std::size_t self) {
    int mine = 0;
    for (int number = 0; number < kNumbers; ++number) {
      if (number % 64 == 0) gate.meet();  // So that neither is ahead by much.
      mine += table.allocate(number) ? 1 : 0;
    }
    got[self] = mine;
  };
  std::thread other(add, 1);
  add(0);
  other.join();
  EXPECT_EQ(got[0] + got[1], kNumbers);
}

// Race: the table grows in one thread while another looks slots up. Forbidden: a slot that is
// found before its number is in place (R57 in spirit: publication before initialisation).
TEST(DescriptorTable, ASlotThatIsFoundDuringGrowthIsWhole) {
  DescriptorTable& table = new_table();
  constexpr std::uint32_t kSlots = 30'000;
  std::thread grower([&table] {
    for (std::uint32_t i = 0; i < kSlots; ++i) (void)allocate(table);
  });
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    Descriptor* found = table.find(slot);
    while (found == nullptr) {
      std::this_thread::yield();
      found = table.find(slot);
    }
    ASSERT_EQ(found->slot, slot);
    ASSERT_FALSE(found->lifetime.is_open(1));
  }
  grower.join();
}

// Race: two threads allocate and free. Forbidden: that one slot is handed out twice.
TEST(DescriptorTable, TwoThreadsNeverHoldTheSameSlot) {
  DescriptorTable& table = new_table();
  const std::uint64_t rounds = test::scaled(20'000);
  const auto churn = [&](int mark) {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      Descriptor* const descriptor = table.allocate(mark).value_or(nullptr);
      ASSERT_NE(descriptor, nullptr);
      descriptor->fd = mark;  // Plain memory: ThreadSanitizer sees two holders.
      if (i % 8 == 0) std::this_thread::yield();
      ASSERT_EQ(descriptor->fd, mark);
      free(table, *descriptor);
    }
  };
  std::thread other(churn, 1);
  churn(2);
  other.join();
}

}  // namespace
}  // namespace rearm::detail
