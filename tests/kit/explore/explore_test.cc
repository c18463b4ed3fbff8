// The explorer explored: on toy programs whose executions can be counted by hand or by brute force.
// What it must find is planted; what the reductions leave out must be found without them, too.
#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/thread_parker.h"
#include "explore/driver.h"
#include "explore/machine.h"
#include "explore/scenarios.h"
#include "explore/search.h"

namespace rearm::explore {
namespace {

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

// A program made of functions, over four words, two locks and two parkers.
class Toy final : public Program {
 public:
  struct Things {
    std::array<detail::Atomic<int>, 4> words{};
    std::array<detail::Mutex, 2> locks;
    std::array<detail::ThreadParker, 2> parkers;
    std::array<int, 4> seen{};  // Of each thread: what it has read.
  };

  explicit Toy(std::vector<std::function<void(Things&)>> bodies, std::function<void(Things&)> judge)
      : bodies_(std::move(bodies)), judge_(std::move(judge)) {}

  int threads() const override { return static_cast<int>(bodies_.size()); }
  const char* thread_name(int /*index*/) const override { return "toy"; }
  void reset() override { things_ = new (memory_) Things(); }
  void run(int index) override { bodies_[static_cast<std::size_t>(index)](*things_); }
  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      if (!Machine::has_ended(i)) violation("deadlock", "thread %c waits for ever", 'A' + i);
    }
    if (judge_) judge_(*things_);
    std::string final_state;
    for (const auto& word : things_->words) final_state += std::to_string(word.load()) + ",";
    for (const int seen : things_->seen) final_state += std::to_string(seen) + ";";
    states.insert(final_state);
  }

  std::set<std::string> states;

 private:
  std::vector<std::function<void(Things&)>> bodies_;
  std::function<void(Things&)> judge_;
  alignas(Things) std::byte memory_[sizeof(Things)];
  Things* things_ = nullptr;
};

using Things = Toy::Things;

void increment_badly(Things& things) { things.words[0].store(things.words[0].load() + 1); }
void increment(Things& things) { things.words[0].fetch_add(1); }

void expect_two(Things& things) {
  if (things.words[0].load() != 2) violation("toy", "an update is lost");
}

TEST(Explore, ALostUpdateIsFoundAndReplayed) {
  Toy toy({increment_badly, increment_badly}, expect_two);
  const Tally tally = explore(toy, {}, kNoLimit);
  ASSERT_TRUE(tally.has_failed);
  EXPECT_EQ(tally.violation.message, "an update is lost");
  Search replay({.strategy = Strategy::kReplay, .replay = tally.schedule});
  ASSERT_TRUE(replay.next());
  EXPECT_EQ(Machine::run(toy, replay, true), Ending::kViolation);
  EXPECT_EQ(replay.schedule(), tally.schedule);
  EXPECT_EQ(Machine::violation().message, "an update is lost");
}

TEST(Explore, AnAtomicUpdateIsNotLost) {
  Toy toy({increment, increment}, expect_two);
  const Tally tally = explore(toy, {}, kNoLimit);
  EXPECT_FALSE(tally.has_failed);
  EXPECT_EQ(tally.executions, 2U);
}

TEST(Explore, IndependentStepsAreNotPermuted) {
  Toy toy({[](Things& t) {
             t.words[0].store(1);
             t.words[0].store(2);
           },
           [](Things& t) {
             t.words[1].store(1);
             t.words[1].store(2);
           }},
          nullptr);
  EXPECT_EQ(explore(toy, {}, kNoLimit).executions, 1U);
  EXPECT_EQ(explore(toy, {.strategy = Strategy::kBrute}, kNoLimit).executions, 6U);
}

TEST(Explore, ADeadlockOfTwoLocksIsFound) {
  const auto lock_both = [](int first) {
    return [first](Things& things) {
      things.locks[static_cast<std::size_t>(first)].lock();
      things.words[static_cast<std::size_t>(first)].store(1);
      things.locks[static_cast<std::size_t>(first)].unlock();
      things.parkers[static_cast<std::size_t>(first)].unpark();
      things.parkers[static_cast<std::size_t>(1 - first)].park();
      things.parkers[static_cast<std::size_t>(1 - first)].park();
    };
  };
  Toy toy({lock_both(0), lock_both(1)}, nullptr);
  const Tally tally = explore(toy, {}, kNoLimit);
  ASSERT_TRUE(tally.has_failed);
  EXPECT_EQ(tally.violation.guarantee, "deadlock");
}

