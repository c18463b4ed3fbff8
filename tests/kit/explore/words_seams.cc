// The seams for what waits in more ways than one: queues of waiters, and claims.
//
// line: names such as line/wait+wait+give. Actors: wait (waits in the queue once, unless a gift
// lies there), give (gives to the first in the queue, or lays the gift down), expire (a deadline
// ends the first waiter's wait). Every gift is received once or still lies there, and nobody sleeps
// beside one.
//
// claim: names such as claim/choose+give+give2. Actors: choose (waits for a gift from one of two
// queues, with a claim), give and give2 (to the first and the second queue), expire. What loses the
// claim still lies there.
//
// words: names such as words/choose+publish+publish2. Actors: choose (waits for one of two words
// that hold one waiter each), publish and publish2 (an event for the first and the second word),
// shut (closes the second word), expire. An event that did not win is still in its word, and nobody
// touches the claim after the chooser has gone on.
#include <array>
#include <cstdint>
#include <memory>

#include "base/claim.h"
#include "base/wait_queue.h"
#include "base/wait_word.h"
#include "explore/word_program.h"
#include "sched/fiber.h"
#include "sched/worker.h"

namespace rearm::explore {

using detail::Claim;
using detail::Mutex;
using detail::MutexLock;
using detail::Parked;
using detail::Place;
using detail::ThreadParker;
using detail::WaitQueue;
using detail::WaitWord;
using detail::Worker;

namespace {

// As wait_on() of a plain thread, without a deadline.
void wait_on(WaitWord& word) {
  ThreadParker parker;
  Parked waiter(parker);
  if (word.commit(waiter) == WaitWord::Committed::kParked) parker.park();
}

void end_wait(WaitWord& word, WakeReason reason) {
  if (Waiter* const waiter = word.withdraw()) {
    waiter->set_reason(reason);
    Worker::wake(*waiter);
  }
}

bool lies_in(const void* object, const void* whole, std::size_t bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(object);
  const auto begin = reinterpret_cast<std::uintptr_t>(whole);
  return at >= begin && at < begin + bytes;
}

// --- A queue, and two of them. ---

// What is given lies here if nobody waits for it.
struct Counter {
  Mutex mu;
  WaitQueue queue;
  int gifts = 0;
};

struct LineThings {
  std::array<Counter, 2> counters;
  // Of the waiters; in place of their frames.
  std::array<WaitWord, kMaxThreads> words;
  std::array<bool, kMaxThreads> is_over{};
  Claim claim;
  int given = 0;
  int received = 0;
};

class LineProgram final : public WordProgram<LineThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    if (actor_of(index) == "wait") {
      wait(index);
    } else if (actor_of(index) == "choose") {
      choose();
    } else if (actor_of(index) == "expire") {
      end_wait(count_of("choose") != 0 ? things().claim.word() : things().words[0],
               WakeReason::kTimedOut);
    } else {
      give(things().counters[actor_of(index) == "give2" ? 1 : 0]);
    }
  }

  [[nodiscard]] bool observes() const override { return true; }
  void observe(int thread, const Step& step, Mode /*mode*/) override {
    LineThings& all = things();
    if (actor_of(thread) == "expire") return;  // A timer is stopped before its wait is over.
    for (std::size_t i = 0; i < all.is_over.size(); ++i) {
      if (!all.is_over[i]) continue;
      const bool is_gone = actor_of(static_cast<int>(i)) == "choose"
                               ? lies_in(step.object, &all.claim, sizeof(Claim))
                               : step.object == &all.words[i];
      if (is_gone) violation("memory", "%c touches a wait that is over", 'A' + thread);
    }
  }

  void finish() override {
    LineThings& all = things();
    const int lying = all.counters[0].gifts + all.counters[1].gifts;
    if (all.received + lying != all.given) {
      violation("G2", "%d gifts, %d received, %d lie there", all.given, all.received, lying);
    }
    for (int i = 0; i < threads(); ++i) {
      const int near = actor_of(i) == "wait" ? all.counters[0].gifts : lying;
      if (!Machine::has_ended(i) && near != 0) violation("G5", "%c sleeps beside a gift", 'A' + i);
    }
  }

 private:
  void give(Counter& counter) {
    WaiterList woken;
    {
      MutexLock lock(counter.mu);
      ++things().given;
      if (!counter.queue.give(woken)) ++counter.gifts;
    }
    Worker::wake(woken);
  }

  static bool take(Counter& counter) {
    if (counter.gifts == 0) return false;
    --counter.gifts;
    return true;
  }

  void wait(int index) {
    Counter& counter = things().counters[0];
    WaitWord& word = things().words[static_cast<std::size_t>(index)];
    WaitQueue::Node node(word);
    if (word.prepare() != WaitWord::Prepared::kPark) violation("G2", "the word is not new");
    bool is_received = false;
    {
      MutexLock lock(counter.mu);
      is_received = take(counter);
      if (!is_received) counter.queue.push_back(node);
    }
    if (!is_received) {
      wait_on(word);
      MutexLock lock(counter.mu);
      is_received = !counter.queue.remove(node);
    }
    if (is_received) ++things().received;
    things().is_over[static_cast<std::size_t>(index)] = true;
  }

