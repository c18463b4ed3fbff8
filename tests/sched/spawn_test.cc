// Spawning and joining: what comes back, when things are destroyed, names, numbers and sites.
#include <array>
#include <atomic>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "sched/fiber.h"
#include "sched/runtime_fixture.h"
#include "sched/worker.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;

class SpawnTest : public test::WorkersTest {};

INSTANTIATE_TEST_SUITE_P(Scheduler, SpawnTest, ::testing::Values(1, 3), test::workers_test_name);

// Counts how often it is constructed and destroyed, moved-from shells aside.
class Counted {
 public:
  Counted(std::atomic<int>& births, std::atomic<int>& deaths) : deaths_(&deaths) { ++births; }
  Counted(Counted&& other) noexcept : deaths_(std::exchange(other.deaths_, nullptr)) {}
  Counted& operator=(Counted&&) = delete;
  ~Counted() {
    if (deaths_ != nullptr) ++*deaths_;
  }

 private:
  std::atomic<int>* deaths_;
};

TEST_P(SpawnTest, JoinReturnsTheValue) {
  run([] {
    EXPECT_EQ(spawn([] { return 42; }).join(), 42);
    EXPECT_EQ(spawn([] { return std::string(1000, 'x'); }).join(), std::string(1000, 'x'));
  });
}

TEST_P(SpawnTest, JoinOfVoidReturnsAfterTheEnd) {
  run([] {
    bool ended = false;
    spawn([&] {
      this_fiber::yield();
      ended = true;
    }).join();
    EXPECT_TRUE(ended);
  });
}

TEST_P(SpawnTest, JoinReturnsAReferenceToTheSameObject) {
  run([] {
    int value = 1;
    int& joined = spawn([&]() -> int& { return value; }).join();
    EXPECT_EQ(&joined, &value);
  });
}

TEST_P(SpawnTest, MoveOnlyResultsAndCapturesTravel) {
  run([] {
    auto in = std::make_unique<int>(7);
    const int* const address = in.get();
    const std::unique_ptr<int> out =
        spawn([in = std::move(in)]() mutable { return std::move(in); }).join();
    EXPECT_EQ(out.get(), address);
  });
}

int calls = 0;
void plain() { ++calls; }
int silent() noexcept { return ++calls; }
[[maybe_unused]] int overloaded(int n) { return n; }
int overloaded() { return ++calls; }

TEST_P(SpawnTest, AFunctionIsSpawnedByItsName) {
  calls = 0;
  run(plain);
  EXPECT_EQ(runtime().run(silent), 2);
  EXPECT_EQ(runtime().run(&silent), 3);
  auto outside = runtime().spawn(plain);
  run([&] {
    outside.join();
    spawn(plain).join();
    spawn(&plain).join();
    EXPECT_EQ(spawn(silent).join(), 7);
    EXPECT_EQ(spawn(static_cast<int (*)()>(overloaded)).join(), 8);
    EXPECT_EQ(spawn(static_cast<int (&)()>(overloaded)).join(), 9);
    auto tried = try_spawn(plain);
    ASSERT_TRUE(tried);
    tried->join();
  });
  EXPECT_EQ(calls, 10);
}

TEST_P(SpawnTest, AnExceptionIsCarriedToTheJoiner) {
  run([] {
    auto failing = spawn([]() -> int { throw std::runtime_error("carried"); });
    try {
      (void)failing.join();
      ADD_FAILURE() << "join() did not throw";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "carried");
    }
    EXPECT_FALSE(failing.joinable());
  });
}

TEST_P(SpawnTest, RunThrowsWhatItsFunctionThrew) {
  EXPECT_THROW(run([] { throw std::out_of_range("main"); }), std::out_of_range);
  EXPECT_EQ(run([] { return 3; }), 3);
}

TEST_P(SpawnTest, APlainThreadJoinsWhileTheRuntimeRuns) {
  JoinHandle<int> handle = runtime().spawn([] {
    (void)this_fiber::sleep_for(2ms);
    return 5;
  });
  std::thread joiner([&] { EXPECT_EQ(handle.join(), 5); });
  run([] {});
  joiner.join();
}

