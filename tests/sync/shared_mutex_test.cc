// Many readers or one writer, in line, and nobody starves.
#include "rearm/sync/shared_mutex.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

using SharedMutexTest = RuntimeTest;

TEST_F(SharedMutexTest, AWriterIsAloneAndReadersAreNot) {
  SharedMutex mutex;
  std::atomic<int> readers{0};
  std::atomic<int> writers{0};
  long long written = 0;
  const int rounds = kSanitized ? 200 : 2000;
  run_mixed(6, 2, [&](int number) {
    for (int i = 0; i < rounds; ++i) {
      if ((number + i) % 4 == 0) {
        const std::unique_lock lock(mutex);
        EXPECT_EQ(writers.fetch_add(1), 0);
        EXPECT_EQ(readers, 0);
        ++written;
        if (i % 8 == 0) this_fiber::yield();
        writers.fetch_sub(1);
      } else {
        const std::shared_lock lock(mutex);
        readers.fetch_add(1);
        EXPECT_EQ(writers, 0);
        if (i % 8 == 0) this_fiber::yield();
        readers.fetch_sub(1);
      }
    }
  });
  EXPECT_EQ(written, 8LL * rounds / 4);
}

// Readers who overlap without end: a writer in line comes before those who come after him.
TEST_F(SharedMutexTest, AWriterIsNotStarvedByReaders) {
  open({.workers = 1});
  run([] {
    SharedMutex mutex;
    std::string order;
    mutex.lock_shared();
    auto writer = spawn([&] {
      const std::unique_lock lock(mutex);
      order += 'w';
    });
    this_fiber::yield();
    EXPECT_FALSE(mutex.try_lock_shared()) << "a reader overtakes a writer";
    std::vector<JoinHandle<void>> readers;
    for (int i = 0; i < 3; ++i) {
      readers.push_back(spawn([&] {
        const std::shared_lock lock(mutex);
        order += 'r';
        this_fiber::yield();
      }));
    }
    this_fiber::yield();
    EXPECT_EQ(order, "");
    mutex.unlock_shared();
    writer.join();
    for (auto& reader : readers) reader.join();
    EXPECT_EQ(order, "wrrr");
  });
}

// A writer who gives up does not keep the readers behind him waiting for those in front.
TEST_F(SharedMutexTest, AWriterWhoGivesUpLetsTheReadersBehindHimIn) {
  run([] {
    SharedMutex mutex;
    mutex.lock_shared();
    auto writer = spawn([&] { EXPECT_EQ(mutex.lock(soon()).error(), Errc::kTimedOut); });
    this_fiber::yield();
    auto reader = spawn([&] {
      EXPECT_TRUE(mutex.lock_shared(patience()));
      mutex.unlock_shared();
    });
    reader.join();
    writer.join();
    mutex.unlock_shared();
    EXPECT_TRUE(mutex.try_lock());
    spawn([&] {
      EXPECT_FALSE(mutex.try_lock_shared_for(1ms));
      EXPECT_EQ(mutex.lock_shared(Deadline::immediate()).error(), Errc::kTimedOut);
    }).join();
    mutex.unlock();
    // With no time left they are as try_lock() is.
    const auto past = std::chrono::steady_clock::now() - 1s;
    EXPECT_TRUE(mutex.try_lock_shared_for(-1s));
    EXPECT_TRUE(mutex.try_lock_shared_until(past));
    EXPECT_FALSE(mutex.try_lock_for(-1s));
    mutex.unlock_shared();
    mutex.unlock_shared();
    EXPECT_TRUE(mutex.try_lock_for(-1s));
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock_until(past));
    mutex.unlock();
  });
}

}  // namespace
}  // namespace rearm::test
