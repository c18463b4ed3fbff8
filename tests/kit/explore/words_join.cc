// Joins that cannot end.
//
// join: names such as join/ring+ring. Each thread stands for a fiber that joins the next one, or
// for the last one of a chain, and then ends. Actors: ring (joins the next; the last one the
// first), deep (the same, each spawned by the one before it), chain (joins the next; the last one
// joins nobody). In a ring one at least must be told, so that nobody sleeps; in a chain nobody.
// Nobody may touch a fiber whose memory is gone: it goes when it has ended and was joined or let
// go.
#include <array>
#include <memory>

#include "base/wait_word.h"
#include "explore/peek.h"
#include "explore/word_program.h"
#include "sched/fiber.h"
#include "sched/join_ring.h"
#include "sched/worker.h"

namespace rearm::explore {

using detail::Atomic;
using detail::Fiber;
using detail::JoinRing;
using detail::Mutex;
using detail::Parked;
using detail::Scheduler;
using detail::Stack;
using detail::ThreadParker;
using detail::WaitWord;
using detail::Worker;

struct Sideways {
  using Type = Atomic<std::uint64_t>*;
  friend constexpr Type member_of(Sideways);
};
struct RingMu {
  using Type = Mutex*;
  friend constexpr Type member_of(RingMu);
};
template struct Peek<&JoinRing::sideways_, Sideways>;
template struct Peek<&JoinRing::mu_, RingMu>;

namespace {

constexpr std::size_t kMost = 4;

struct JoinThings {
  JoinThings() {
    new (member_of(Sideways{})) Atomic<std::uint64_t>(0);
    new (member_of(RingMu{})) Mutex;
  }

  alignas(64) std::byte fibers[kMost][sizeof(Fiber)];
  alignas(64) std::byte no_scheduler[64];  // Nobody looks at it.
  Stack no_stack;
  std::array<bool, kMost> is_gone{};
  int told = 0;

  [[nodiscard]] Fiber& fiber(int index) {
    return *reinterpret_cast<Fiber*>(&fibers[static_cast<std::size_t>(index)]);
  }
};

class JoinProgram final : public WordProgram<JoinThings> {
 public:
  using WordProgram::WordProgram;

  void reset() override {
    WordProgram::reset();
    JoinThings& all = things();
    for (int i = 0; i < threads(); ++i) {
      const auto depth = static_cast<std::uint32_t>(actor_of(i) == "deep" ? i : 0);
      new (&all.fiber(i)) Fiber(reinterpret_cast<Scheduler&>(all.no_scheduler), all.no_stack,
                                static_cast<std::uint64_t>(i), depth, SpawnOptions{},
                                std::source_location::current());
    }
  }

  void run(int index) override {
    const bool is_last = index == threads() - 1;
    if (actor_of(index) != "chain") {
      join(index, is_last ? 0 : index + 1);
    } else if (!is_last) {
      join(index, index + 1);
    }
    // As settle_end() does it.
    const WaitWord::Found found = things().fiber(index).done.publish();
    if (found.waiter != nullptr) {
      found.waiter->set_reason(WakeReason::kReady);
      Worker::wake(*found.waiter);
    } else if (found.closed) {
      things().is_gone[static_cast<std::size_t>(index)] = true;
    }
  }

  [[nodiscard]] bool observes() const override { return true; }
  void observe(int thread, const Step& step, Mode /*mode*/) override {
    for (int i = 0; i < threads(); ++i) {
      if (!things().is_gone[static_cast<std::size_t>(i)]) continue;
      const auto at = reinterpret_cast<std::uintptr_t>(step.object);
      const auto begin = reinterpret_cast<std::uintptr_t>(&things().fiber(i));
      if (at >= begin && at < begin + sizeof(Fiber)) {
        violation("memory", "%c touches fiber %c, which is gone", 'A' + thread, 'A' + i);
      }
    }
  }

  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      if (!Machine::has_ended(i)) violation("G8", "%c waits for its own end", 'A' + i);
    }
    const bool is_ring = count_of("chain") == 0;
    if (is_ring && things().told == 0) violation("G8", "a ring of joins has ended");
    if (!is_ring && things().told != 0) violation("G8", "a chain was taken for a ring");
  }

 private:
  // As wait_for_end() does it, and then what the handle does.
  void join(int self, int other) {
    Fiber& joined = things().fiber(other);
    if (wait(things().fiber(self), joined)) {
      joined.done.put_back();
      things().is_gone[static_cast<std::size_t>(other)] = true;
      return;
    }
    ++things().told;
    if (joined.done.close().ready) things().is_gone[static_cast<std::size_t>(other)] = true;
  }

  [[nodiscard]] bool wait(Fiber& self, Fiber& joined) {
    JoinRing ring(self, joined);
    if (joined.done.prepare() == WaitWord::Prepared::kReady) return true;
    if (ring.is_closed()) return false;
    ThreadParker parker;
    Parked waiter(parker);
    if (joined.done.commit(waiter) == WaitWord::Committed::kParked) parker.park();
    return true;
  }
};

}  // namespace

std::unique_ptr<Program> make_join_program(std::vector<std::string> actors) {
  return std::make_unique<JoinProgram>(std::move(actors));
}

}  // namespace rearm::explore
