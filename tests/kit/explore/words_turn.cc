// The poll turn, and whole workers: the real Scheduler over the model kernel.
//
// turn: names such as turn/holder+inject. Actors: holder (takes the poll turn, waits in the kernel
// as Worker::rest() does, gives it back), inject (Scheduler::inject of a fiber, which wakes), timer
// (starts a timer and says so). Nobody may sleep in the kernel while there is a fiber to run, or
// beyond the instant of a timer.
//
// workers: names such as workers/worker+worker+spawn. Actors: worker (the real Worker::run, with
// real fibers on stacks of their own), publish (a plain thread that ends the first fiber's wait),
// spawn (the same, after it has spawned a fiber that spawns another), report (the first fiber reads
// from a descriptor, and this makes it readable), stop and hurry (the same, and this asks the
// runtime to stop, or ends the wait once it has begun by a deadline that has passed), last (a
// worker that destroys the runtime when it comes home; nobody may touch it then, or be inside of a
// descriptor), drop (drops the handle of a fiber that has a result), late (spawns a fiber that
// waits, and ends its wait, while the run may be ending). Without publish, spawn and a read the
// first fiber spawns one that ends its wait. All workers must come home when the last fiber has
// ended.
//
// runs: names such as runs/runner+stop. Actors: runner (Runtime::run() twice, with one worker; the
// second run reads from a descriptor), waiter (the same, but the second run waits for an event, and
// has a token), stop (Runtime::request_stop() at any time). A wait that is cancelled, or a token
// that hears, although nobody asks that run to stop is a stop that hit another run.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <version>

#include "base/wait_word.h"
#include "explore/arena.h"
#include "explore/kernel.h"
#include "explore/names.h"
#include "explore/runtime_program.h"
#include "explore/word_program.h"
#include "explore/worker_words.h"
#include "poller/descriptor_table.h"
#include "rearm/fiber.h"
#include "rearm/net/stream.h"
#include "rearm/runtime.h"
#include "rearm/stop_token.h"
#include "rearm/sync/event.h"
#include "sched/scheduler.h"
#include "sched/wait.h"
#include "sched/worker.h"

namespace rearm::explore {

using detail::Fiber;
using detail::Scheduler;
using detail::Stack;
using detail::Timer;
using detail::WaitWord;
using detail::Worker;

namespace {

constexpr std::int64_t kDueNs = 50;

// --- The poll turn. ---

struct TurnThings {
  Runtime runtime{{.workers = 2, .stack_bytes = 16 * 1024, .backend = "epoll"}};
  Stack no_stack;
  std::array<std::unique_ptr<Fiber>, kMaxThreads> fibers;
  std::array<WaitWord, kMaxThreads> words;
  std::array<std::unique_ptr<Timer>, kMaxThreads> timers;
  bool has_timer = false;
};

class TurnProgram final : public RuntimeProgram {
 public:
  explicit TurnProgram(std::vector<std::string> actors) : RuntimeProgram(std::move(actors)) {
    const InArena in_arena;
    things_ = new TurnThings();
    for (std::size_t i = 0; i < kMaxThreads; ++i) {
      things_->fibers[i] = std::make_unique<Fiber>(scheduler(), things_->no_stack, i, 0,
                                                   SpawnOptions{}, std::source_location::current());
      things_->timers[i] = std::make_unique<Timer>(things_->words[i]);
    }
    save();
  }

  [[nodiscard]] std::string name_of(const void* object) const override {
    return name_in_library(things_->runtime, object);
  }
  [[nodiscard]] std::string value_of(const void* object, std::uint64_t value) const override {
    return value_in_library(object, value);
  }

  void run(int index) override {
    const auto at = static_cast<std::size_t>(index);
    if (actor_of(index) == "holder") {
      rest();
    } else if (actor_of(index) == "inject") {
      scheduler().inject(*things_->fibers[at]);
    } else {
      things_->has_timer = true;
      scheduler().processors()[1]->timers.start(*things_->timers[at], kDueNs + index);
      scheduler().timer_started(kDueNs + index);
    }
  }

  [[nodiscard]] bool quiescent() override {
    for (int i = 0; i < threads(); ++i) {
      if (Machine::has_ended(i)) continue;
      if (scheduler().has_injected()) {
        violation("G5", "a fiber was injected, and %c sleeps in the kernel", 'A' + i);
      }
      if (things_->has_timer && Machine::pending(i).argument > kDueNs + threads()) {
        violation("G5", "%c sleeps in the kernel beyond the earliest timer", 'A' + i);
      }
    }
    if (virtual_now_ns > kDueNs) return false;
    virtual_now_ns = 2 * kDueNs;  // Who sleeps until the timer goes on now.
    return things_->has_timer;
  }

