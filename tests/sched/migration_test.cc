// What a fiber takes along when it continues on another thread, and what it must not keep: C++
// exception state, errno, thread-local variables.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/errno.h"
#include "rearm/fiber.h"
#include "sched/runtime_fixture.h"
#include "sched/worker.h"

namespace rearm {
namespace {

using namespace std::chrono_literals;

constexpr int kFibers = 24;
constexpr int kRounds = 40;

// Out of line: a compiler may keep the address of a thread-local across a park.
[[gnu::noinline]] std::thread::id running_thread() {
  asm volatile("");
  return std::this_thread::get_id();
}

[[gnu::noinline]] void set_errno(int value) {
  asm volatile("");
  errno = value;
}

[[gnu::noinline]] std::exception_ptr current_exception() {
  asm volatile("");
  return std::current_exception();
}

[[gnu::noinline]] int uncaught_exceptions() {
  asm volatile("");
  return std::uncaught_exceptions();
}

// Parks in one of three ways, so that whoever continues is on another thread every now and then.
void park(int how) {
  switch (how % 3) {
    case 0: this_fiber::yield(); break;
    case 1: (void)this_fiber::sleep_for(std::chrono::microseconds(how % 50)); break;
    default: spawn([] { this_fiber::yield(); }).join(); break;
  }
}

class MigrationTest : public test::WorkersTest {
 protected:
  // Runs `body(number)` on many fibers at once.
  template <class Body>
  void on_many_fibers(Body body) {
    run([&] {
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < kFibers; ++i) handles.push_back(spawn([&body, i] { body(i); }));
      for (auto& handle : handles) handle.join();
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Scheduler, MigrationTest, ::testing::Values(1, 2, 4),
                         test::workers_test_name);

std::string message_of(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  }
  return "none";
}

TEST_P(MigrationTest, AFiberContinuesOnOtherThreads) {
  std::mutex mu;
  std::set<std::thread::id> threads;
  bool migrated = false;
  const auto start = std::chrono::steady_clock::now();
  while (!migrated && test::since(start) < test::kPatience) {
    threads.clear();  // Each run() has threads of its own.
    on_many_fibers([&](int number) {
      const std::thread::id first = running_thread();
      for (int i = 0; i < kRounds; ++i) {
        park(number + i);
        const std::thread::id now = running_thread();
        const std::lock_guard lock(mu);
        threads.insert(now);
        migrated = migrated || now != first;
      }
    });
    if (GetParam() == 1) break;
  }
  EXPECT_EQ(migrated, GetParam() > 1);
  EXPECT_LE(threads.size(), GetParam());
}

TEST_P(MigrationTest, AParkInsideACatchBlockKeepsTheException) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      const std::string text = std::to_string(number) + "/" + std::to_string(i);
      try {
        throw std::runtime_error(text);
      } catch (const std::exception& exception) {
        park(number + i);
        EXPECT_EQ(exception.what(), text);
        EXPECT_EQ(message_of(current_exception()), text);
        EXPECT_EQ(uncaught_exceptions(), 0);
      }
      EXPECT_EQ(current_exception(), nullptr);
    }
  });
}

TEST_P(MigrationTest, NestedCatchBlocksComeBackInTheirOrder) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      try {
        throw std::runtime_error("outer");
      } catch (...) {
        park(number + i);
        try {
          park(number);
          throw std::logic_error("inner");
        } catch (...) {
          park(i);
          EXPECT_EQ(message_of(current_exception()), "inner");
        }
        park(number + i + 1);
        EXPECT_EQ(message_of(current_exception()), "outer");
      }
    }
  });
}

TEST_P(MigrationTest, ARethrowAfterAParkThrowsTheSame) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      const std::string text = std::to_string(number);
      try {
        try {
          throw std::runtime_error(text);
        } catch (...) {
          park(number + i);
          throw;
        }
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), text);
      }
    }
  });
}

// Parks while it is destroyed.
class ParkingDestructor {
 public:
  ParkingDestructor(int how, int expected) : how_(how), expected_(expected) {}
  ParkingDestructor(const ParkingDestructor&) = delete;
  ParkingDestructor& operator=(const ParkingDestructor&) = delete;
  ~ParkingDestructor() {
    EXPECT_EQ(uncaught_exceptions(), expected_);
    park(how_);
    EXPECT_EQ(uncaught_exceptions(), expected_) << "after the park";
  }

 private:
  int how_;
  int expected_;
};

