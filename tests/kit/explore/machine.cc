#include "explore/machine.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include <boost/context/detail/fcontext.hpp>

#include "explore/search.h"

namespace rearm::explore {
namespace {

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr int kHarness = kMaxThreads;  // The stack of quiescent() and finish().

struct Thread {
  fcontext_t context = nullptr;
  Step step;
  StoreBuffer* buffer = nullptr;
  int locks = 0;
  bool ended = false;
};

// What the harness was asked to do, and what it answered.
enum class Chore : std::uint8_t { kReset, kQuiescent, kFinish };

struct State {
  Program* program = nullptr;
  Search* search = nullptr;
  std::array<Thread, kMaxThreads + 1> threads;
  int count = 0;
  int current = 0;
  int steps = 0;
  bool booting = false;
  bool observes = false;
  bool recording = false;
  bool changed = false;
  bool cut = false;
  bool violated = false;
  Chore chore = Chore::kReset;
  fcontext_t main = nullptr;
  Violation violation;
  std::vector<Row> rows;
};

State machine;

std::byte* stack_top(int index) {
  static std::byte* const base = [] {
    constexpr std::size_t kBytes = kStackBytes * (kMaxThreads + 1);
    void* const address =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) std::abort();
    return static_cast<std::byte*>(address);
  }();
  // Not all at the same place of the cache.
  return base + kStackBytes * static_cast<std::size_t>(index + 1) - 192 * (index + 1);
}

void jump(fcontext_t& from, fcontext_t to) {
  const transfer_t arrival = jump_fcontext(to, &from);
  *static_cast<fcontext_t*>(arrival.data) = arrival.fctx;
}

// The next thread to take a step, or -1 if nobody can or shall.
int pick() {
  unsigned enabled = 0;
  for (int i = 0; i < machine.count; ++i) {
    const Thread& thread = machine.threads[static_cast<std::size_t>(i)];
    if (thread.ended) continue;
    if (thread.step.enabled == nullptr || thread.step.enabled(thread.step)) enabled |= 1U << i;
  }
  if (enabled == 0) return -1;
  const int next = machine.search->choose(enabled);
  machine.cut = next < 0;
  return next;
}

// Leaves the running thread for another one (or for main, if `next` is -1).
void leave_for(int next, fcontext_t& from) {
  if (next < 0) {
    in_thread = false;
    jump(from, machine.main);
    return;
  }
  machine.program->switched(machine.current, next);
  machine.current = next;
  jump(from, machine.threads[static_cast<std::size_t>(next)].context);
}

void thread_main(transfer_t arrival) {
  *static_cast<fcontext_t*>(arrival.data) = arrival.fctx;
  const int index = machine.current;
  Thread& self = machine.threads[static_cast<std::size_t>(index)];
  machine.program->run(index);
  if (self.locks != 0) violation("G7", "a thread ended with a lock held");
  self.ended = true;
  const int next = machine.booting ? -1 : pick();
  leave_for(next, self.context);
  std::abort();  // Nobody continues a thread that has ended.
}

void harness_main(transfer_t arrival) {
  *static_cast<fcontext_t*>(arrival.data) = arrival.fctx;
  switch (machine.chore) {
    case Chore::kReset: machine.program->reset(); break;
    case Chore::kQuiescent: machine.changed = machine.program->quiescent(); break;
    case Chore::kFinish: machine.program->finish(); break;
  }
  jump(machine.threads[kHarness].context, machine.main);
  std::abort();
}

void start(int index, void (*entry)(transfer_t)) {
  machine.threads[static_cast<std::size_t>(index)].context =
      make_fcontext(stack_top(index), kStackBytes / 2, entry);
}

// A broken guarantee may show as a pointer to nowhere: that is reported like any other. On a stack
// of its own, which is left for good like those of the threads.
void report_faults() {
  static const bool is_installed = [] {
    static std::array<std::byte, kStackBytes> stack;
    stack_t alternate{};
    alternate.ss_sp = stack.data();
    alternate.ss_size = stack.size();
    struct sigaction action{};
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    action.sa_handler = [](int) {
      violation("memory", "the library touched memory that is not there");
    };
    return ::sigaltstack(&alternate, nullptr) == 0 && ::sigaction(SIGSEGV, &action, nullptr) == 0 &&
           ::sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  if (!is_installed) std::abort();
}

void do_chore(Chore chore) {
  machine.chore = chore;
  start(kHarness, &harness_main);
  in_thread = false;
  jump(machine.main, machine.threads[kHarness].context);
}

// Runs every thread to its first step.
void boot() {
  machine.booting = true;
  anybody_delays = false;
  for (int i = 0; i < machine.count && !machine.violated; ++i) {
    Thread& thread = machine.threads[static_cast<std::size_t>(i)];
    thread.ended = false;
    thread.locks = 0;
    thread.buffer = nullptr;
    start(i, &thread_main);
    if (i != 0) machine.program->switched(machine.current, i);
    machine.current = i;
    in_thread = true;
    jump(machine.main, thread.context);
  }
  in_thread = false;
  machine.booting = false;
}

std::string verb_of(const Step& step, std::uint64_t before, std::uint64_t after) {
  const Program& program = *machine.program;
  const std::string name = program.name_of(step.object);
  const std::string old = program.value_of(step.object, before);
  const std::string now = program.value_of(step.object, after);
  switch (step.verb) {
    case Verb::kLoad: return name + " is " + now;
    case Verb::kStore: return name + " = " + now;
    case Verb::kExchange: return name + ": " + old + " -> " + now;
    case Verb::kCompare:
      return name + (before == after ? ": no, it is " + now : ": " + old + " -> " + now);
    case Verb::kFetch: return name + ": " + old + " -> " + now;
    case Verb::kLock: return "lock " + name;
    case Verb::kPark: return before != 0 ? "goes on (woken)" : "goes on (time is over)";
    case Verb::kUnpark: return "unpark " + name;
    case Verb::kClock: return "the time is " + std::to_string(after);
    case Verb::kCall: return step.what;
  }
  return {};
}

// Looking at the world for the report is no step.
template <class Text>
void record(int thread, Text&& text) {
  const OutsideThreads outside;
  machine.rows.push_back({thread, text(), machine.program->state()});
}

}  // namespace

std::string Program::name_of(const void* /*object*/) const { return "?"; }
std::string Program::value_of(const void* /*object*/, std::uint64_t value) const {
  return std::to_string(value);
}

namespace {

void announce(const Step& step) {
  Thread& self = machine.threads[static_cast<std::size_t>(machine.current)];
  self.step = step;
  if (machine.booting) {
    jump(self.context, machine.main);
    return;
  }
  const int next = pick();
  if (next != machine.current) leave_for(next, self.context);
}

}  // namespace

void begin_step(const Step& step) {
  if (anybody_delays && step.verb != Verb::kLoad && step.verb != Verb::kClock) wait_for_stores();
  announce(step);
}

// --- Stores that are seen later. ---

StoreBuffer* own_buffer() {
  return machine.threads[static_cast<std::size_t>(machine.current)].buffer;
}

void delay_stores(StoreBuffer& buffer) {
  machine.threads[static_cast<std::size_t>(machine.current)].buffer = &buffer;
  anybody_delays = true;
}

void wait_for_stores() {
  StoreBuffer* const buffer = own_buffer();
  if (buffer == nullptr) return;
  announce(
      {.verb = Verb::kCall,
       .mode = Mode::kRead,
       .object = buffer,
       .enabled =
           [](const Step& step) { return static_cast<const StoreBuffer*>(step.object)->empty(); },
       .what = "all stores are seen"});
  end_step(Mode::kRead, 0, 0);
}

void StoreBuffer::push(void* object, std::uint64_t value, Apply apply) {
  announce({.verb = Verb::kCall, .mode = Mode::kWrite, .object = this, .what = "store later"});
  if (size_ == kMost) violation("explorer", "a store buffer is full");
  entries_[size_++] = {object, value, apply};
  end_step(Mode::kWrite, 0, value);
}

const std::uint64_t* StoreBuffer::find(const void* object) const noexcept {
  for (std::size_t i = size_; i > 0; --i) {
    if (entries_[i - 1].object == object) return &entries_[i - 1].value;
  }
  return nullptr;
}

void StoreBuffer::drain() {
  for (;;) {
    announce({.verb = Verb::kCall,
              .mode = Mode::kWrite,
              .object = this,
              .enabled =
                  [](const Step& step) {
                    return !static_cast<const StoreBuffer*>(step.object)->empty();
                  },
              .what = "take the first store"});
    end_step(Mode::kWrite, 0, 0);
    const Entry entry = entries_[0];
    announce({.verb = Verb::kStore,
              .mode = Mode::kWrite,
              .object = entry.object,
              .more = {{{this, Mode::kWrite}}}});
    entry.apply(entry.object, entry.value);
    std::move(entries_.begin() + 1, entries_.begin() + size_, entries_.begin());
    --size_;
    end_step(Mode::kWrite, 0, entry.value);
  }
}

// --- A step, and what it leads to. ---

void name_step(const char* what) {
  if (in_thread) machine.threads[static_cast<std::size_t>(machine.current)].step.what = what;
}

void end_step(Mode mode, std::uint64_t before, std::uint64_t after) {
  const Step& step = machine.threads[static_cast<std::size_t>(machine.current)].step;
  machine.search->executed(machine.current, step, mode);
  if (machine.observes) {
    const OutsideThreads outside;
    machine.program->observe(machine.current, step, mode);
  }
  if (machine.recording) record(machine.current, [&] { return verb_of(step, before, after); });
  if (++machine.steps > kMaxSteps) {
    violation("livelock", "%d steps and no end: somebody turns in a circle", kMaxSteps);
  }
}

void violation(const char* guarantee, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  (void)std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  machine.violation = {guarantee, text};
  machine.violated = true;
  in_thread = false;
  // Whoever is running is not continued.
  fcontext_t gone = nullptr;
  jump(gone, machine.main);
  std::abort();
}

void lock_taken(bool below_another) {
  int& locks = machine.threads[static_cast<std::size_t>(machine.current)].locks;
  if (locks != 0 && !(below_another && locks == 1)) {
    violation("G7", "a lock was taken while holding another; see base/mutex.h");
  }
  ++locks;
}

void lock_left() { --machine.threads[static_cast<std::size_t>(machine.current)].locks; }

int locks_held() { return machine.threads[static_cast<std::size_t>(machine.current)].locks; }

Ending Machine::run(Program& program, Search& search, bool record) {
  report_faults();
  machine.program = &program;
  machine.search = &search;
  machine.count = program.threads();
  machine.current = 0;
  machine.steps = 0;
  machine.recording = record;
  machine.observes = program.observes();
  machine.cut = false;
  machine.violated = false;
  if (record) machine.rows.clear();
  virtual_now_ns = 1;
  do_chore(Chore::kReset);
  boot();
  while (!machine.violated) {
    const int next = pick();
    if (next >= 0) {
      in_thread = true;
      leave_for(next, machine.main);
      in_thread = false;
      if (machine.violated) break;
    }
    if (machine.cut) return Ending::kCut;
    search.barrier(machine.count);
    do_chore(Chore::kQuiescent);
    if (machine.violated) break;
    if (!machine.changed) {
      do_chore(Chore::kFinish);
      if (!machine.violated) return Ending::kDone;
    }
  }
  return Ending::kViolation;
}

const Violation& Machine::violation() { return machine.violation; }
const std::vector<Row>& Machine::rows() { return machine.rows; }

const Step& Machine::pending(int thread) {
  return machine.threads[static_cast<std::size_t>(thread)].step;
}

bool Machine::has_ended(int thread) {
  return machine.threads[static_cast<std::size_t>(thread)].ended;
}

int Machine::current() { return machine.current; }

void Machine::note(const char* format, ...) {
  if (!machine.recording) return;
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  (void)std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  record(in_thread ? machine.current : -1, [&] { return std::string(text); });
}

}  // namespace rearm::explore
