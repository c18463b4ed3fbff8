// What a fiber waits for, as another thread and a signal handler see it.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "rearm/fiber.h"
#include "sched/fiber.h"
#include "sched/runtime_fixture.h"
#include "sched/worker.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;
using Entry = detail::WaitRecord::Entry;

class WaitsTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, WaitsTest, ::testing::Values(1, 3), test::workers_test_name);

// A fiber of the running test, which outlives the looks at it.
std::atomic<const detail::Fiber*> watched{nullptr};
std::optional<Entry> seen_by_handler;

[[gnu::noinline]] void watch_me() { watched.store(detail::Worker::current()->fiber()); }

// From a plain thread: waits until the fiber waits for something.
Entry look() {
  for (;;) {
    const detail::Fiber* const fiber = watched.load();
    if (fiber != nullptr) {
      if (const auto entry = fiber->waits.read()) return *entry;
    }
    std::this_thread::yield();
  }
}

TEST_P(WaitsTest, AnotherThreadReadsWhatAFiberWaitsFor) {
  watched.store(nullptr);
  const std::int64_t before_ns = detail::now_ns();
  std::optional<Entry> entry;
  std::thread thread([&] {
    entry = look();
    runtime().request_stop();
  });
  run([] {
    watch_me();
    (void)this_fiber::sleep_for(1h);
    EXPECT_FALSE(watched.load()->waits.read());  // It is over.
  });
  thread.join();
  ASSERT_TRUE(entry);
  EXPECT_STREQ(entry->what.act->name, "sleep");
  EXPECT_EQ(entry->what.object, 0);
  EXPECT_NE(entry->what.where, nullptr);
  EXPECT_GE(entry->since_ns, before_ns);
  EXPECT_LE(entry->since_ns, detail::now_ns());
}

TEST_P(WaitsTest, AJoinNamesTheFiberThatIsJoined) {
  watched.store(nullptr);
  std::uint64_t joined = 0;
  std::optional<Entry> entry;
  std::thread thread([&] {
    entry = look();
    runtime().request_stop();
  });
  run([&] {
    auto sleeper = spawn([] { (void)this_fiber::sleep_for(1h); });
    joined = sleeper.id();
    watch_me();
    sleeper.join();
  });
  thread.join();
  ASSERT_TRUE(entry);
  EXPECT_STREQ(entry->what.act->name, "join");
  EXPECT_EQ(entry->what.object, static_cast<std::int64_t>(joined));
  EXPECT_NE(entry->what.where, nullptr);
}

TEST_P(WaitsTest, ASignalHandlerReadsItToo) {
  watched.store(nullptr);
  seen_by_handler.reset();
  struct sigaction action{};
  struct sigaction previous{};
  action.sa_handler = [](int) {
    if (const detail::Fiber* const fiber = watched.load()) seen_by_handler = fiber->waits.read();
  };
  sigemptyset(&action.sa_mask);
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &previous), 0);
  run([] {
    auto sleeper = spawn([] {
      watch_me();
      (void)this_fiber::sleep_for(1h);
    });
    while (watched.load() == nullptr || !watched.load()->waits.read()) this_fiber::yield();
    ::raise(SIGUSR1);  // On this thread, in the middle of a fiber.
    Runtime::current()->request_stop();
    sleeper.join();
  });
  ASSERT_EQ(::sigaction(SIGUSR1, &previous, nullptr), 0);
  ASSERT_TRUE(seen_by_handler);
  EXPECT_STREQ(seen_by_handler->what.act->name, "sleep");
}

}  // namespace
}  // namespace rearm