 private:
  [[nodiscard]] Scheduler& scheduler() { return things_->runtime.scheduler(); }

  // Worker::rest(), as far as the kernel, for a worker that finds nothing before it.
  void rest() {
    if (!scheduler().take_poll_turn()) return;
    WaiterList ready = scheduler().kernel_wait();
    scheduler().give_poll_turn();
    if (!ready.empty()) violation("G2", "somebody was woken, and nobody waits");
  }

  TurnThings* things_ = nullptr;
};

// --- Workers. ---

// What a fiber returns. Its destructor may park, so it has to run on its own fiber's stack, or on
// that of whoever drops the handle: not between two fibers.
class Outcome {
 public:
  Outcome(int& deaths, std::uint64_t fiber) noexcept : deaths_(&deaths), fiber_(fiber) {}
  Outcome(Outcome&& other) noexcept
      : deaths_(std::exchange(other.deaths_, nullptr)), fiber_(other.fiber_) {}
  Outcome& operator=(Outcome&&) = delete;
  ~Outcome() {
    if (deaths_ == nullptr) return;
    ++*deaths_;
    if (Worker::current() != nullptr && this_fiber::id() != fiber_) {
      violation("result", "it is destroyed in the middle of a switch");
    }
    this_fiber::yield();
  }

 private:
  int* deaths_;
  std::uint64_t fiber_;
};

struct WorkerThings {
  WorkerThings() {
    Scheduler& scheduler = runtime.scheduler();
    for (std::size_t i = 0; i < workers.size(); ++i) {
      workers[i] = std::make_unique<Worker>(scheduler, *scheduler.processors()[i]);
    }
  }

  Runtime runtime{
      {.workers = 2, .stack_bytes = 64 * 1024, .backend = "epoll", .report_stack_overflow = false}};
  std::array<std::unique_ptr<Worker>, 2> workers;
  std::array<Worker*, kMaxThreads> current{};
  WaitWord gate;
  WaitWord late_gate;
  JoinHandle<Outcome> handle;
  Stream fd;
  int file = -1;
  int to_run = 0;
  int have_run = 0;
  int results_gone = 0;
  int late_begun = 0;
  int late_ended = 0;
  bool is_destroyed = false;
};

class WorkerProgram final : public RuntimeProgram {
 public:
  explicit WorkerProgram(std::vector<std::string> actors) : RuntimeProgram(std::move(actors)) {
    const InArena in_arena;
    things_ = new WorkerThings();
    // The stacks are mapped once; what lies in them of a free stack is part of the world.
    detail::StackPool& pool = things_->runtime.scheduler().stacks();
    std::array<Stack*, 4> stacks{};
    for (Stack*& stack : stacks) stack = pool.take();
    for (Stack* const stack : stacks) {
      Arena::include(stack, sizeof(Stack));
      stack->next_free = nullptr;
      pool.give_back(stack, 1);
    }
    const int number = kernel.open();
    things_->file = kernel.file_at(number);
    auto fd = Stream::adopt(number, things_->runtime);
    if (fd) things_->fd = std::move(*fd);
    reading_ = &detail::DescriptorTable::instance().find(0)->word(Direction::kRead);
    save();
  }

  // The first fiber is there before the workers, as in Runtime::run(): it waits for the gate.
  void reset() override {
    RuntimeProgram::reset();
    current_worker_slot() = nullptr;
    WorkerThings& all = *things_;
    const bool reads = has("report") || has("stop") || has("hurry");
    all.to_run = has("spawn") ? 3 : has("publish") || reads ? 1 : 2;
    all.runtime
        .spawn([this, reads] {
          if (reads) {
            read();
          } else {
            if (!has("publish") && !has("spawn")) {
              rearm::spawn([this] {
                ++things_->have_run;
                open(things_->gate);
              }).detach();
            }
            wait_at(things_->gate);
          }
          ++things_->have_run;
        })
        .detach();
    if (!has("drop")) return;
    ++all.to_run;
    all.handle = all.runtime.spawn([this] {
      ++things_->have_run;
      return Outcome(things_->results_gone, this_fiber::id());
    });
  }

