// Machine: simulated threads on one real thread, run one step at a time.
//
// What this is. The controlled runtime. A Program says which threads there are and what each does;
// each is a Boost.Context fiber on a stack of its own. A thread runs until its next step, announces
// it (step.h) and asks the Search who goes on. If that is itself, it goes on without a switch.
//
// How an execution goes. Program::reset() makes the world as new. Every thread runs to its first
// step. Then the search chooses, step after step. When nobody can go on (all have ended, or wait)
// the machine calls Program::quiescent(), which plays the rest of the world: it polls, makes
// descriptors ready, lets time pass, and says whether it has changed anything. When it has not,
// Program::finish() judges what is left. Both run outside the simulated threads, where a step is a
// plain operation. An execution that ends early (a violation, a redundant prefix) leaves the stacks
// as they are; the next reset() and fresh contexts make that harmless.
//
// Everything is deterministic: the same choices give the same execution, whatever the addresses.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "explore/step.h"

namespace rearm::explore {

inline constexpr int kMaxThreads = 8;
// An execution that takes more steps than this does not come to an end by itself.
inline constexpr int kMaxSteps = 4000;

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  virtual ~Program() = default;

  [[nodiscard]] virtual int threads() const = 0;
  [[nodiscard]] virtual const char* thread_name(int index) const = 0;
  virtual void reset() = 0;
  virtual void run(int index) = 0;
  [[nodiscard]] virtual bool quiescent() { return false; }
  virtual void finish() {}
  // Before another thread than the last one runs; for what belongs to a thread.
  virtual void switched(int /*from*/, int /*to*/) {}
  // After each step, if observes() says so: for what depends on who did what when.
  [[nodiscard]] virtual bool observes() const { return false; }
  virtual void observe(int /*thread*/, const Step& /*step*/, Mode /*mode*/) {}
  // For the report: the name of an object, a value of it in words, and the state of the world.
  [[nodiscard]] virtual std::string name_of(const void* object) const;
  [[nodiscard]] virtual std::string value_of(const void* object, std::uint64_t value) const;
  [[nodiscard]] virtual std::string state() const { return {}; }
};

class Search;

enum class Ending : std::uint8_t {
  kDone,       // Judged, and well.
  kCut,        // The search gave it up as redundant.
  kViolation,  // See Violation.
};

struct Violation {
  std::string guarantee;
  std::string message;
};

// One line of a report.
struct Row {
  int thread = -1;  // -1: the rest of the world, or a remark.
  std::string text;
  std::string state;
};

class Machine {
 public:
  // Runs one execution. Fills in rows() if asked to record.
  [[nodiscard]] static Ending run(Program& program, Search& search, bool record);

  [[nodiscard]] static const Violation& violation();
  [[nodiscard]] static const std::vector<Row>& rows();

  // What a thread that has not ended is about to do.
  [[nodiscard]] static const Step& pending(int thread);
  [[nodiscard]] static bool has_ended(int thread);
  // The thread that runs, or ran last.
  [[nodiscard]] static int current();
  // Adds a remark to the report; costs nothing unless recording.
  [[gnu::format(printf, 1, 2)]] static void note(const char* format, ...);
};

}  // namespace rearm::explore
