// The wait word and the lifetime word, with every set of those who move them.
//
// wait: names such as wait/park+publish+close. Actors: park (waits once), park2 (waits twice),
// publish, end (takes the waiter, or else publishes, as a fiber does that ends), withdraw, close. A
// waiter that sleeps although an event came after his last return has
// been forgotten; the strict parker says so of one that is woken twice.
//
// life: names such as life/reader+shared+close. Actors: reader and shared (enter, use the number,
// leave), close, remove. The last one out closes the number and begins the next life; nobody may be
// inside then, and nobody of the first life may enter afterwards.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "base/wait_word.h"
#include "explore/word_program.h"
#include "poller/lifetime.h"
#include "sched/fiber.h"
#include "sched/worker.h"

namespace rearm::explore {

using detail::Lifetime;
using detail::Parked;
using detail::ThreadParker;
using detail::WaitWord;
using detail::Worker;

namespace {

// --- The wait word. ---

struct WaitThings {
  WaitWord word;
  int clock = 0;
  int last_event = 0;   // When the last publish began.
  int last_return = 0;  // When the last wait ended.
  bool is_closed = false;
  bool is_withdrawn = false;
};

class WaitProgram final : public WordProgram<WaitThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    const std::string_view actor = actor_of(index);
    if (actor == "park" || actor == "park2") {
      for (int times = actor == "park" ? 1 : 2; times > 0; --times) wait();
    } else if (actor == "publish") {
      things().last_event = ++things().clock;
      finish_wait(things().word.publish().waiter, WakeReason::kReady);
    } else if (actor == "end") {
      things().last_event = ++things().clock;
      Waiter* const waiter = things().word.take();
      finish_wait(waiter != nullptr ? waiter : things().word.publish().waiter, WakeReason::kReady);
    } else if (actor == "withdraw") {
      things().is_withdrawn = true;
      finish_wait(things().word.withdraw(), WakeReason::kTimedOut);
    } else {
      things().is_closed = true;
      finish_wait(things().word.close().waiter, WakeReason::kClosed);
    }
  }

  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      if (Machine::has_ended(i)) continue;
      if (things().is_closed) violation("G2", "%c sleeps on a closed word", 'A' + i);
      if (things().last_event > things().last_return) {
        violation("G5", "an event was lost: %c sleeps", 'A' + i);
      }
    }
  }

 private:
  static void finish_wait(Waiter* waiter, WakeReason reason) {
    if (waiter == nullptr) return;
    waiter->set_reason(reason);
    Worker::wake(*waiter);
  }

  void wait() {
    WaitThings& all = things();
    switch (all.word.prepare()) {
      case WaitWord::Prepared::kPark: park(); break;
      case WaitWord::Prepared::kReady: break;
      case WaitWord::Prepared::kClosed:
        if (!all.is_closed) violation("G2", "a wait says closed before anybody closed");
        break;
      case WaitWord::Prepared::kBusy:
        if (count_of("park") + count_of("park2") < 2) violation("G2", "busy, and nobody waits");
        return;
    }
    all.last_return = ++all.clock;
  }

  void park() {
    ThreadParker parker;
    Parked waiter(parker);
    switch (things().word.commit(waiter)) {
      case WaitWord::Committed::kParked:
        parker.park();
        if (waiter.reason() == WakeReason::kReady && count_of("publish") + count_of("end") == 0) {
          violation("G2", "woken by an event that nobody published");
        }
        break;
      case WaitWord::Committed::kConsumed: break;
      case WaitWord::Committed::kDisturbed:
        // A second waiter may have consumed the event that stopped this one: it looks again.
        if (!things().is_closed && !things().is_withdrawn && count_of("park") < 2) {
          violation("G2", "a wait was disturbed by nobody");
        }
        break;
    }
  }
};

// --- The lifetime word. ---

struct LifeThings {
  LifeThings() { lifetime.begin_life(lifetime.next_generation()); }

  Lifetime lifetime;
  int inside = 0;
  int ends = 0;
  int successes = 0;
  bool is_number_open = true;
};

class LifeProgram final : public WordProgram<LifeThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    const std::string_view actor = actor_of(index);
    Lifetime& lifetime = things().lifetime;
    if (actor == "reader") {
      if (lifetime.enter(1, Direction::kRead) != Lifetime::Entered::kYes) return;
      use();
      if (lifetime.leave(Direction::kRead) == Lifetime::Left::kCloseNumber) end_life();
    } else if (actor == "shared") {
      if (lifetime.enter(1) != Lifetime::Entered::kYes) return;
      use();
      if (lifetime.leave()) end_life();
    } else if (actor == "close") {
      if (!lifetime.close(1)) return;
      ++things().successes;
      if (lifetime.leave()) end_life();
    } else {
      if (lifetime.remove(1) != Lifetime::Removed::kYes) return;
      ++things().successes;
      if (things().inside != 0) violation("G4", "removed with an operation in flight");
      if (lifetime.leave()) end_life();
    }
  }

  void finish() override {
    LifeThings& all = things();
    if (all.successes > 1) violation("G4", "%d calls ended one life", all.successes);
    if (count_of("close") != 0 && all.successes != 1) violation("G4", "no close succeeded");
    if (all.ends != all.successes) {
      violation("G4", "the number was closed %d times, not %d", all.ends, all.successes);
    }
  }

 private:
  void use() {
    ++things().inside;
    begin_step({.mode = Mode::kRead, .object = &things().is_number_open, .what = "use the number"});
    if (!things().is_number_open) violation("G4", "the number was closed under an operation");
    end_step(Mode::kRead, 0, 0);
    --things().inside;
  }

  void end_life() {
    LifeThings& all = things();
    begin_step({.mode = Mode::kWrite, .object = &all.is_number_open, .what = "close the number"});
    if (all.inside != 0) violation("G4", "the number was closed under an operation");
    all.is_number_open = false;
    ++all.ends;
    end_step(Mode::kWrite, 0, 0);
    all.lifetime.begin_life(all.lifetime.next_generation());
  }
};

}  // namespace

std::unique_ptr<Program> make_wait_program(std::vector<std::string> actors) {
  return std::make_unique<WaitProgram>(std::move(actors));
}
std::unique_ptr<Program> make_life_program(std::vector<std::string> actors) {
  return std::make_unique<LifeProgram>(std::move(actors));
}

}  // namespace rearm::explore
