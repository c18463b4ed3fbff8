// DescriptorTable: slots are found by number, and their memory never becomes anything else (G3).
#include "poller/descriptor_table.h"

#include <cstdint>
#include <limits>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/scale.h"

namespace rearm::detail {
namespace {

// Tables live for ever by design, so each test's own one stays reachable.
DescriptorTable& new_table() {
  static auto* const tables = new std::vector<DescriptorTable*>;
  tables->push_back(new DescriptorTable);
  return *tables->back();
}

// Segment k begins at slot 64 * (2^k - 1).
constexpr std::uint32_t kEdges[] = {0, 63, 64, 191, 192, 447, 448, 959, 960, 1983, 1984, 4031};

TEST(DescriptorTable, ANewTableHasNoSlots) {
  DescriptorTable& table = new_table();
  for (const std::uint32_t slot : kEdges) EXPECT_EQ(table.find(slot), nullptr) << slot;
}

TEST(DescriptorTable, ANumberBeyondTheLastSegmentIsNotFound) {
  DescriptorTable& table = new_table();
  ASSERT_NE(table.allocate(), nullptr);
  constexpr std::uint32_t kLimit = 64U * ((1U << 22) - 1);  // The number of slots there can be.
  for (const std::uint32_t slot :
       {kLimit - 1, kLimit, kLimit + 1, std::numeric_limits<std::uint32_t>::max()}) {
    EXPECT_EQ(table.find(slot), nullptr) << slot;
  }
}

TEST(DescriptorTable, LowSlotsAreHandedOutFirst) {
  DescriptorTable& table = new_table();
  for (std::uint32_t slot = 0; slot < 200; ++slot) ASSERT_EQ(table.allocate()->slot, slot);
}

TEST(DescriptorTable, TheSlotUsedLastIsHandedOutNext) {
  DescriptorTable& table = new_table();
  Descriptor* const first = table.allocate();
  Descriptor* const second = table.allocate();
  table.free(*first);
  table.free(*second);
  EXPECT_EQ(table.allocate(), second);
  EXPECT_EQ(table.allocate(), first);
}

TEST(DescriptorTable, EverySlotIsFoundByItsNumberAcrossSegmentEdges) {
  DescriptorTable& table = new_table();
  constexpr std::uint32_t kSlots = 20'000;
  std::vector<Descriptor*> all;
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    all.push_back(table.allocate());
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
  for (int i = 0; i < 1'000; ++i) all.push_back(table.allocate());
  for (Descriptor* const descriptor : all) table.free(*descriptor);
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    ASSERT_EQ(table.find(i), all[i]) << "a free slot is still there";
    EXPECT_EQ(table.find(i)->lifetime.open_generation(), 0U);
  }
  for (int i = 0; i < 1'000; ++i) EXPECT_LT(table.allocate()->slot, 1'000U) << "slots are reused";
}

TEST(DescriptorTable, ForEachVisitsEverySlotOnce) {
  DescriptorTable& table = new_table();
  for (int i = 0; i < 65; ++i) ASSERT_NE(table.allocate(), nullptr);
  std::set<std::uint32_t> seen;
  table.for_each([&](Descriptor& descriptor) {
    EXPECT_TRUE(seen.insert(descriptor.slot).second) << descriptor.slot;
  });
  EXPECT_EQ(seen.size(), 64U + 128U) << "two segments, free slots too";
}

// Race: the table grows in one thread while another looks slots up. Forbidden: a slot that is
// found before its number is in place (R57 in spirit: publication before initialisation).
TEST(DescriptorTable, ASlotThatIsFoundDuringGrowthIsWhole) {
  DescriptorTable& table = new_table();
  constexpr std::uint32_t kSlots = 30'000;
  std::thread grower([&table] {
    for (std::uint32_t i = 0; i < kSlots; ++i) (void)table.allocate();
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
      Descriptor* const descriptor = table.allocate();
      descriptor->fd = mark;  // Plain memory: ThreadSanitizer sees two holders.
      if (i % 8 == 0) std::this_thread::yield();
      ASSERT_EQ(descriptor->fd, mark);
      table.free(*descriptor);
    }
  };
  std::thread other(churn, 1);
  churn(2);
  other.join();
}

}  // namespace
}  // namespace rearm::detail
