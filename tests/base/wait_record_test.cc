// What somebody waits for is read by others, whole.
#include "base/wait_record.h"

#include <atomic>
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>

#include "support/scale.h"

namespace rearm::detail {
namespace {

constexpr Act kEating{.name = "eat"};
constexpr Act kReading{.name = "read"};

TEST(WaitRecord, ShowsTheWaitWhileItLasts) {
  WaitRecord record;
  EXPECT_FALSE(record.read());
  record.begin({.act = &kReading, .object = 7, .where = &record}, 1234);
  const auto entry = record.read();
  ASSERT_TRUE(entry);
  EXPECT_STREQ(entry->what.act->name, "read");
  EXPECT_EQ(entry->what.object, 7);
  EXPECT_EQ(entry->what.where, &record);
  EXPECT_EQ(entry->since_ns, 1234);
  record.end();
  EXPECT_FALSE(record.read());
}

// Race: a writer goes from wait to wait, a reader reads. Forbidden: an entry of which one half is
// of one wait and the other of the next. The guard is the count.
TEST(WaitRecord, NoEntryIsPutTogetherFromTwoWaits) {
  WaitRecord record;
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (std::int64_t i = 1; !over.load(std::memory_order_relaxed); ++i) {
      // Of one kind: the act alone would not tell two of them apart.
      record.begin({.act = i % 3 == 0 ? &kEating : &kReading,
                    .object = i,
                    .where = reinterpret_cast<const void*>(i)},
                   -i);
      record.end();
    }
  });
  const auto rounds = test::scaled(200'000);
  std::uint64_t seen = 0;
  for (std::uint64_t i = 0; i < rounds || seen == 0; ++i) {
    const auto entry = record.read();
    if (!entry) continue;
    ++seen;
    const std::int64_t object = entry->what.object;
    ASSERT_EQ(entry->since_ns, -object);
    ASSERT_EQ(entry->what.where, reinterpret_cast<const void*>(object));
    ASSERT_EQ(entry->what.act, object % 3 == 0 ? &kEating : &kReading);
  }
  over.store(true);
  writer.join();
}

}  // namespace
}  // namespace rearm::detail
