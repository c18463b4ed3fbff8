// The objects of the room sync, and requests to stop: the production code, by its public calls.
//
// mutex: names such as mutex/lock+again+late. Actors: lock (for a moment), again (twice), late
// (with a deadline), expire (time passes the deadline), notice (waits for a notice), notify. Nobody
// is inside with another, and nobody sleeps at the end.
//
// permit: names such as permit/take+late+give. Actors: take, late (with a deadline), expire, give.
// Every permit is taken once or is still there, and nobody sleeps beside one.
//
// gate: names such as gate/wait+set. Actors: wait (on an event, which it destroys if it is the only
// one who waits), set. Nobody sleeps beside an event that is set, and nobody touches one that is
// gone.
//
// shared: names such as shared/read+write+late. Actors: read, write, late (a writer with a
// deadline), expire. A writer is alone, and nobody sleeps at the end.
//
// channel, buffer: names such as channel/send+receive+late. Actors: send, receive, late (receives,
// with a deadline), expire, close; the latter kind holds one value. Every value that was sent is
// received or still there, and nobody sleeps beside one, or beside what is closed.
//
// pick: names such as pick/choose+send+send2. Actors: choose (one value from one of two channels),
// send and send2 (into the first and the second), swap (sends into the first or receives from the
// second), close2, expire (of the choice). As above; what was not chosen is as it was.
//
// ask: names such as ask/wait+request+publish. Actors: wait (on two words, one after the other),
// request, shielded (likewise wait, under a shield), publish (into the first word), stranger (waits
// on the first word, if the other one's wait there is over). Nobody who was asked sleeps, and no
// stranger is woken by it.
#include <array>
#include <memory>
#include <new>

#include "base/stop_word.h"
#include "base/wait_word.h"
#include "explore/word_program.h"
#include "rearm/sync/channel.h"
#include "rearm/sync/condition_variable.h"
#include "rearm/sync/event.h"
#include "rearm/sync/mutex.h"
#include "rearm/sync/select.h"
#include "rearm/sync/semaphore.h"
#include "rearm/sync/shared_mutex.h"
#include "sched/fiber.h"
#include "sched/worker.h"
#include "sync/line.h"

namespace rearm::explore {

using detail::Parked;
using detail::StopWord;
using detail::ThreadParker;
using detail::WaitWord;
using detail::Worker;

namespace {

constexpr std::int64_t kDeadlineNs = 1'000'000'000'000'000;

void let_time_pass() {
  begin_step({.mode = Mode::kWrite, .object = &virtual_now_ns, .what = "time passes"});
  virtual_now_ns = kDeadlineNs + 1;
  end_step(Mode::kWrite, 0, 0);
}

// What all of these share: what is inside of a lock, and nobody may sleep at the end.
template <class Things>
class SyncProgram : public WordProgram<Things> {
 public:
  using WordProgram<Things>::WordProgram;

  void reset() override {
    WordProgram<Things>::reset();
    virtual_now_ns = 1;
    new (&detail::standing_mu) detail::Mutex();  // An execution that was cut short may hold it.
  }

 protected:
  void nobody_sleeps(const char* beside) const {
    for (int i = 0; i < this->threads(); ++i) {
      if (!Machine::has_ended(i)) violation("G5", "%c sleeps beside %s", 'A' + i, beside);
    }
  }
};

// --- Mutex and ConditionVariable. ---

struct MutexThings {
  ::rearm::Mutex mutex;
  ConditionVariable condition;
  detail::Atomic<int> pause{0};
  int inside = 0;
  bool is_there = false;
};

// As a std::unique_lock that is locked.
struct Held {
  ::rearm::Mutex& of;
  [[nodiscard]] ::rearm::Mutex* mutex() const { return &of; }
  [[nodiscard]] static bool owns_lock() { return true; }
};

class MutexProgram final : public SyncProgram<MutexThings> {
 public:
  using SyncProgram::SyncProgram;

  void run(int index) override {
    MutexThings& all = things();
    const std::string_view actor = actor_of(index);
    if (actor == "expire") {
      let_time_pass();
    } else if (actor == "late") {
      if (all.mutex.lock(Deadline::at_ns(kDeadlineNs))) stay_and_leave();
    } else if (actor == "notify") {
      all.mutex.lock();
      all.is_there = true;
      all.mutex.unlock();
      all.condition.notify_all();
    } else {
      for (int i = actor == "again" ? 2 : 1; i > 0; --i) {
        all.mutex.lock();
        Held lock{all.mutex};
        if (actor == "notice") all.condition.wait(lock, [&] { return all.is_there; });
        stay_and_leave();
      }
    }
  }

  void finish() override { nobody_sleeps("a free lock, or after its notice"); }

 private:
  void stay_and_leave() {
    MutexThings& all = things();
    if (++all.inside != 1) violation("G2", "two are inside");
    all.pause.store(1);
    --all.inside;
    all.mutex.unlock();
  }
};

// --- Semaphore. ---

struct PermitThings {
  Semaphore semaphore{0};
  int taken = 0;
};

class PermitProgram final : public SyncProgram<PermitThings> {
 public:
  using SyncProgram::SyncProgram;

