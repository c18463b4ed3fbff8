// Control: one worker whose every next step is chosen by somebody else, in virtual time.
//
// What this is. The mechanism below rearm::testing. A scheduler with one worker may be given a
// Control; from then on no fiber goes on but by a choice of its Chooser among all that could, and
// the thread's clock stands still until it is chosen that time passes. What is chosen how, and what
// is made of it, is the business of the room testing.
//
// How it works. Fibers that become runnable go into the worker's queue as always. But the worker
// takes none from there: it sets its tick so that every fiber that leaves comes to the worker's own
// context, which asks next(). That takes everything out of the queue into the line, first in first
// out, looks at the kernel without waiting, and lets the chooser choose. With nothing to run it
// lets time pass to the earliest timer; without timers it waits for a while for what may come from
// outside, and then says that nobody can go on.
//
// Choice points. A fiber that parks, yields or ends leaves anyway. Beside that, the public
// operations that may park or wake call choice_before() and choice_after(), because on several
// threads somebody else could come in between there. The fiber then stands first in the line.
// Outside of tests both are one relaxed load and a branch that is never taken.
//
// Who may call. The thread that made the Control, which runs the scheduler; the hooks: any thread,
// holding no lock. Nothing here is touched by two threads.
//
// Rejected. Lists in place of the run queue: every push would ask which. A virtual scheduler: the
// hot path would pay for it. Replacing the library's base, as tests/kit/explore does: its users
// would have to compile it once more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "base/virtual_clock.h"
#include "base/wait_record.h"
#include "rearm/waiter.h"

namespace rearm::detail {

class Fiber;
class Processor;
class Scheduler;

// One fiber of a run under control. Kept until the next run begins.
struct Controlled {
  // Why it can go on, or that it cannot.
  enum class State : std::uint8_t {
    kStarts,
    kBefore,  // About to do its act,
    kAfter,   // or has just done it.
    kYielded,
    kWoken,
    kRunning,
    kParked,
    kEnded,
  };

  std::uint32_t number = 0;  // In the order of spawning, from 1.
  State state = State::kStarts;
  const Act* act = nullptr;  // What it is in, or has just done; of one that is parked, what it
                             // waits for (Fiber::waits);
  std::int64_t object = 0;   // to which descriptor or fiber: its number.
  WakeReason reason = WakeReason::kReady;  // Of kWoken.
  Fiber* fiber = nullptr;                  // Until it has ended.
  std::uint64_t id = 0;                    // Of the fiber.
  std::string name;
  std::source_location site;
};

class Chooser {
 public:
  struct Choice {
    std::span<Controlled* const> line;  // Those who can go on; the first one is the default.
    bool may_time_pass;                 // Then line.size() is an option, too: the earliest timer.
    std::int64_t now_ns;
  };

  Chooser() = default;
  Chooser(const Chooser&) = delete;
  Chooser& operator=(const Chooser&) = delete;
  virtual ~Chooser() = default;

  // Which option it shall be; called for the only one, too. Nothing: the run is to be stopped. Then
  // every wait is cancelled, and the fibers go on in line, unasked, until they have ended.
  [[nodiscard]] virtual std::optional<std::size_t> choose(const Choice& choice) = 0;
  // Nobody can go on, and nothing came from outside. The run will be stopped.
  virtual void deadlock() = 0;
  // The run was stopped, and its fibers do not end, or wait for what a stop does not end. Must not
  // return.
  virtual void cannot_stop() = 0;
};

class Control {
 public:
  struct Options {
    std::int64_t start_ns = 0;               // What the clock shows when a run begins.
    std::int64_t patience_ns = 100'000'000;  // For what comes from outside; in real time.
    std::uint64_t stop_steps = 100'000;      // In which a run that is stopped must have ended.
  };

  // Takes control of a scheduler, which must have one worker and must not run.
  Control(Scheduler& scheduler, Chooser& chooser, const Options& options);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  // Before each run.
  void begin_run();

  // The fibers of this run, by their numbers.
  [[nodiscard]] const std::deque<Controlled>& fibers() const noexcept { return fibers_; }

  // The next fiber to run, or nullptr at the end. By the worker, on its own context.
  [[nodiscard]] Fiber* next(Processor& processor);

  // --- What the hooks below call, of the running fiber, if it is under control. ---

  [[gnu::cold]] static void pass_before(const Act& act, const int* object);
  [[gnu::cold]] static void pass_after(const Act& act);
  [[gnu::cold]] static void announce_yield();
  [[gnu::cold]] static void pass_after_join(const Fiber& fiber);
  [[gnu::cold]] static void pass_before_join(const Fiber& fiber);
  [[gnu::cold]] static void spawned(Fiber& fiber);
  // Returns whether the fiber is under control.
  [[gnu::cold]] static bool ended(Fiber& fiber);
  // Whether it is of a run that was stopped.
  [[nodiscard, gnu::cold]] static bool is_stopped(const Fiber& fiber);

 private:
  [[nodiscard]] static Controlled* running();
  static void pass(Controlled& self, Controlled::State state);
  Controlled& of(Fiber& fiber);
  void see_wait(Controlled& self);
  void look_around(Processor& processor);
  void take_in(Fiber& fiber);
  [[nodiscard]] Fiber* take_out(std::size_t chosen);
  [[nodiscard]] bool something_comes(Processor& processor);
  [[nodiscard]] std::optional<std::size_t> choose(bool may_time_pass);
  void stop();

  Scheduler& scheduler_;
  Chooser& chooser_;
  const Options options_;
  VirtualClock clock_;
  std::deque<Controlled> fibers_;
  std::vector<Controlled*> line_;
  Controlled* ran_ = nullptr;  // Who went on last, unless it has ended.
  bool stopped_ = false;
  std::uint64_t steps_since_stop_ = 0;
};

// --- The hooks, for the rooms that have public operations. Each costs production one load. ---

// The calling fiber is about to do something that others may notice; another may go first. What it
// is done to is read under control only: the number of a descriptor that may be closing.
inline void choice_before(const Act& act, const int* object = nullptr) {
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::pass_before(act, object);
}
// It has done it; whoever noticed may overtake it.
inline void choice_after(const Act& act) {
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::pass_after(act);
}
// Both, around a call.
class ChoicesAround {
 public:
  explicit ChoicesAround(const Act& act, const int* object = nullptr) : act_(act) {
    choice_before(act_, object);
  }
  ChoicesAround(const ChoicesAround&) = delete;
  ChoicesAround& operator=(const ChoicesAround&) = delete;
  ~ChoicesAround() { choice_after(act_); }

 private:
  const Act& act_;
};

// If it leaves next, it yields. Not a choice point.
inline void announce_yield() {
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::announce_yield();
}
// A join that may time out sees whether the fiber has ended.
inline void choice_before_join(const Fiber& fiber) {
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::pass_before_join(fiber);
}
// It was not parked, because the fiber had ended.
inline void choice_after_join(const Fiber& fiber) {
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::pass_after_join(fiber);
}

}  // namespace rearm::detail
