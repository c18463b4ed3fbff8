// The threads of a runtime: their names, their processors, and what the program does as they start.
#include "sched/worker_thread.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rearm/fiber.h"
#include "rearm/runtime.h"
#include "sched/runtime_fixture.h"

namespace rearm {
namespace {

// Lets `look` run on every worker's thread.
template <class F>
void on_each_worker(Runtime::Options options, F look) {
  options.workers = 3;
  options.on_worker_start = look;
  Runtime runtime(options);
  runtime.run([] {});
}

TEST(WorkerThread, EachWorkerStartsOnceInEachRunBeforeItsFibers) {
  std::array<std::atomic<int>, 3> starts{};
  Runtime runtime(
      {.workers = 3, .on_worker_start = [&](std::size_t worker) { ++starts.at(worker); }});
  for (int run = 1; run <= 3; ++run) {
    runtime.run([&] { EXPECT_GE(starts[0] + starts[1] + starts[2], 1); });
    for (const auto& count : starts) EXPECT_EQ(count.load(), run);
  }
}

TEST(WorkerThread, TheFirstWorkerIsTheCallersThread) {
  std::thread::id first;
  on_each_worker({}, [&](std::size_t worker) {
    if (worker == 0) first = std::this_thread::get_id();
  });
  EXPECT_EQ(first, std::this_thread::get_id());
}

TEST(WorkerThreadDeathTest, AnExceptionThatLeavesTheStartEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(on_each_worker({}, [](std::size_t) { throw 1; }), "");
}

#if defined(__linux__)

std::string name_of_this_thread() {
  std::array<char, 16> name{};
  EXPECT_EQ(::pthread_getname_np(::pthread_self(), name.data(), name.size()), 0);
  return name.data();
}

TEST(WorkerThread, StartedThreadsAreNamedAndTheCallersIsNot) {
  const std::string own = name_of_this_thread();
  std::array<std::string, 3> names;
  on_each_worker({.thread_name = "server-"},
                 [&](std::size_t worker) { names[worker] = name_of_this_thread(); });
  EXPECT_THAT(names, ::testing::ElementsAre(own, "server-1", "server-2"));
  on_each_worker({.thread_name = "a-name-that-is-too-long-"},
                 [&](std::size_t worker) { names[worker] = name_of_this_thread(); });
  EXPECT_THAT(names, ::testing::ElementsAre(own, "a-name-that-is1", "a-name-that-is2"));
  EXPECT_EQ(name_of_this_thread(), own);
}

std::vector<unsigned> processors_of_this_thread() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof(set), &set), 0);
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(WorkerThread, AllThreadsAreBoundWhileTheyRun) {
  const std::vector<unsigned> own = processors_of_this_thread();
  const std::vector<unsigned> one{own.back()};
  std::array<std::vector<unsigned>, 3> seen;
  on_each_worker({.cpus = one},
                 [&](std::size_t worker) { seen[worker] = processors_of_this_thread(); });
  EXPECT_THAT(seen, ::testing::Each(one));
  EXPECT_EQ(processors_of_this_thread(), own);
}

TEST(WorkerThread, OneWorkerForEachProcessorIsTheDefault) {
  EXPECT_EQ(Runtime({.cpus = {0, 1, 2, 1}}).workers(), 3U);
}

TEST(WorkerThread, AProcessorThatIsNotThereIsAnErrorOfTheRun) {
  const std::vector<unsigned> own = processors_of_this_thread();
  if (own.back() >= CPU_SETSIZE - 1) GTEST_SKIP() << "all there can be are there";
  Runtime runtime({.workers = 2, .cpus = {CPU_SETSIZE - 1}});
  bool has_run = false;
  try {
    runtime.run([&] { has_run = true; });
    ADD_FAILURE() << "it ran";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::invalid_argument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("Runtime::Options::cpus"));
  }
  EXPECT_FALSE(has_run);
  EXPECT_EQ(processors_of_this_thread(), own);
  test::expect_nothing_left(runtime);
}

TEST(WorkerThread, ANumberThatNoProcessorCanHaveIsRefusedByName) {
  try {
    const Runtime runtime({.cpus = {CPU_SETSIZE}});
    ADD_FAILURE() << "it was taken";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::kInvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("Runtime::Options::cpus is 1024"));
  }
}

#endif

}  // namespace
}  // namespace rearm