  void run(int index) override {
    PermitThings& all = things();
    if (actor_of(index) == "expire") {
      let_time_pass();
    } else if (actor_of(index) == "give") {
      all.semaphore.release();
    } else if (all.semaphore.acquire(actor_of(index) == "late" ? Deadline::at_ns(kDeadlineNs)
                                                               : Deadline::never())) {
      ++all.taken;
    }
  }

  void finish() override {
    const int given = count_of("give");
    int left = 0;
    while (things().semaphore.try_acquire()) ++left;
    if (things().taken + left != given) {
      violation("G2", "%d given, %d taken, %d left", given, things().taken, left);
    }
    if (left != 0) nobody_sleeps("a permit");
  }
};

// --- Event. ---

struct GateThings {
  alignas(Event) std::byte memory[sizeof(Event)];
  bool is_gone = false;

  GateThings() { new (memory) Event(); }
  [[nodiscard]] Event& event() { return *std::launder(reinterpret_cast<Event*>(memory)); }
};

class GateProgram final : public SyncProgram<GateThings> {
 public:
  using SyncProgram::SyncProgram;

  void run(int index) override {
    GateThings& all = things();
    if (actor_of(index) == "set") {
      all.event().set();
      return;
    }
    static_cast<void>(all.event().wait());
    if (count_of("wait") == 1 && count_of("set") == 1) all.is_gone = true;
  }

  [[nodiscard]] bool observes() const override { return true; }
  void observe(int thread, const Step& step, Mode /*mode*/) override {
    const auto at = reinterpret_cast<std::uintptr_t>(step.object);
    const auto begin = reinterpret_cast<std::uintptr_t>(things().memory);
    if (things().is_gone && at >= begin && at < begin + sizeof(Event)) {
      violation("memory", "%c touches an event that is gone", 'A' + thread);
    }
  }

  void finish() override { nobody_sleeps("an event that is set"); }
};

// --- SharedMutex. ---

struct SharedThings {
  SharedMutex mutex;
  detail::Atomic<int> pause{0};
  int readers = 0;
  int writers = 0;
};

class SharedProgram final : public SyncProgram<SharedThings> {
 public:
  using SyncProgram::SyncProgram;

  void run(int index) override {
    SharedThings& all = things();
    if (actor_of(index) == "expire") {
      let_time_pass();
    } else if (actor_of(index) == "read") {
      all.mutex.lock_shared();
      stay(all.readers);
      all.mutex.unlock_shared();
    } else if (actor_of(index) == "write") {
      all.mutex.lock();
      stay(all.writers);
      all.mutex.unlock();
    } else if (all.mutex.lock(Deadline::at_ns(kDeadlineNs))) {
      stay(all.writers);
      all.mutex.unlock();
    }
  }

  void finish() override { nobody_sleeps("a free lock"); }

 private:
  void stay(int& of) {
    SharedThings& all = things();
    ++of;
    if (all.writers > 1 || (all.writers == 1 && all.readers != 0)) {
      violation("G2", "a writer is not alone");
    }
    all.pause.store(1);
    --of;
  }
};

// --- Channels and choices. ---

template <std::size_t kCapacity>
struct ChannelThings {
  Channel<int> first{kCapacity};
  Channel<int> second{0};
  int sent = 0;
  int received = 0;
  bool is_closed = false;
};

template <std::size_t kCapacity>
class ChannelProgram final : public SyncProgram<ChannelThings<kCapacity>> {
 public:
  using SyncProgram<ChannelThings<kCapacity>>::SyncProgram;

  void run(int index) override {
    auto& all = this->things();
    const std::string_view actor = this->actor_of(index);
    if (actor == "expire") {
      let_time_pass();
    } else if (actor == "send" || actor == "send2") {
      if ((actor == "send" ? all.first : all.second).send(1)) ++all.sent;
    } else if (actor == "receive" || actor == "late") {
      if (all.first.receive(deadline_of(actor == "late"))) ++all.received;
    } else if (actor == "choose") {
      ReceiveCase one(all.first);
      ReceiveCase other(all.second);
      if (!select(deadline_of(this->count_of("expire") != 0), one, other)) return;
      all.received += (one.value() ? 1 : 0) + (other.value() ? 1 : 0);
    } else if (actor == "swap") {
      SendCase<int> give(all.first, 1);
      ReceiveCase take(all.second);
      if (!select(Deadline::never(), give, take)) return;
      all.sent += give.is_sent() ? 1 : 0;
      all.received += take.value() ? 1 : 0;
    } else {
      all.is_closed = true;
      (void)(actor == "close" ? all.first : all.second).close();
    }
  }