TEST_P(SpawnTest, APlainThreadSpawnsIntoARunningRuntime) {
  std::atomic<bool> running{false};
  std::atomic<bool> done{false};
  std::thread outsider([&] {
    while (!running.load()) std::this_thread::yield();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(runtime().spawn([i] { return i; }).join(), i);
    done.store(true);
  });
  run([&] {
    running.store(true);
    while (!done.load()) (void)this_fiber::sleep_for(100us);
  });
  outsider.join();
}

TEST_P(SpawnTest, AFiberJoinsAFiberOfAnotherRuntime) {
  std::atomic<bool> stop{false};
  Runtime other({.workers = 1});
  std::thread thread([&] {
    other.run([&] {
      while (!stop.load()) (void)this_fiber::sleep_for(100us);
    });
  });
  run([&] {
    auto far = other.spawn([] {
      (void)this_fiber::sleep_for(2ms);
      return Runtime::current();
    });
    EXPECT_EQ(far.join(), &other);
    EXPECT_EQ(Runtime::current(), &runtime());
  });
  stop.store(true);
  thread.join();
  test::expect_nothing_left(other);
}

TEST_P(SpawnTest, AHandleMayBeDroppedBeforeAndAfterTheEnd) {
  std::atomic<int> ran{0};
  run([&] {
    {
      auto dropped_early = spawn([&] { ++ran; });
    }
    auto dropped_late = spawn([&] { ++ran; });
    EXPECT_TRUE(dropped_late.wait(Deadline::after(test::kPatience)));
    dropped_late.detach();
    EXPECT_FALSE(dropped_late.joinable());
    EXPECT_EQ(dropped_late.id(), 0U);
  });
  EXPECT_EQ(ran.load(), 2);  // run() waits for detached fibers, too.
}

TEST_P(SpawnTest, AssigningToAHandleDetachesTheFormerFiber) {
  std::atomic<int> ran{0};
  run([&] {
    auto handle = spawn([&] { ran += 1; });
    handle = spawn([&] { ran += 10; });
    handle.join();
  });
  EXPECT_EQ(ran.load(), 11);
}

TEST_P(SpawnTest, WaitSaysWhetherTheFiberHasEndedAndJoinStillWorks) {
  run([] {
    std::atomic<bool> go{false};
    auto handle = spawn([&] {
      while (!go.load()) this_fiber::yield();
      return 9;
    });
    EXPECT_FALSE(handle.wait(Deadline::after(-1s)));
    EXPECT_FALSE(handle.wait(Deadline::after(2ms)));
    go.store(true);
    EXPECT_TRUE(handle.wait({}));  // A standing deadline is never.
    EXPECT_TRUE(handle.wait(Deadline::after(0s)));
    EXPECT_EQ(handle.join(), 9);
  });
}

TEST_P(SpawnTest, CapturesAreDestroyedOnceAndBeforeTheJoin) {
  std::atomic<int> births{0};
  std::atomic<int> deaths{0};
  run([&] {
    spawn([captured = Counted(births, deaths)] { this_fiber::yield(); }).join();
    EXPECT_EQ(deaths.load(), 1);
    auto failing = spawn([captured = Counted(births, deaths)] { throw 1; });
    EXPECT_THROW(failing.join(), int);
    EXPECT_EQ(deaths.load(), 2);
  });
  EXPECT_EQ(births.load(), 2);
  EXPECT_EQ(deaths.load(), 2);
}

TEST_P(SpawnTest, ResultsAreDestroyedOnceWhetherJoinedOrDropped) {
  std::atomic<int> births{0};
  std::atomic<int> deaths{0};
  run([&] {
    const auto make = [&] { return Counted(births, deaths); };
    {
      const Counted joined = spawn(make).join();
    }
    EXPECT_EQ(deaths.load(), 1);
    {
      auto dropped_early = spawn(make);
    }
    auto dropped_late = spawn(make);
    EXPECT_TRUE(dropped_late.wait(Deadline::after(test::kPatience)));
  });
  EXPECT_EQ(births.load(), 3);
  EXPECT_EQ(deaths.load(), 3);
}