void lock_inside_a_lock(Things& things) REARM_NO_THREAD_SAFETY_ANALYSIS {
  const detail::MutexLock one(things.locks[0]);
  const detail::MutexLock two(things.locks[1]);
}

TEST(Explore, ALockInsideALockIsReported) {
  Toy toy({&lock_inside_a_lock}, nullptr);
  const Tally tally = explore(toy, {}, kNoLimit);
  ASSERT_TRUE(tally.has_failed);
  EXPECT_EQ(tally.violation.guarantee, "G7");
}

TEST(Explore, AStackThatMistakesANodeForItselfIsFound) {
  // Words: 0 the top, 1 and 2 what lies below node 1 and node 2. The slow pop meets node 1 again.
  const auto pop = [](Things& things) {
    int top = things.words[0].load();
    if (top == 0) return;
    const int below = things.words[static_cast<std::size_t>(top)].load();
    if (things.words[0].compare_exchange_strong(top, below)) ++things.seen[0];
  };
  const auto pop_two_push_one = [](Things& things) {
    things.words[0].store(2);
    things.words[0].store(0);
    things.words[1].store(0);
    things.words[0].store(1);
    things.seen[1] = 1;
  };
  Toy toy({[](Things& things) {
             things.words[1].store(2);
             things.words[0].store(1);
             things.words[3].store(1);
           },
           [pop](Things& things) {
             if (things.words[3].load() != 0) pop(things);
           },
           [=](Things& things) {
             if (things.words[3].load() != 0) pop_two_push_one(things);
           }},
          [](Things& things) {
            if (things.words[0].load() == 2 && things.seen[1] != 0) {
              violation("toy", "a node that was taken is on the stack again");
            }
          });
  EXPECT_TRUE(explore(toy, {}, kNoLimit).has_failed);
}

TEST(Explore, ATurnInACircleIsReported) {
  Toy toy({[](Things& things) {
            while (things.words[0].load() == 0) (void)things.words[1].load();
          }},
          nullptr);
  const Tally tally = explore(toy, {}, kNoLimit);
  ASSERT_TRUE(tally.has_failed);
  EXPECT_EQ(tally.violation.guarantee, "livelock");
}

TEST(Explore, AnAccessToNowhereIsReportedAndTheNextExecutionRuns) {
  Toy toy({[](Things& things) {
             const int address = things.words[0].load();
             if (address != 0)
               *reinterpret_cast<volatile int*>(std::intptr_t{address} * 8) = address;
           },
           [](Things& things) { things.words[0].store(1); }},
          nullptr);
  const Tally tally = explore(toy, {}, kNoLimit);
  ASSERT_TRUE(tally.has_failed);
  EXPECT_EQ(tally.violation.guarantee, "memory");
  Toy sound({increment, increment}, expect_two);
  EXPECT_FALSE(explore(sound, {}, kNoLimit).has_failed);
}

// A bug of depth two: the reader must run between two stores of the writer.
TEST(Explore, RandomPrioritiesFindABugOfDepthTwo) {
  Toy toy({[](Things& t) {
             t.words[0].store(1);
             t.words[1].store(1);
           },
           [](Things& t) { t.seen[0] = t.words[0].load() - t.words[1].load(); },
           [](Things& t) {
             for (int i = 0; i < 4; ++i) t.words[2].fetch_or(1);
           }},
          [](Things& t) {
            if (t.seen[0] != 0) violation("toy", "half of an update was seen");
          });
  const Tally tally =
      explore(toy, {.strategy = Strategy::kPct, .depth = 2, .seed = 3, .runs = 2000}, kNoLimit);
  EXPECT_TRUE(tally.has_failed);
}

// --- Random programs: the reductions against brute force. ---

std::uint64_t next_random(std::uint64_t& state) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return state >> 33;
}