  void finish() override {
    auto& all = this->things();
    int left = 0;
    if (kCapacity != 0) {
      while (all.first.try_receive()) ++left;
    }
    if (all.received + left != all.sent) {
      violation("G2", "%d sent, %d received, %d left", all.sent, all.received, left);
    }
    if (left != 0 && asleep("receive") + asleep("late") + asleep("choose") != 0) {
      violation("G5", "somebody sleeps beside a value");
    }
    const int senders = asleep("send") + asleep("swap");
    const int receivers = asleep("receive") + asleep("late") + asleep("choose");
    if (senders != 0 && receivers != 0) violation("G5", "a sender and a receiver sleep");
    if (asleep("send2") != 0 && asleep("choose") + asleep("swap") != 0) {
      violation("G5", "a sender and a choice sleep");
    }
    if (all.is_closed) this->nobody_sleeps("what is closed");
  }

 private:
  static Deadline deadline_of(bool is_late) {
    return is_late ? Deadline::at_ns(kDeadlineNs) : Deadline::never();
  }
  [[nodiscard]] int asleep(std::string_view actor) const {
    int count = 0;
    for (int i = 0; i < this->threads(); ++i) {
      if (this->actor_of(i) == actor && !Machine::has_ended(i)) ++count;
    }
    return count;
  }
};

// --- Requests to stop. ---

struct AskThings {
  StopWord stop;
  std::array<WaitWord, 2> words;
  // In place of the waiter's stack.
  alignas(Parked) std::array<std::array<std::byte, sizeof(Parked)>, 2> memory;
  detail::Atomic<bool> is_first_over{false};
  bool is_requested = false;
};

class AskProgram final : public SyncProgram<AskThings> {
 public:
  using SyncProgram::SyncProgram;

  void run(int index) override {
    AskThings& all = things();
    if (actor_of(index) == "wait" || actor_of(index) == "shielded") {
      if (actor_of(index) == "shielded") all.stop.shield();
      wait(0);
      all.is_first_over.store(true);
      wait(1);
    } else if (actor_of(index) == "request") {
      all.is_requested = true;
      Waiter* const waiter =
          all.stop.request({.begin = all.memory.data(), .end = all.memory.data() + 2});
      if (waiter != nullptr) Worker::wake(*waiter);
    } else if (actor_of(index) == "stranger") {
      if (!all.is_first_over.load()) return;
      ThreadParker parker;
      Parked waiter(parker);
      if (all.words[0].prepare() != WaitWord::Prepared::kPark) return;
      if (all.words[0].commit(waiter) != WaitWord::Committed::kParked) return;
      parker.park();
      if (waiter.reason() != WakeReason::kReady) violation("G2", "a stranger was woken");
    } else if (Waiter* const waiter = all.words[0].publish().waiter) {
      waiter->set_reason(WakeReason::kReady);
      Worker::wake(*waiter);
    }
  }

  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      const bool is_asked = things().is_requested && actor_of(i) == "wait";
      if (is_asked && !Machine::has_ended(i)) {
        violation("G10", "%c sleeps in spite of a stop", 'A' + i);
      }
      if (actor_of(i) == "shielded" && Machine::has_ended(i)) {
        violation("G10", "a shield has let a request through");
      }
    }
  }

 private:
  void wait(std::size_t at) {
    AskThings& all = things();
    WaitWord& word = all.words[at];
    for (;;) {
      all.stop.announce(word);
      if (word.prepare() != WaitWord::Prepared::kPark) return;
      if (all.stop.is_requested()) {
        static_cast<void>(word.withdraw());
        return;
      }
      ThreadParker parker;
      auto& waiter = *new (all.memory[at].data()) Parked(parker);
      const WaitWord::Committed committed = word.commit(waiter);
      if (committed == WaitWord::Committed::kConsumed) return;
      if (committed == WaitWord::Committed::kDisturbed) continue;
      parker.park();
      if (waiter.reason() == WakeReason::kReady) return;
    }
  }
};

}  // namespace

std::unique_ptr<Program> make_mutex_program(std::vector<std::string> actors) {
  return std::make_unique<MutexProgram>(std::move(actors));
}
std::unique_ptr<Program> make_permit_program(std::vector<std::string> actors) {
  return std::make_unique<PermitProgram>(std::move(actors));
}
std::unique_ptr<Program> make_gate_program(std::vector<std::string> actors) {
  return std::make_unique<GateProgram>(std::move(actors));
}
std::unique_ptr<Program> make_shared_program(std::vector<std::string> actors) {
  return std::make_unique<SharedProgram>(std::move(actors));
}
std::unique_ptr<Program> make_channel_program(std::vector<std::string> actors) {
  return std::make_unique<ChannelProgram<0>>(std::move(actors));
}
std::unique_ptr<Program> make_buffer_program(std::vector<std::string> actors) {
  return std::make_unique<ChannelProgram<1>>(std::move(actors));
}
std::unique_ptr<Program> make_ask_program(std::vector<std::string> actors) {
  return std::make_unique<AskProgram>(std::move(actors));
}

}  // namespace rearm::explore