  [[nodiscard]] std::string name_of(const void* object) const override {
    for (std::size_t i = 0; i < things_->workers.size(); ++i) {
      if (object == &things_->workers[i]->sleeper().parker) {
        return std::string("worker ") + static_cast<char>('A' + i);
      }
    }
    return name_in_library(things_->runtime, object);
  }
  [[nodiscard]] std::string value_of(const void* object, std::uint64_t value) const override {
    return value_in_library(object, value);
  }

  void switched(int from, int to) override {
    things_->current[static_cast<std::size_t>(from)] = current_worker_slot();
    current_worker_slot() = things_->current[static_cast<std::size_t>(to)];
  }

  void run(int index) override {
    WorkerThings& all = *things_;
    if (actor_of(index) == "worker" || actor_of(index) == "last") {
      all.workers[static_cast<std::size_t>(index)]->run();
      if (actor_of(index) == "last") destroy();
    } else if (actor_of(index) == "spawn") {
      all.runtime
          .spawn([this] {
            ++things_->have_run;
            rearm::spawn([this] { ++things_->have_run; }).detach();
          })
          .detach();
      open(all.gate);
    } else if (actor_of(index) == "report") {
      kernel.make_ready(all.file, detail::Ready::of(Direction::kRead));
    } else if (actor_of(index) == "stop") {
      all.runtime.request_stop();
    } else if (actor_of(index) == "hurry") {
      await_reader();
      (void)all.fd.set_read_deadline(Deadline::at_ns(0));
    } else if (actor_of(index) == "drop") {
      all.handle.detach();
    } else if (actor_of(index) == "late") {
      all.runtime
          .spawn([this] {
            ++things_->late_begun;
            wait_at(things_->late_gate);
            ++things_->late_ended;
          })
          .detach();
      open(all.late_gate);
    } else {
      open(all.gate);
    }
  }

  [[nodiscard]] bool observes() const override { return has("last"); }
  void observe(int thread, const Step& step, Mode /*mode*/) override {
    if (!things_->is_destroyed) return;
    for (const Touch& gone : destruction_of(things_->runtime).more) {
      if (step.object == gone.object) {
        violation("memory", "%c touches the runtime after its end", 'A' + thread);
      }
    }
  }

  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      if (!Machine::has_ended(i)) {
        violation("G5", "%c sleeps; %d of %d fibers have run", 'A' + i, things_->have_run,
                  things_->to_run);
      }
    }
    if (things_->have_run != things_->to_run) {
      violation("G2", "%d fibers have run, not %d", things_->have_run, things_->to_run);
    }
    if (has("drop") && things_->results_gone != 1) {
      violation("result", "it was destroyed %d times", things_->results_gone);
    }
    if (things_->late_begun != things_->late_ended) {
      violation("run", "it has ended, and a fiber is left half-way");
    }
  }

 private:
  [[nodiscard]] bool has(std::string_view actor) const {
    return std::ranges::find(actors_, actor) != actors_.end();
  }
  void destroy() {
    begin_step(destruction_of(things_->runtime));
    end_step(Mode::kWrite, 0, 0);
    things_->is_destroyed = true;
    if (!things_->fd.is_open()) return;
    // As ~PollerCore() does it.
    (void)things_->fd.close();
    const OutsideThreads looking;
    if (things_->runtime.stats().poller.descriptors != 0) {
      violation("G4", "the runtime is destroyed during an operation on its descriptor");
    }
  }
  // Until a waiter is parked for reading. One that has not parked yet sees the deadline by itself,
  // and no wake-up says when it may go on.
  void await_reader() {
    begin_step({.verb = Verb::kCall,
                .mode = Mode::kRead,
                .object = reading_,
                .enabled =
                    [](const Step& step) {
                      std::uintptr_t word = 0;
                      std::memcpy(&word, step.object, sizeof(word));
                      return word >= alignof(Waiter);
                    },
                .what = "see the reader park"});
    end_step(Mode::kRead, 0, 0);
  }
  void read() {
    char byte = 0;
    const auto n = things_->fd.read_some({&byte, 1});
    const std::error_code error = n ? std::error_code() : n.error();
    const std::error_code due = has("stop")    ? make_error_code(Errc::kCancelled)
                                : has("hurry") ? make_error_code(Errc::kTimedOut)
                                               : std::error_code();
    if (error != due) violation("G2", "the read was ended by another than the one that was due");
  }
  static void wait_at(WaitWord& gate) {
    switch (gate.prepare()) {
      case WaitWord::Prepared::kReady: return;
      case WaitWord::Prepared::kPark: break;
      default: violation("G2", "the word is neither ready nor free");
    }
    if (detail::wait_on(gate, Deadline::never(), detail::Cancellable::kNo) != WakeReason::kReady) {
      violation("G2", "the wait was not ended by the wake-up");
    }
  }
  static void open(WaitWord& gate) {
    if (Waiter* const waiter = gate.publish().waiter) {
      waiter->set_reason(WakeReason::kReady);
      Worker::wake(*waiter);
    }
  }