TEST_P(SpawnTest, ACapturesDestructorMayPark) {
  std::atomic<int> parked{0};
  struct Parking {
    explicit Parking(std::atomic<int>& count) : count_(&count) {}
    Parking(Parking&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Parking& operator=(Parking&&) = delete;
    ~Parking() {
      if (count_ == nullptr) return;
      (void)this_fiber::sleep_for(1ms);
      ++*count_;
    }

   private:
    std::atomic<int>* count_;
  };
  run([&] {
    spawn([captured = Parking(parked)] {}).join();
    spawn([captured = Parking(parked)] {}).detach();
  });
  EXPECT_EQ(parked.load(), 2);
}

// A detached fiber has nobody but itself to destroy what it returned, so that happens on its own
// stack, too, and not in the middle of the switch to the next one.
TEST_P(SpawnTest, AResultsDestructorMayPark) {
  std::vector<std::uint64_t> where;  // On which fibers the three were destroyed.
  class Parking {
   public:
    explicit Parking(std::vector<std::uint64_t>& ids) : where_(&ids) {}
    Parking(Parking&& other) noexcept : where_(std::exchange(other.where_, nullptr)) {}
    Parking& operator=(Parking&&) = delete;
    ~Parking() {
      if (where_ == nullptr) return;
      const std::uint64_t id = this_fiber::id();
      (void)this_fiber::sleep_for(1ms);
      EXPECT_EQ(this_fiber::id(), id);
      where_->push_back(id);
    }

   private:
    std::vector<std::uint64_t>* where_;
  };
  std::vector<std::uint64_t> expected;
  run([&] {
    std::atomic<bool> is_detached{false};
    auto detached = spawn([&] {
      while (!is_detached.load()) this_fiber::yield();
      return Parking(where);
    });
    expected = {detached.id(), this_fiber::id(), this_fiber::id()};
    detached.detach();
    is_detached.store(true);
    EXPECT_TRUE(this_fiber::sleep_for(50ms));
    auto late = spawn([&] { return Parking(where); });
    EXPECT_TRUE(late.wait(Deadline::after(test::kPatience)));
    late.detach();
    (void)spawn([&] { return Parking(where); }).join();
  });
  EXPECT_EQ(where, expected);
}

// Race: the end of a detached fiber against the drop of its handle, with a result that parks when
// it is destroyed. Forbidden: a park between two fibers.
TEST_P(SpawnTest, DroppingAHandleRacesWithTheEndOfAFiberWhoseResultParks) {
  struct Yielding {
    explicit Yielding(std::atomic<int>& count) : count_(&count) {}
    Yielding(Yielding&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Yielding& operator=(Yielding&&) = delete;
    ~Yielding() {
      if (count_ == nullptr) return;
      this_fiber::yield();
      ++*count_;
    }

   private:
    std::atomic<int>* count_;
  };
  std::atomic<int> yielded{0};
  constexpr int kFibers = 2000;
  std::vector<JoinHandle<Yielding>> handles;
  for (int i = 0; i < kFibers; ++i) {
    handles.push_back(runtime().spawn([&] { return Yielding(yielded); }));
  }
  std::thread dropper([&] {
    for (auto& handle : handles) handle.detach();
  });
  run([] {});
  dropper.join();
  EXPECT_EQ(yielded.load(), kFibers);
}

TEST_P(SpawnTest, AnExceptionOfACopyConstructorIsTheSpawners) {
  struct Throwing {
    Throwing() = default;
    Throwing(const Throwing&) { throw std::runtime_error("copy"); }
    void operator()() const {}
  };
  run([] {
    const Throwing throwing;
    EXPECT_THROW((void)spawn(throwing), std::runtime_error);
  });
  EXPECT_EQ(runtime().stats().fibers_spawned, 1U);  // Only the first fiber.
}

TEST_P(SpawnTest, ALargeFunctionFitsOnTheStack) {
  run([] {
    std::array<unsigned char, 100'000> large{};
    large.front() = 1;
    large.back() = 2;
    auto handle = spawn([large] { return large.front() + large.back(); });
    EXPECT_EQ(handle.join(), 3);
  });
}

TEST_P(SpawnTest, OverAlignedCapturesAreAligned) {
  struct alignas(256) Aligned {
    int value = 4;
  };
  run([] {
    const Aligned aligned;
    auto handle = spawn([aligned] {
      return reinterpret_cast<std::uintptr_t>(&aligned) % 256 == 0 ? aligned.value : -1;
    });
    EXPECT_EQ(handle.join(), 4);
  });
}

TEST_P(SpawnTest, TrySpawnReturnsTheHandleAsAValue) {
  run([] {
    auto handle = try_spawn([] { return 1; }, {.name = "tried"});
    ASSERT_TRUE(handle);
    EXPECT_EQ(handle->join(), 1);
  });
}

TEST_P(SpawnTest, NumbersAreNeverUsedTwice) {
  constexpr int kFibers = 3000;  // More than a processor takes from the counter at once.
  std::set<std::uint64_t> seen;
  run([&] {
    for (int i = 0; i < kFibers; ++i) {
      auto handle = spawn([] { return this_fiber::id(); });
      const std::uint64_t id = handle.id();
      EXPECT_NE(id, 0U);
      EXPECT_EQ(handle.join(), id);
      seen.insert(id);
    }
  });
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kFibers));
  EXPECT_EQ(this_fiber::id(), 0U);  // A plain thread's.
}

