// DescriptorWorld: one descriptor, its poller, and up to eight threads that do things to it.
//
// What this is. The scenarios of the descriptor protocol. An actor is one thread that does one of
// the fifteen things that can happen to a descriptor; a scenario is a set of actors over one class
// of backend. Everything that an actor calls is the library's own code, from Fd down: a simulated
// thread is a plain thread to the library, which blocks where a fiber would park.
//
// The world before the actors. A runtime, one descriptor, in slot 0, and, unless the scenario says
// `alone`, a waiter that is parked already in each direction that no actor takes: so that every
// close, report and cancellation meets somebody, and a re-arm has something left to arm.
//
// The world after them (quiescent). When nobody can go on: poll until the kernel has nothing to
// report. Whoever still waits though his direction is ready has been forgotten (G5). Then make
// everything ready: whoever waits on an open descriptor must come back, or his wish was lost on the
// way to the kernel (G5, G6). Then let the time of deadlines come, and wake who sleeps in the
// kernel. Whoever still waits then waits for ever.
//
// The verdict (finish). Each close reported success once; numbers that the library owned are
// closed, once; nothing is watched; no descriptor, no slot is missing or there twice; every
// operation ended for a reason that somebody gave.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "explore/kernel.h"
#include "explore/machine.h"

namespace rearm::explore {

enum class Actor : std::uint8_t {
  kRead,    // Reads one byte, parking while there is none.
  kWrite,   // Writes one byte, parking while there is no room.
  kReport,  // The peer makes it readable; then one look at the kernel, and the waiters are woken.
  kWake,    // Poller::wake().
  kExpiry,  // Time passes the standing deadline of both directions.
  kReset,   // set_read_deadline(): to never if there is an expiry, to the past otherwise.
  kCancel,  // Poller::cancel() of reading.
  kClose,   // close().
  kClose2,  // close() again.
  kReopen,  // close(); the number is at once opened and added again, and its writing waited for.
  kPoll,    // collect() without a deadline, beside those of the reports.
  kStop,    // Runtime::request_stop().

  // Of named scenarios alone: not combined with all others.
  kReread,  // A short read of TCP, wait_readable(), and another read, which may go by the rule.
  kDrain,   // Short reads of TCP until the end, or an error.
  kEnd,     // The peer sends its last byte and its end: one report says both.
};

inline constexpr int kActors = 15;
inline constexpr int kCombined = 12;

[[nodiscard]] const char* name_of(Actor actor) noexcept;

// What outlives every world: the table of descriptors and its first segment, in the arena.
void prepare_ground();

class DescriptorWorld final : public Program {
 public:
  struct Scenario {
    std::vector<Actor> actors;
    bool alone = false;  // Nobody waits before the actors come.
  };

  // The name that parse() understands: read+report+close, close+reopen!alone.
  [[nodiscard]] static std::string name_of(const Scenario& scenario);
  [[nodiscard]] static std::optional<Scenario> parse(std::string_view name);

  // Builds the world of this class; one at a time.
  explicit DescriptorWorld(Class kind);
  ~DescriptorWorld() override;

  void set(const Scenario& scenario);

  [[nodiscard]] int threads() const override { return static_cast<int>(scenario_.actors.size()); }
  [[nodiscard]] const char* thread_name(int index) const override;
  void reset() override;
  void run(int index) override;
  [[nodiscard]] bool quiescent() override;
  void finish() override;
  [[nodiscard]] bool observes() const override { return has(Actor::kReopen); }
  void observe(int thread, const Step& step, Mode mode) override;
  [[nodiscard]] std::string name_of(const void* object) const override;
  [[nodiscard]] std::string value_of(const void* object, std::uint64_t value) const override;
  [[nodiscard]] std::string state() const override;

 private:
  struct Things;

  [[nodiscard]] bool has(Actor actor) const;
  void park_somebody(Direction direction);
  void judge_waits(const char* when);
  void judge_closes();
  void judge_results();
  void judge_leaks();
  void take(int index, Actor actor);
  void close_and_reopen(int index);
  [[nodiscard]] Result<std::size_t> read_again(int index);
  [[nodiscard]] Result<std::size_t> read_to_the_end(int index);
  void collect(Deadline deadline);
  void mark(int& when, const char* what);

  Scenario scenario_;
  Kernel saved_kernel_;
  Things* things_ = nullptr;
};

}  // namespace rearm::explore