  WorkerThings* things_ = nullptr;
  const WaitWord* reading_ = nullptr;
};

// --- Runs. ---

struct RunThings {
  Runtime runtime{
      {.workers = 1, .stack_bytes = 64 * 1024, .backend = "epoll", .report_stack_overflow = false}};
  std::array<Worker*, kMaxThreads> current{};
  Stream fd;
  int file = -1;
  Event event;
  bool was_cancelled = false;
  bool was_stopping = false;
};

class RunsProgram final : public RuntimeProgram {
 public:
  explicit RunsProgram(std::vector<std::string> actors) : RuntimeProgram(std::move(actors)) {
    const InArena in_arena;
    things_ = new RunThings();
    detail::StackPool& pool = things_->runtime.scheduler().stacks();
    detail::Stack* const stack = pool.take();
    Arena::include(stack, sizeof(detail::Stack));
    detail::Stack* const another = pool.take();
    Arena::include(another, sizeof(detail::Stack));
    another->next_free = nullptr;
    stack->next_free = another;
    pool.give_back(stack, 2);
    const int number = kernel.open();
    things_->file = kernel.file_at(number);
    auto fd = Stream::adopt(number, things_->runtime);
    if (fd) things_->fd = std::move(*fd);
    save();
  }

  void reset() override {
    RuntimeProgram::reset();
    current_worker_slot() = nullptr;
  }

  [[nodiscard]] std::string name_of(const void* object) const override {
    return name_in_library(things_->runtime, object);
  }
  [[nodiscard]] std::string value_of(const void* object, std::uint64_t value) const override {
    return value_in_library(object, value);
  }

  void switched(int from, int to) override {
    things_->current[static_cast<std::size_t>(from)] = current_worker_slot();
    current_worker_slot() = things_->current[static_cast<std::size_t>(to)];
  }

  void run(int index) override {
    RunThings& all = *things_;
    if (actor_of(index) == "stop") {
      all.runtime.request_stop();
      return;
    }
    all.runtime.run([] {});
    all.runtime.run([&all, waits = actor_of(index) == "waiter"] {
      if (waits) {
#if defined(__cpp_lib_jthread)
        const std::stop_token token = this_fiber::stop_token();
#endif
        // Not before the other sleeps, so that a wait that is ended by a stop is over by then.
        rearm::spawn([&all] {
          char byte = 0;
          (void)all.fd.read_some({&byte, 1});
          all.event.set();
        }).detach();
        all.was_cancelled = !all.event.wait();
#if defined(__cpp_lib_jthread)
        if (token.stop_requested()) all.was_cancelled = true;
#endif
      } else {
        char byte = 0;
        const auto n = all.fd.read_some({&byte, 1});
        all.was_cancelled = !n && n.error() == Errc::kCancelled;
      }
      const OutsideThreads looking;
      all.was_stopping = all.runtime.scheduler().run_state().is_stopping();
    });
  }

  [[nodiscard]] bool quiescent() override {
    if (kernel.is_ready(things_->file, Direction::kRead)) return false;
    kernel.make_ready(things_->file, detail::Ready::of(Direction::kRead));
    return true;
  }

  void finish() override {
    for (int i = 0; i < threads(); ++i) {
      if (!Machine::has_ended(i)) violation("G5", "%c sleeps, and nothing will wake it", 'A' + i);
    }
    if (things_->was_cancelled && !things_->was_stopping) {
      violation("run", "a stop has reached a run that nobody asked to stop");
    }
  }

 private:
  RunThings* things_ = nullptr;
};

}  // namespace

std::unique_ptr<Program> make_runs_program(std::vector<std::string> actors) {
  return std::make_unique<RunsProgram>(std::move(actors));
}
std::unique_ptr<Program> make_turn_program(std::vector<std::string> actors) {
  return std::make_unique<TurnProgram>(std::move(actors));
}
std::unique_ptr<Program> make_worker_program(std::vector<std::string> actors) {
  return std::make_unique<WorkerProgram>(std::move(actors));
}

}  // namespace rearm::explore
