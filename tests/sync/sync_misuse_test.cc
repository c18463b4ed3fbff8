// What cannot be meant stops the process with a sentence.
#include <mutex>

#include <gtest/gtest.h>

#include "rearm/sync/barrier.h"
#include "rearm/sync/condition_variable.h"
#include "rearm/sync/event.h"
#include "rearm/sync/latch.h"
#include "rearm/sync/mutex.h"
#include "rearm/sync/once.h"
#include "rearm/sync/semaphore.h"
#include "rearm/sync/shared_mutex.h"
#include "rearm/sync/wait_group.h"
#include "sync/sync_fixture.h"

namespace rearm::test {
namespace {

#define EXPECT_SENTENCE(statement, sentence) EXPECT_DEATH(statement, "rearm: .*" sentence)

void run_one(const std::function<void()>& act) {
  Runtime runtime({.workers = 1});
  runtime.run([&] { act(); });
}

TEST(SyncDeathTest, AMutexIsUnlockedByItsOwnerAlone) {
#if REARM_DEBUG_CHECKS
  Mutex mutex;
  EXPECT_SENTENCE(mutex.unlock(), "unlocked by one who does not hold it");
  EXPECT_SENTENCE(
      {
        mutex.lock();
        run_one([&] { mutex.unlock(); });
      },
      "unlocked by one who does not hold it");
  EXPECT_SENTENCE(
      {
        mutex.lock();
        mutex.lock();
      },
      "locked by one who holds it");
  SharedMutex shared;
  EXPECT_SENTENCE(
      {
        shared.lock();
        shared.lock_shared();
      },
      "locked by one who holds it");
#endif
}

TEST(SyncDeathTest, WhatIsLockedOrWaitedForIsNotDestroyed) {
  EXPECT_SENTENCE(
      {
        Mutex mutex;
        mutex.lock();
      },
      "a Mutex was destroyed");
  EXPECT_SENTENCE(
      {
        SharedMutex mutex;
        mutex.lock_shared();
      },
      "a SharedMutex was destroyed");
  EXPECT_SENTENCE(run_one([] {
                    auto semaphore = std::make_unique<Semaphore>(0);
                    auto fiber = spawn([&] { (void)semaphore->acquire(); });
                    this_fiber::yield();
                    semaphore.reset();
                  }),
                  "a Semaphore was destroyed");
  EXPECT_SENTENCE(run_one([] {
                    auto event = std::make_unique<Event>();
                    auto fiber = spawn([&] { (void)event->wait(); });
                    this_fiber::yield();
                    event.reset();
                  }),
                  "destroyed that is waited on");
  EXPECT_SENTENCE(run_one([] {
                    auto barrier = std::make_unique<Barrier>(2);
                    auto fiber = spawn([&] { (void)barrier->arrive_and_wait(); });
                    this_fiber::yield();
                    barrier.reset();
                  }),
                  "a Barrier was destroyed");
  EXPECT_SENTENCE(run_one([] {
                    Mutex mutex;
                    auto condition = std::make_unique<ConditionVariable>();
                    auto fiber = spawn([&] {
                      std::unique_lock lock(mutex);
                      condition->wait(lock);
                    });
                    this_fiber::yield();
                    condition.reset();
                  }),
                  "a ConditionVariable was destroyed");
}

TEST(SyncDeathTest, CountsStayWhereTheyCanBe) {
  EXPECT_SENTENCE(Semaphore(-1), "cannot begin with so many permits");
  EXPECT_SENTENCE(Latch(-1), "cannot begin with such a count");
  EXPECT_SENTENCE(Barrier(0), "must expect somebody");
  EXPECT_SENTENCE(Semaphore(1).release(Semaphore::max()), "more often than it can count");
  EXPECT_SENTENCE(Latch(1).count_down(2), "below zero");
  EXPECT_SENTENCE(WaitGroup().done(), "more often");
  EXPECT_SENTENCE(WaitGroup().add(-1), "below zero");
  EXPECT_SENTENCE(
      {
        Barrier barrier(1);
        barrier.arrive_and_drop();
        barrier.arrive_and_drop();
      },
      "dropped more often");
}

TEST(SyncDeathTest, WaitsThatCannotBeMeant) {
  EXPECT_SENTENCE(
      {
        Mutex mutex;
        ConditionVariable condition;
        std::unique_lock lock(mutex, std::defer_lock);
        condition.wait(lock);
      },
      "without holding the lock");
  EXPECT_SENTENCE(run_one([] {
                    Mutex first;
                    Mutex second;
                    ConditionVariable condition;
                    auto fiber = spawn([&] {
                      std::unique_lock lock(first);
                      condition.wait(lock);
                    });
                    this_fiber::yield();
                    std::unique_lock lock(second);
                    condition.wait(lock);
                  }),
                  "two mutexes at a time");
  EXPECT_SENTENCE(
      {
        Once once;
        once.call([&] { once.call([] {}); });
      },
      "from inside of its own function");
  EXPECT_SENTENCE(SharedMutex().unlock_shared(), "not locked so");
}

}  // namespace
}  // namespace rearm::test