// One to four steps, on few objects, so that most steps have somebody to race with.
std::function<void(Things&)> random_body(std::uint64_t seed, std::size_t self, int steps) {
  return [seed, self, steps](Things& things) {
    std::uint64_t state = seed;
    for (int i = 0; i < steps; ++i) {
      detail::Atomic<int>& word = things.words[next_random(state) % 2];
      int expected = static_cast<int>(next_random(state) % 3);
      int& seen = things.seen[self];
      switch (next_random(state) % 7) {
        case 0: seen = seen * 5 + word.load(); break;
        case 1: word.store(static_cast<int>(self) + 1); break;
        case 2: seen = seen * 5 + (word.compare_exchange_strong(expected, 2) ? 3 : expected); break;
        case 3: word.fetch_add(1, detail::kRelaxed); break;
        case 4: seen = seen * 5 + word.exchange(static_cast<int>(self)); break;
        case 5: {
          const detail::MutexLock lock(things.locks[next_random(state) % 2]);
          word.store(word.load() + 1);
          break;
        }
        default: {
          // What it sees decides what it does.
          if (word.load() != 0) things.words[2].fetch_or(1 << self);
          break;
        }
      }
    }
  };
}

Toy random_toy(std::uint64_t seed, std::size_t threads, int steps) {
  std::vector<std::function<void(Things&)>> bodies;
  for (std::size_t i = 0; i < threads; ++i) {
    bodies.push_back(random_body(seed * 31 + i, i, steps));
  }
  return Toy(std::move(bodies), nullptr);
}

void expect_same_states(std::uint64_t seed, std::size_t threads, int steps) {
  Toy brute = random_toy(seed, threads, steps);
  const Tally all = explore(brute, {.strategy = Strategy::kBrute}, kNoLimit);
  Toy reduced = random_toy(seed, threads, steps);
  const Tally some = explore(reduced, {}, kNoLimit);
  EXPECT_EQ(reduced.states, brute.states) << "seed " << seed;
  EXPECT_LE(some.executions, all.executions);
  // A bound that is never reached must not keep anything out.
  Toy bounded = random_toy(seed, threads, steps);
  (void)explore(bounded, {.strategy = Strategy::kBounded, .preemptions = 100}, kNoLimit);
  EXPECT_EQ(bounded.states, brute.states) << "seed " << seed;
}

TEST(Explore, TwoThreadsReachTheSameStatesAsByBruteForce) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) expect_same_states(seed, 2, 4);
}

TEST(Explore, ThreeThreadsReachTheSameStatesAsByBruteForce) {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) expect_same_states(seed, 3, 2);
}

// Every state that at most two preemptions reach is reached within the bound of two.
class CountingToy {
 public:
  static std::set<std::string> within(std::uint64_t seed, int preemptions) {
    Toy toy = random_toy(seed, 3, 2);
    Search search({.strategy = Strategy::kBrute});
    std::set<std::string> states;
    while (search.next()) {
      const std::set<std::string> before = std::move(toy.states);
      toy.states.clear();
      if (Machine::run(toy, search, false) != Ending::kDone) continue;
      if (search.preemptions() <= preemptions) states.insert(toy.states.begin(), toy.states.end());
    }
    return states;
  }
};

TEST(Explore, TheBoundKeepsNothingOutThatItAllows) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    for (const int preemptions : {0, 1, 2}) {
      Toy bounded = random_toy(seed, 3, 2);
      (void)explore(bounded, {.strategy = Strategy::kBounded, .preemptions = preemptions},
                    kNoLimit);
      EXPECT_EQ(bounded.states, CountingToy::within(seed, preemptions))
          << "seed " << seed << ", " << preemptions << " preemptions";
    }
  }
}

TEST(Explore, TheSameSeedGivesTheSameRuns) {
  Stage stage;
  Program* const program = stage.set("read+report+close+wake", "event_port");
  ASSERT_NE(program, nullptr);
  const auto steps_of = [&] {
    return explore(*program, {.strategy = Strategy::kPct, .seed = 9, .runs = 200}, kNoLimit).steps;
  };
  EXPECT_EQ(steps_of(), steps_of());
}

TEST(Explore, EveryScenarioOfTheListCanBeMade) {
  Stage stage;
  for (const Entry& entry : all_scenarios()) {
    EXPECT_NE(stage.set(entry.name, entry.backend), nullptr) << entry.name << " " << entry.backend;
  }
  EXPECT_EQ(stage.set("read+nonsense", "poll"), nullptr);
  EXPECT_EQ(stage.set("read+close", "nonsense"), nullptr);
  EXPECT_EQ(stage.set("wait/nonsense", ""), nullptr);
}

}  // namespace
}  // namespace rearm::explore