TEST_P(MigrationTest, AParkDuringUnwindingKeepsTheCountOfUncaughtExceptions) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_THROW(
          {
            const ParkingDestructor unwound(number + i, 1);
            throw std::runtime_error("thrown");
          },
          std::runtime_error);
      {
        const ParkingDestructor not_unwound(number + i, 0);
      }
      EXPECT_EQ(uncaught_exceptions(), 0);
    }
  });
}

// Throws from the bottom of a call chain that has parked at each level.
int throw_from(int depth, int how) {
  const ParkingDestructor unwound(how, 1);
  park(how + depth);
  if (depth == 0) throw std::out_of_range("deep");
  return throw_from(depth - 1, how) + 1;
}

TEST_P(MigrationTest, AnExceptionIsThrownAcrossParks) {
  on_many_fibers([](int number) {
    for (int i = 0; i < 10; ++i) EXPECT_THROW(throw_from(5, number), std::out_of_range);
  });
}

TEST_P(MigrationTest, ExceptionsOfJoinedFibersCrossThreads) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      auto child = spawn([number, i] {
        park(number + i);
        throw number * 1000 + i;
      });
      try {
        child.join();
        ADD_FAILURE() << "join() did not throw";
      } catch (const int value) {
        EXPECT_EQ(value, number * 1000 + i);
        park(i);
      }
    }
  });
}

// errno is the thread's. What the library reports must be that of its own system call, whatever
// other fibers did on this thread or on the one before.
TEST_P(MigrationTest, ErrorsAreThoseOfTheOwnSystemCall) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      set_errno(1000 + number);
      park(number + i);
      EXPECT_EQ(detail::result_or_errno(::close(-1)), -EBADF);
      set_errno(0);
      park(i);
      EXPECT_EQ(::read(-1, nullptr, 0), -1);
      EXPECT_EQ(detail::current_errno(), EBADF);
    }
  });
}

// What errno is on a thread must not leak from one fiber's system call into another's result: a
// fiber that has just arrived reads the errno of the thread that it is on now.
TEST_P(MigrationTest, ErrnoIsReadOnTheThreadThatTheFiberIsOn) {
  on_many_fibers([](int number) {
    for (int i = 0; i < kRounds; ++i) {
      park(number + i);
      set_errno(number + 1);
      EXPECT_EQ(detail::current_errno(), number + 1);  // Nothing parks between the two lines.
    }
  });
}

// Moves the calling fiber to another worker of two: a fiber that runs there ends, and the one that
// has joined it goes on in its place.
void change_workers() {
  const detail::Worker* const before = detail::Worker::current();
  const auto start = std::chrono::steady_clock::now();
  while (detail::Worker::current() == before && test::since(start) < test::kPatience) {
    std::atomic<bool> is_elsewhere{false};
    std::atomic<bool> joins{false};
    auto other = spawn([&] {
      if (detail::Worker::current() == before) return;
      is_elsewhere.store(true);
      const auto begun = std::chrono::steady_clock::now();
      while (!joins.load() || test::since(begun) < 2ms) {
      }
    });
    const auto begun = std::chrono::steady_clock::now();
    while (!is_elsewhere.load() && test::since(begun) < 200ms) {
    }
    joins.store(true);
    other.join();
  }
}

// A function whose copy parks, and continues on another worker.
struct Wanderer {
  struct Counts {
    const detail::Processor* processor = nullptr;
    std::uint64_t spawned = 0;

    static Counts now() {
      const detail::Processor& here = detail::Worker::current()->processor();
      return {&here, here.spawned.load(detail::kRelaxed)};
    }
  };

  Wanderer(Counts& from_counts, Counts& to_counts) : from(&from_counts), to(&to_counts) {}
  Wanderer(const Wanderer& other) : from(other.from), to(other.to) {
    const detail::Processor& before = detail::Worker::current()->processor();
    change_workers();
    *from = {&before, before.spawned.load(detail::kRelaxed)};
    *to = Counts::now();
  }
  Wanderer& operator=(const Wanderer&) = delete;
  void operator()() const {}

  Counts* from;
  Counts* to;
};

// Each processor's counts are its holder's alone: one that two write loses some, and the run ends
// too early, or never.
TEST(SpawnTest, AFiberIsCountedWhereItsSpawnerGoesOn) {
  Runtime runtime({.workers = 2});
  runtime.run([] {
    Wanderer::Counts from;
    Wanderer::Counts to;
    const Wanderer function(from, to);
    auto handle = spawn(function);
    ASSERT_NE(from.processor, to.processor) << "it has not moved";
    EXPECT_EQ(from.processor->spawned.load(detail::kRelaxed), from.spawned);
    EXPECT_EQ(to.processor->spawned.load(detail::kRelaxed), to.spawned + 1);
    handle.join();
  });
}

}  // namespace
}  // namespace rearm