TEST_P(SpawnTest, NamesAreCopiedAndCut) {
  run([] {
    std::string name = "short-lived";
    auto handle = spawn([] { return std::string(this_fiber::name()); }, {.name = name});
    name.assign("overwritten!");
    EXPECT_EQ(handle.join(), "short-lived");
    const std::string longer(40, 'n');
    EXPECT_EQ(spawn([] { return std::string(this_fiber::name()); }, {.name = longer}).join(),
              longer.substr(0, 31));
    EXPECT_EQ(spawn([] { return std::string(this_fiber::name()); }).join(), "");
    EXPECT_EQ(this_fiber::name(), "main");
  });
  EXPECT_EQ(this_fiber::name(), "");
}

TEST_P(SpawnTest, TheSpawnSiteIsTheCallersLine) {
  run([] {
    const auto line = std::source_location::current().line() + 1;
    auto handle = spawn([] { return detail::Worker::current()->fiber()->site; });
    const std::source_location site = handle.join();
    EXPECT_EQ(site.line(), line);
    EXPECT_TRUE(std::string_view(site.file_name()).ends_with("spawn_test.cc"));
  });
}

TEST_P(SpawnTest, AHandleIsJoinedByAnotherFiberThanTheSpawner) {
  run([] {
    auto inner = spawn([] {
      this_fiber::yield();
      return 6;
    });
    auto outer = spawn([inner = std::move(inner)]() mutable { return inner.join() + 1; });
    EXPECT_EQ(outer.join(), 7);
  });
}

TEST_P(SpawnTest, ATreeOfFibersComesBackWhole) {
  const auto tree = [](auto& self, int depth) -> int {
    if (depth == 0) return 1;
    auto left = spawn([&self, depth] { return self(self, depth - 1); });
    auto right = spawn([&self, depth] { return self(self, depth - 1); });
    return left.join() + right.join();
  };
  constexpr int kDepth = 9;
  EXPECT_EQ(run([&] { return tree(tree, kDepth); }), 1 << kDepth);
  EXPECT_EQ(runtime().stats().fibers_spawned, (2U << kDepth) - 1);
}

// Race: the end of a fiber (publishes into `done`, perhaps buries) against detach() and join() from
// a plain thread. Forbidden: a fiber buried twice or never; the fixture counts the stacks.
TEST_P(SpawnTest, DroppingAHandleRacesWithTheEnd) {
  std::atomic<int> ran{0};
  constexpr int kFibers = 2000;
  std::vector<JoinHandle<int>> handles;
  for (int i = 0; i < kFibers; ++i) {
    handles.push_back(runtime().spawn([&] { return ++ran; }));
  }
  std::thread dropper([&] {
    for (std::size_t i = 0; i < handles.size(); ++i) {
      if (i % 3 == 0) {
        EXPECT_GT(handles[i].join(), 0);
      } else {
        handles[i].detach();
      }
    }
  });
  run([] {});
  dropper.join();
  EXPECT_EQ(ran.load(), kFibers);
}

// Race: the end of a fiber (takes its joiner out of `done` before it leaves its stack) against the
// joiner's deadline. Forbidden: a joiner that goes on twice or never, or before the stack is left.
TEST_P(SpawnTest, ADeadlineOfAJoinRacesWithTheEnd) {
  run([] {
    for (int i = 0; i < 2000; ++i) {
      auto child = spawn([i] {
        for (int yields = i % 7; yields > 0; --yields) this_fiber::yield();
        return i;
      });
      (void)child.wait(Deadline::after(std::chrono::microseconds(i % 20)));
      ASSERT_EQ(child.join(), i);
    }
  });
}

}  // namespace
}  // namespace rearm
