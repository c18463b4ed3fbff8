// Every scenario over every backend: by seeds, and with each of its calls failing in turn.
//
// To replay what a failure prints: REARM_FAULT_SEED=<seed> or REARM_FAULT_NTH=<n>:<k> in the
// environment, and --gtest_filter for the scenario and the backend.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>

#include "emulation/kqueue/kqueue_emulation.h"
#include "faults/scenarios.h"
#include "support/scale.h"

namespace rearm::test::faults {
namespace {

using Parameter = std::tuple<Scenario, std::string_view>;

class FaultTest : public ::testing::TestWithParam<Parameter> {
 protected:
  static void SetUpTestSuite() {
    std::thread([] {}).join();
  }

  // Whether the run was as it should be.
  static bool run(FaultPlan& plan) {
    const auto& [scenario, backend] = GetParam();
    World world(scenario.name, backend, plan);
    scenario.run(world);
    const std::string complaints = world.complaints();
    if (!complaints.empty()) ADD_FAILURE() << complaints;
    return complaints.empty();
  }
};

std::string name_of_parameter(const ::testing::TestParamInfo<Parameter>& info) {
  return std::string(std::get<0>(info.param).name) + "_over_" +
         std::string(std::get<1>(info.param));
}

TEST_P(FaultTest, BySeeds) {
  if (const char* const text = std::getenv("REARM_FAULT_SEED")) {
    FaultPlan plan = FaultPlan::seeded(std::strtoull(text, nullptr, 10));
    EXPECT_TRUE(run(plan));
    std::puts(plan.describe().c_str());
    return;
  }
  const std::uint64_t seeds = scaled(25);
  std::uint64_t calls = 0;
  std::uint64_t faults = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    FaultPlan plan = FaultPlan::seeded(seed);
    ASSERT_TRUE(run(plan));
    calls += plan.calls();
    faults += plan.injected();
  }
  std::printf("seeds: %llu, calls: %llu, faults: %llu\n", static_cast<unsigned long long>(seeds),
              static_cast<unsigned long long>(calls), static_cast<unsigned long long>(faults));
}

// A scenario makes a different number of calls when one of them fails, so the sweep ends where a
// run no longer gets to its n-th call.
TEST_P(FaultTest, EachCallInTurn) {
  if (const char* const text = std::getenv("REARM_FAULT_NTH")) {
    char* end = nullptr;
    const std::uint64_t n = std::strtoull(text, &end, 10);
    FaultPlan plan = FaultPlan::nth(n, std::strtoull(end + 1, nullptr, 10));
    EXPECT_TRUE(run(plan));
    std::puts(plan.describe().c_str());
    return;
  }
  // Of a long scenario every so many calls, fewer at a higher scale; and a limit, because runs with
  // several threads are not the same twice.
  FaultPlan none = FaultPlan::nothing();
  ASSERT_TRUE(run(none));
  const std::uint64_t calls = none.calls();
  const std::uint64_t sweep = scaled(20);
  const std::uint64_t stride = std::max<std::uint64_t>(1, calls / sweep);
  std::uint64_t swept = 0;
  std::uint64_t faults = 0;
  for (std::uint64_t n = 1 + sweep % stride; n <= calls + calls / 4; n += stride) {
    bool reached = false;
    for (std::size_t k = 0;; ++k) {
      FaultPlan plan = FaultPlan::nth(n, k);
      ASSERT_TRUE(run(plan));
      reached = plan.calls() >= n;
      if (plan.injected() == 0) break;
      ++faults;
    }
    if (!reached) break;
    ++swept;
  }
  std::printf("calls: %llu, swept: %llu, faults: %llu\n", static_cast<unsigned long long>(calls),
              static_cast<unsigned long long>(swept), static_cast<unsigned long long>(faults));
  EXPECT_GT(faults, 0U);
}

INSTANTIATE_TEST_SUITE_P(Faults, FaultTest,
                         ::testing::Combine(::testing::ValuesIn(scenarios()),
                                            ::testing::ValuesIn(Poller::backends())),
                         name_of_parameter);

// A layer that injects nothing proves nothing: every call is made by the library, and fails.
TEST(FaultLayer, EveryCallFailsSometime) {
  constexpr std::uint64_t kSeeds = 200;
  const auto missing = [] {
    std::string names;
    for (std::size_t i = 0; i < kCalls; ++i) {
      const auto call = static_cast<Call>(i);
      if (total_injected(call) != 0) continue;
      names.append(" ").append(name_of(call));
      names += "(" + std::to_string(total_calls(call)) + " calls)";
    }
    return names;
  };
  for (std::uint64_t seed = 1; seed <= kSeeds && !missing().empty(); ++seed) {
    for (const Scenario& scenario : scenarios()) {
      for (const std::string_view backend : Poller::backends()) {
        FaultPlan plan =
            FaultPlan::seeded(seed, {.silent_per_mille = 150, .reported_per_mille = 60});
        World world(scenario.name, backend, plan);
        scenario.run(world);
        ASSERT_EQ(world.complaints(), "");
      }
    }
  }
  EXPECT_EQ(missing(), "");
  EXPECT_GT(total_stale_reports(), 0U)
      << "no late report was of an earlier life, or none is dropped";
}

// What the library promises to make up for, though the call is one whose errors may be reported.

// Whether a scenario does not notice that the first of its calls of that name failed.
void expect_unnoticed(std::string_view name, std::string_view backend, Call call, int error) {
  FaultPlan plan = FaultPlan::first(call, error);
  const auto scenario = std::ranges::find(scenarios(), name, &Scenario::name);
  ASSERT_NE(scenario, scenarios().end());
  World world(name, backend, plan);
  scenario->run(world);
  EXPECT_EQ(world.complaints(), "");
  EXPECT_EQ(world.excuses(), 0U);
  EXPECT_EQ(plan.injected(), 1U) << name << " over " << backend << " does not make the call";
}

TEST(FaultLayer, WithoutRoomForManyStacksThereIsRoomForOne) {
  expect_unnoticed("many_fibers", "epoll", Call::k_mmap, ENOMEM);
}

// What the library once got wrong, each where it shows at once.

TEST(FaultRegression, AcceptGoesOnAfterTheNetworkErrorsOfAConnection) {
  for (const int error : {ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                          EHOSTUNREACH, ENETUNREACH}) {
    expect_unnoticed("tcp_echo", "epoll", Call::k_accept4, error);
  }
}

TEST(FaultRegression, AnInterruptedConnectOfADatagramSocketIsRepeated) {
  expect_unnoticed("udp_datagrams", "epoll", Call::k_connect, EINTR);
}

TEST(FaultRegression, AnInterruptedWakeIsNotLost) {
  expect_unnoticed("poller_alone", "epoll", Call::k_write, EINTR);
  expect_unnoticed("poller_alone", "poll", Call::k_write, EINTR);
  // Without EVFILT_USER it is a pipe.
  const kqueue_emulation::Quirks before = kqueue_emulation::current_quirks();
  kqueue_emulation::Quirks without_user = before;
  without_user.has_user = false;
  kqueue_emulation::set_quirks(without_user);
  expect_unnoticed("poller_alone", "kqueue", Call::k_write, EINTR);
  kqueue_emulation::set_quirks(before);
}

TEST(FaultRegression, AKqueueOpensThoughItIsInterrupted) {
  expect_unnoticed("poller_alone", "kqueue", Call::k_kevent, EINTR);
}

}  // namespace
}  // namespace rearm::test::faults
