// Search: which thread takes the next step, and which executions are worth running.
//
// What this is. Four ways to choose:
//
//   kAll      every execution that differs in the order of two dependent steps, once: source sets
//             (Abdulla, Aronis, Jonsson, Sagonas, "Optimal dynamic partial order reduction", POPL
//             2014), which sharpen the backtrack sets of Flanagan and Godefroid ("Dynamic
//             partial-order reduction for model checking software", POPL 2005), with sleep sets
//             (Godefroid, LNCS 1032, 1996). Sound and complete for programs that end.
//   kBounded  at most so many preemptions (Musuvathi and Qadeer, PLDI 2007): a switch away from a
//             thread that could have gone on. Reduction as in Coons, Musuvathi and McKinley
//             ("Bounded partial-order reduction", OOPSLA 2013): each backtrack point is repeated at
//             the beginning of the block in which it falls, where switching is free, and sleep sets
//             are not used, because a bound makes them unsound.
//   kBrute    every interleaving of the steps. To check the others with.
//   kPct      priorities at random, lowered at d - 1 random steps (Burckhardt, Kothari, Musuvathi,
//             Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs",
//             ASPLOS 2010): a bug of depth d in a program of n threads and k steps shows in one run
//             with a probability of at least 1 / (n k^(d-1)).
//   kReplay   the choices that a string says.
//
// How kAll works. Each step gets a vector clock: which steps of each thread happened before it,
// where program order and order on an object count. A step that depends on an earlier one of
// another thread, and is not after it anyway, races with it: then an execution that begins with the
// later one must be run, too, from the state before the earlier one. The choices are a path in a
// tree; when an execution is over, the search goes back to the deepest state with a choice left.
// A blocked thread races by the step that it waits to take.
//
// Dependence is decided by what a step did: a compare-and-exchange that failed is a read.
//
// Rejected. Optimal DPOR with wakeup trees: fewer cut executions (they are counted and printed),
// more machinery to trust.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "explore/machine.h"

namespace rearm::explore {

enum class Strategy : std::uint8_t { kAll, kBounded, kBrute, kPct, kReplay };

class Search {
 public:
  struct Options {
    Strategy strategy = Strategy::kAll;
    int preemptions = 3;        // kBounded.
    int depth = 3;              // kPct: d.
    std::uint64_t seed = 1;     // kPct.
    std::uint64_t runs = 1000;  // kPct.
    std::string_view replay = {};
  };

  explicit Search(const Options& options);

  // --- For the machine. ---

  // One of the enabled threads, or -1: give this execution up.
  [[nodiscard]] int choose(unsigned enabled);
  void executed(int thread, const Step& step, Mode mode);
  // Nobody can go on: what comes now comes after all that was.
  void barrier(int threads);

  // --- For the driver. ---

  // Prepares the next execution. False: there is none.
  [[nodiscard]] bool next();
  // The choices of the last execution, for kReplay: runs of steps, such as A3B1A7.
  [[nodiscard]] std::string schedule() const;
  [[nodiscard]] int steps() const noexcept { return depth_; }
  [[nodiscard]] int preemptions() const noexcept;
  // kBounded: whether the bound has kept anything out.
  [[nodiscard]] bool bound_was_reached() const noexcept { return bound_reached_; }

 private:
  // Eight 16-bit indices: of each thread, the number of its last step that happened before.
  using Clock = std::uint16_t __attribute__((vector_size(16)));
  static_assert(kMaxThreads == 8);

  struct State {  // Before a step.
    std::uint8_t enabled = 0;
    std::uint8_t sleep = 0;  // Threads whose turn here leads nowhere new.
    std::uint8_t backtrack = 0;
    std::int8_t chosen = -1;
    std::uint8_t preemptions = 0;
  };
  struct Event {  // A step that was taken.
    Clock clock;
    std::int8_t thread;
    Touch first;
    MoreTouches more;
  };
  // Who touched an object: numbers of steps, from 1; 0 is nobody.
  struct Object {
    const void* address = nullptr;
    std::uint32_t execution = 0;
    std::uint16_t write = 0;
    std::uint8_t readers = 0;
    std::uint8_t adders = 0;
    std::array<std::uint16_t, kMaxThreads> read{};
    std::array<std::uint16_t, kMaxThreads> add{};
  };
  struct Candidates {
    std::array<std::uint16_t, 40> steps;
    std::size_t count = 0;
  };

  static constexpr std::size_t kObjects = 1024;

  [[nodiscard]] bool is_reducing() const noexcept {
    return options_.strategy == Strategy::kAll || options_.strategy == Strategy::kBounded;
  }
  [[nodiscard]] Object& object_of(const void* address);
  void collect(const Touch& touch, Candidates& out);
  void mark(const Touch& touch, int thread);
  void join(int thread, const Candidates& candidates, bool detects);
  void race(int earlier, int thread);
  void race_bounded(int earlier, int thread);
  [[nodiscard]] std::uint8_t initials(int earlier) const;
  [[nodiscard]] static bool depends(const Step& step, const Event& event);
  [[nodiscard]] std::uint8_t sleepers() const;

  [[nodiscard]] int choose_first_time(unsigned enabled);
  [[nodiscard]] int choose_by_priority(unsigned enabled);
  [[nodiscard]] int choose_by_replay(unsigned enabled);
  void begin_pct();
  [[nodiscard]] std::uint64_t random();

  Options options_;
  std::vector<State> states_;
  std::vector<Event> events_;
  std::array<Clock, kMaxThreads> clocks_{};
  std::array<Object, kObjects> objects_{};
  std::uint32_t execution_ = 0;
  int depth_ = 0;    // Steps that were taken.
  int choices_ = 0;  // That, or one more.
  int prefix_ = 0;   // So many choices are those of the execution before, the last one is new.
  bool after_barrier_ = false;
  bool bound_reached_ = false;

  // kPct.
  std::uint64_t run_ = 0;
  std::uint64_t random_ = 0;
  std::array<int, kMaxThreads> priority_{};
  std::array<int, 16> change_at_{};
  int longest_ = 64;
  int streak_ = 0;

  std::size_t replay_at_ = 0;
  int replay_left_ = 0;
  int replay_thread_ = -1;
};

}  // namespace rearm::explore