  void choose() {
    LineThings& all = things();
    WaitQueue::Node first(all.claim, 0);
    WaitQueue::Node second(all.claim, 1);
    const std::array nodes{&first, &second};
    if (all.claim.word().prepare() != WaitWord::Prepared::kPark) violation("G2", "not new");
    bool is_there = false;
    for (std::size_t i = 0; i < 2 && !is_there; ++i) {
      MutexLock lock(all.counters[i].mu);
      // What lies there wins here, if nothing else has.
      if (all.counters[i].gifts != 0) {
        is_there = true;
        if (all.claim.win(static_cast<int>(i))) (void)take(all.counters[i]);
      } else {
        all.counters[i].queue.push_back(*nodes[i]);
      }
    }
    if (!is_there) wait_on(all.claim.word());
    const int winner = all.claim.close();
    for (std::size_t i = 0; i < 2; ++i) {
      MutexLock lock(all.counters[i].mu);
      (void)all.counters[i].queue.remove(*nodes[i]);
    }
    if (winner != Claim::kNobody) ++all.received;
    for (int i = 0; i < threads(); ++i) {
      if (actor_of(i) == "choose") all.is_over[static_cast<std::size_t>(i)] = true;
    }
  }
};

// --- Words that hold one waiter each. ---

struct WordsThings {
  std::array<WaitWord, 2> words;
  std::array<bool, 2> is_published{};
  bool is_shut = false;
  Claim claim;
  std::array<Place, 2> places{Place{claim, 0, words[0]}, Place{claim, 1, words[1]}};
  std::array<Parked, 2> parked{Parked(places[0]), Parked(places[1])};
  bool is_over = false;
  int winner = Claim::kNobody;
};

class WordsProgram final : public WordProgram<WordsThings> {
 public:
  using WordProgram::WordProgram;

  void run(int index) override {
    WordsThings& all = things();
    if (actor_of(index) == "choose") {
      choose();
    } else if (actor_of(index) == "expire") {
      end_wait(all.claim.word(), WakeReason::kTimedOut);
    } else if (actor_of(index) == "shut") {
      all.is_shut = true;
      if (Waiter* const waiter = all.words[1].close().waiter) {
        waiter->set_reason(WakeReason::kClosed);
        Worker::wake(*waiter);
      }
    } else {
      const std::size_t at = actor_of(index) == "publish2" ? 1 : 0;
      all.is_published[at] = true;
      if (Waiter* const waiter = all.words[at].publish().waiter) {
        waiter->set_reason(WakeReason::kReady);
        Worker::wake(*waiter);
      }
    }
  }

  [[nodiscard]] bool observes() const override { return true; }
  void observe(int thread, const Step& step, Mode /*mode*/) override {
    if (actor_of(thread) == "expire") return;  // As above.
    if (things().is_over && lies_in(step.object, &things().claim, sizeof(Claim))) {
      violation("memory", "%c touches a claim that is over", 'A' + thread);
    }
  }

  void finish() override {
    WordsThings& all = things();
    if (!all.is_over) {
      for (const bool is_published : all.is_published) {
        if (is_published) violation("G5", "the chooser sleeps, and an event has come");
      }
      if (all.is_shut) violation("G2", "the chooser sleeps on a closed word");
      return;
    }
    for (std::size_t i = 0; i < 2; ++i) {
      const bool is_closed = i == 1 && all.is_shut;
      if (is_closed || static_cast<int>(i) == all.winner || !all.is_published[i]) continue;
      if (!all.words[i].is_ready()) violation("G5", "the event of word %zu is lost", i);
    }
  }

 private:
  void choose() {
    WordsThings& all = things();
    if (all.claim.word().prepare() != WaitWord::Prepared::kPark) violation("G2", "not new");
    std::size_t entered = 0;
    while (entered < 2 && enter(entered)) ++entered;
    if (entered == 2) wait_on(all.claim.word());
    all.winner = all.claim.close();
    int taken = 0;
    for (std::size_t i = 0; i < entered; ++i) {
      if (all.words[i].withdraw() == nullptr) ++taken;
    }
    if (all.claim.must_settle(taken)) wait_on(all.claim.settled());
    all.is_over = true;
  }

  // False: there is no need to stand there, because something has come already.
  bool enter(std::size_t at) {
    WordsThings& all = things();
    WaitWord& word = all.words[at];
    const WaitWord::Prepared prepared = word.prepare();
    if (prepared == WaitWord::Prepared::kPark &&
        word.commit(all.parked[at]) == WaitWord::Committed::kParked) {
      return true;
    }
    // The event is consumed: it wins, or goes back.
    if (!all.claim.win(static_cast<int>(at)) && prepared != WaitWord::Prepared::kClosed) {
      (void)word.publish();
    }
    return false;
  }
};

}  // namespace

std::unique_ptr<Program> make_line_program(std::vector<std::string> actors) {
  return std::make_unique<LineProgram>(std::move(actors));
}
std::unique_ptr<Program> make_words_program(std::vector<std::string> actors) {
  return std::make_unique<WordsProgram>(std::move(actors));
}

}  // namespace rearm::explore
