#include "explore/descriptor_world.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/check.h"
#include "explore/arena.h"
#include "explore/descriptor_things.h"
#include "explore/names.h"
#include "net/fd_access.h"
#include "rearm/runtime.h"
#include "sched/scheduler.h"
#include "sched/worker.h"

namespace rearm::explore {

using detail::Descriptor;
using detail::DescriptorTable;
using detail::FdAccess;
using detail::Lifetime;
using detail::PollerCore;
using detail::Worker;

namespace {

constexpr std::array kNames = {"read",  "write",  "report", "wake",   "expiry",
                               "reset", "cancel", "close",  "close2", "reopen",
                               "poll",  "stop",   "reread", "drain",  "end"};
static_assert(kNames.size() == kActors);

constexpr std::int64_t kDeadlineNs = 100;
// Of quiescent(): three, and a wake-up for each collect() that may sleep in the kernel.
constexpr int kPhases = 3 + 2 * kMaxThreads;

}  // namespace

LifeView look_at_life(Token token) {
  const OutsideThreads outside;
  const Descriptor* const descriptor = DescriptorTable::instance().find(token.slot);
  if (descriptor == nullptr) return {};
  const std::uint64_t word = lifetime_word(*descriptor);
  return {.is_open = descriptor->lifetime.is_open(token.generation),
          .references = word >> 32 == token.generation ? static_cast<int>(word & 0x0fffffff) : 0};
}

// --- Names. ---

const char* name_of(Actor actor) noexcept { return kNames[static_cast<std::size_t>(actor)]; }

std::string DescriptorWorld::name_of(const Scenario& scenario) {
  std::string name;
  for (const Actor actor : scenario.actors) {
    if (!name.empty()) name += '+';
    name += explore::name_of(actor);
  }
  return name + (scenario.alone ? "!alone" : "");
}

std::optional<DescriptorWorld::Scenario> DescriptorWorld::parse(std::string_view name) {
  Scenario scenario;
  constexpr std::string_view kAlone = "!alone";
  if (name.ends_with(kAlone)) {
    scenario.alone = true;
    name.remove_suffix(kAlone.size());
  }
  while (!name.empty()) {
    const std::string_view word = name.substr(0, name.find('+'));
    const auto found = std::ranges::find(kNames, word);
    if (found == kNames.end() || scenario.actors.size() == kMaxThreads) return std::nullopt;
    scenario.actors.push_back(static_cast<Actor>(found - kNames.begin()));
    name.remove_prefix(std::min(name.size(), word.size() + 1));
  }
  if (scenario.actors.empty()) return std::nullopt;
  return scenario;
}

const char* DescriptorWorld::thread_name(int index) const {
  return explore::name_of(scenario_.actors[static_cast<std::size_t>(index)]);
}

// --- The world. ---

void prepare_ground() {
  static const bool is_prepared = [] {
    const InArena in_arena;
    DescriptorTable& table = DescriptorTable::instance();
    // All of the first segment: a slot that is not there yet has no name.
    std::array<Descriptor*, 4> slots{};
    for (int i = 0; i < 4; ++i) slots[static_cast<std::size_t>(i)] = *table.allocate(i);
    for (int i = 3; i >= 0; --i) table.free(*slots[static_cast<std::size_t>(i)], i);
    Arena::save(Arena::Copy::kGround);
    return true;
  }();
  REARM_CHECK(is_prepared, "there is no ground to build a world on");
}

DescriptorWorld::DescriptorWorld(Class kind) {
  prepare_ground();
  const InArena in_arena;
  kernel.begin(kind);
  things_ = new Things(kind);
  things_->number = kernel.open();
  things_->file = kernel.file_at(things_->number);
  auto fd = FdAccess::adopt(things_->runtime, things_->number,
                            FdAccess::kIsSocket | FdAccess::kShortReadDrains);
  REARM_CHECK(fd.has_value(), "the model kernel refused a descriptor");
  things_->fd = FdAccess::stream(std::move(*fd));
  {
    const auto operation = FdAccess::Operation::shared(things_->fd, Direction::kRead);
    things_->descriptor = &operation.descriptor();
    things_->generation = things_->descriptor->generation;
  }
  Arena::save(Arena::Copy::kWorld);
  saved_kernel_ = kernel;
}

// Nothing is destroyed: what the library's destructors would do is not wanted in a world that a
// violation has broken, and all memory is the arena's.
DescriptorWorld::~DescriptorWorld() { Arena::restore(Arena::Copy::kGround); }

void DescriptorWorld::set(const Scenario& scenario) { scenario_ = scenario; }

void DescriptorWorld::reset() {
  Arena::restore(Arena::Copy::kWorld);
  kernel = saved_kernel_;
  if (has(Actor::kExpiry)) {
    for (const Direction direction : kDirections) {
      things_->descriptor->standing_deadline_ns(direction).store(kDeadlineNs);
    }
  }
  if (scenario_.alone) return;
  if (!has(Actor::kRead) && !has(Actor::kReread) && !has(Actor::kDrain)) {
    park_somebody(Direction::kRead);
  }
  if (!has(Actor::kWrite)) park_somebody(Direction::kWrite);
}

bool DescriptorWorld::has(Actor actor) const {
  return std::ranges::find(scenario_.actors, actor) != scenario_.actors.end();
}

void DescriptorWorld::park_somebody(Direction direction) {
  const auto at = static_cast<std::size_t>(direction);
  Descriptor& descriptor = *things_->descriptor;
  if (direction == Direction::kWrite) (void)kernel.transfer(things_->number, direction);
  things_->parkers[at].count_wake_ups();
  things_->is_parked[at] = true;
  (void)descriptor.word(direction).prepare();
  (void)things_->poller().arm(descriptor, things_->generation, direction);
  (void)descriptor.word(direction).commit(things_->waiters[at]);
}

// --- The actors. ---

void DescriptorWorld::run(int index) {
  take(index, scenario_.actors[static_cast<std::size_t>(index)]);
}

namespace {

template <class T>
Outcome outcome_of(const Result<T>& result) {
  if (result) return {.is_over = true, .succeeded = true};
  const std::error_code error = result.error();
  const bool is_ours = error.category() == error_category();
  return {.is_over = true, .error = is_ours ? error.value() : -1};
}

}  // namespace

void DescriptorWorld::take(int index, Actor actor) {
  Things& things = *things_;
  Outcome& outcome = things.outcomes[static_cast<std::size_t>(index)];
  std::byte byte{};
  switch (actor) {
    case Actor::kRead:
      kernel.believed_file[static_cast<std::size_t>(index)] = static_cast<std::int8_t>(things.file);
      outcome = outcome_of(things.fd.read_some(std::span(&byte, 1)));
      break;
    case Actor::kWrite:
      kernel.believed_file[static_cast<std::size_t>(index)] = static_cast<std::int8_t>(things.file);
      outcome = outcome_of(things.fd.write_some(std::span(&byte, 1)));
      break;
    case Actor::kReport:
      kernel.make_ready(things.file, detail::Ready::of(Direction::kRead));
      collect(Deadline::at_ns(0));
      break;
    case Actor::kWake:
      mark(things.last_wake, "calls wake()");
      things.poller().wake();
      break;
    case Actor::kExpiry:
      begin_step({.mode = Mode::kWrite, .object = &virtual_now_ns, .what = "time passes"});
      virtual_now_ns = kDeadlineNs + 1;
      end_step(Mode::kWrite, 0, 0);
      break;
    case Actor::kReset:
      outcome = outcome_of(things.fd.set_read_deadline(has(Actor::kExpiry) ? Deadline::never()
                                                                           : Deadline::at_ns(0)));
      break;
    case Actor::kCancel: {
      Descriptor& descriptor = *things.descriptor;
      if (descriptor.lifetime.enter(things.generation) != Lifetime::Entered::kYes) break;
      Waiter* const waiter = descriptor.withdraw(Direction::kRead, WakeReason::kCancelled);
      PollerCore::leave(descriptor);
      if (waiter != nullptr) Worker::wake(*waiter);
      break;
    }
    case Actor::kClose:
    case Actor::kClose2: outcome = outcome_of(things.fd.close()); break;
    case Actor::kReopen: close_and_reopen(index); break;
    case Actor::kPoll:
      collect(Deadline::never());
      collect(Deadline::never());
      break;
    case Actor::kStop: things.runtime.request_stop(); break;
    case Actor::kReread: outcome = outcome_of(read_again(index)); break;
    case Actor::kDrain: outcome = outcome_of(read_to_the_end(index)); break;
    case Actor::kEnd:
      kernel.make_ready(things.file, detail::Ready::hang_up());
      collect(Deadline::at_ns(0));
      break;
  }
}

// Each read has room for more than there is, so it is short.
Result<std::size_t> DescriptorWorld::read_again(int index) {
  Things& things = *things_;
  kernel.believed_file[static_cast<std::size_t>(index)] = static_cast<std::int8_t>(things.file);
  std::array<std::byte, 2> room{};
  if (const auto first = things.fd.read_some(room); !first) return first;
  if (const auto waited = things.fd.wait_readable(); !waited) {
    return std::unexpected(waited.error());
  }
  return things.fd.read_some(room);
}

Result<std::size_t> DescriptorWorld::read_to_the_end(int index) {
  kernel.believed_file[static_cast<std::size_t>(index)] = static_cast<std::int8_t>(things_->file);
  std::array<std::byte, 2> room{};
  for (;;) {
    const auto n = things_->fd.read_some(room);
    if (!n || *n == 0) return n;
  }
}

void DescriptorWorld::close_and_reopen(int index) {
  Things& things = *things_;
  things.outcomes[static_cast<std::size_t>(index)] = outcome_of(things.fd.close());
  auto fd = Stream::adopt(kernel.open(), things.runtime);
  if (!fd) violation("explorer", "the model kernel refused another descriptor");
  Stream& reopened = things.reopened[static_cast<std::size_t>(index)];
  reopened = std::move(*fd);
  // Waits for room, so that a late re-arm has something to arm in the wrong life.
  const std::byte byte{};
  if (const auto written = reopened.write_some(std::span(&byte, 1));
      !written && !has(Actor::kStop)) {
    violation("G2", "the new life's write ended with error %d, for which nobody gave a reason",
              written.error().value());
  }
}

// Remembers when something happened, as a step, so that both orders of two such are explored.
void DescriptorWorld::mark(int& when, const char* what) {
  begin_step({.mode = Mode::kWrite, .object = &things_->clock, .what = what});
  when = ++things_->clock;
  end_step(Mode::kWrite, 0, 0);
}

void DescriptorWorld::collect(Deadline deadline) {
  Things& things = *things_;
  const auto self = static_cast<std::size_t>(Machine::current());
  ++things.collecting;
  things.is_delivering[self] = true;
  WaiterList waiters = things.poller().collect(deadline);
  things.is_delivering[self] = false;
  --things.collecting;
  if (has(Actor::kWake)) mark(things.last_collected, "collect() has returned");
  Worker::wake(waiters);
}

// A report may act on a life that began after the deliverer looked (the slack of G3), but not on
// one other than those that were reported to him if he saw so, or did not look.
void DescriptorWorld::observe(int thread, const Step& step, Mode mode) {
  Things& things = *things_;
  const auto at = static_cast<std::size_t>(thread);
  if (!things.is_delivering[at]) return;
  Descriptor& descriptor = *things.descriptor;
  if (step.object == &descriptor.lifetime) {
    things.looked_at[at] = descriptor.lifetime.open_generation();
    return;
  }
  if (mode != Mode::kWrite) return;
  if (step.object != &descriptor.word(Direction::kRead) &&
      step.object != &descriptor.word(Direction::kWrite)) {
    return;
  }
  const auto life = static_cast<std::uint32_t>(lifetime_word(descriptor) >> 32);
  if (kernel.was_reported(thread, life)) return;
  if (!kernel.was_reported(thread, things.looked_at[at])) {
    violation("G3", "a report of an earlier life acted on life %u", life);
  }
}

// --- The rest of the world. ---

namespace {

bool sleeps_in_kernel(int thread) {
  return !Machine::has_ended(thread) && Machine::pending(thread).verb == Verb::kCall &&
         Machine::pending(thread).enabled != nullptr;
}

bool anybody_can_go_on(int threads) {
  for (int i = 0; i < threads; ++i) {
    if (Machine::has_ended(i)) continue;
    const Step& step = Machine::pending(i);
    if (step.enabled == nullptr || step.enabled(step)) return true;
  }
  return false;
}

}  // namespace

bool DescriptorWorld::quiescent() {
  Things& things = *things_;
  for (int i = 0; i < threads(); ++i) {
    if (!Machine::has_ended(i) && Machine::pending(i).verb == Verb::kLock) {
      violation("deadlock", "thread %c waits for a lock, and nobody can go on", 'A' + i);
    }
  }
  while (things.phase < kPhases) {
    switch (things.phase) {
      case 0: Machine::note("--- nobody can go on: poll"); break;
      case 1:
        judge_waits("though his direction is ready");
        Machine::note("--- everything becomes ready");
        kernel.make_all_ready();
        break;
      case 2:
        judge_waits("though everything has become ready");
        Machine::note("--- the time of deadlines comes");
        virtual_now_ns = 2 * kDeadlineNs;
        break;
      default:
        if (things.last_wake > things.last_collected) {
          for (int i = 0; i < threads(); ++i) {
            if (sleeps_in_kernel(i)) violation("G5", "a wake() was lost: %c sleeps on", 'A' + i);
          }
        }
        things.poller().wake();
        break;
    }
    // A fiber that goes on may arm again: the poll ends when the kernel has nothing to say.
    if (things.phase != 0 || things.collecting != 0 || !kernel.has_report()) ++things.phase;
    if (things.collecting == 0) {
      WaiterList waiters = things.poller().collect(Deadline::at_ns(0));
      Worker::wake(waiters);
    }
    if (anybody_can_go_on(threads())) return true;
  }
  return false;
}

// --- For reports. ---

std::string DescriptorWorld::name_of(const void* object) const {
  Things& things = *things_;
  for (std::size_t i = 0; i < 2; ++i) {
    if (object == &things.parkers[i]) return i == 0 ? "the reader" : "the writer";
  }
  for (int i = 0; i < threads(); ++i) {
    if (Machine::pending(i).verb == Verb::kPark && Machine::pending(i).object == object) {
      return std::string("thread ") + static_cast<char>('A' + i);
    }
  }
  return name_in_library(things.runtime, object);
}

std::string DescriptorWorld::value_of(const void* object, std::uint64_t value) const {
  return value_in_library(object, value);
}

std::string DescriptorWorld::state() const {
  return state_of(*things_->descriptor) + kernel.watch_at(things_->number);
}

}  // namespace rearm::explore
