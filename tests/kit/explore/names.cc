#include "explore/names.h"

#include <array>
#include <cstring>
#include <string_view>

#include "explore/peek.h"
#include "explore/step.h"
#include "poller/descriptor_table.h"
#include "sched/scheduler.h"

namespace rearm::explore {

using detail::Atomic;
using detail::Descriptor;
using detail::DescriptorTable;
using detail::IdleWorkers;
using detail::Lifetime;
using detail::Monitor;
using detail::Mutex;
using detail::PollerCore;
using detail::RunState;
using detail::Scheduler;
using detail::SharedFibers;

// One tag for each private member. GCC warns that the friend is not a template, which is the point.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wnon-template-friend"
#endif
template <class Class, class Member, int Number>
struct Tag {
  using Type = Member Class::*;
  friend constexpr Type member_of(Tag);
};

using LifetimeWord = Tag<Lifetime, Atomic<std::uint64_t>, 0>;
using Collecting = Tag<PollerCore, Atomic<bool>, 0>;
using WakePending = Tag<PollerCore, Atomic<bool>, 1>;
using RunStateOf = Tag<Scheduler, RunState, 0>;
using Finished = Tag<Scheduler, Atomic<bool>, 1>;
using PollTurn = Tag<Scheduler, Atomic<bool>, 2>;
using KernelUntil = Tag<Scheduler, Atomic<std::int64_t>, 0>;
using Injected = Tag<Scheduler, SharedFibers, 0>;
using Spilled = Tag<Scheduler, SharedFibers, 1>;
using Outside = Tag<Scheduler, Atomic<std::uint32_t>, 0>;
using SchedulerMonitor = Tag<Scheduler, Monitor, 0>;
using Resting = Tag<Monitor, Atomic<std::size_t>, 0>;
using MonitorAsleep = Tag<Monitor, Atomic<bool>, 0>;
using IdleCount = Tag<IdleWorkers, Atomic<std::size_t>, 0>;
using IdleSearching = Tag<IdleWorkers, Atomic<int>, 0>;
using IdleMu = Tag<IdleWorkers, Mutex, 0>;

template struct Peek<&Lifetime::word_, LifetimeWord>;
template struct Peek<&PollerCore::collecting_, Collecting>;
template struct Peek<&PollerCore::wake_pending_, WakePending>;
template struct Peek<&Scheduler::run_state_, RunStateOf>;
template struct Peek<&Scheduler::finished_, Finished>;
template struct Peek<&Scheduler::poll_turn_, PollTurn>;
template struct Peek<&Scheduler::kernel_until_ns_, KernelUntil>;
template struct Peek<&Scheduler::injected_, Injected>;
template struct Peek<&Scheduler::spilled_, Spilled>;
template struct Peek<&Scheduler::outside_, Outside>;
template struct Peek<&Scheduler::monitor_, SchedulerMonitor>;
template struct Peek<&Monitor::resting_, Resting>;
template struct Peek<&Monitor::asleep_, MonitorAsleep>;
template struct Peek<&IdleWorkers::count_, IdleCount>;
template struct Peek<&IdleWorkers::searching_, IdleSearching>;
template struct Peek<&IdleWorkers::mu_, IdleMu>;

namespace {

constexpr std::array kDirections = {Direction::kRead, Direction::kWrite};
constexpr std::uint32_t kSlots = 4;  // In the first segment of this build.

struct Name {
  const void* object;
  const char* name;
};

template <class T>
bool lies_in(const T& whole, const void* part) {
  const auto at = reinterpret_cast<std::uintptr_t>(part);
  const auto begin = reinterpret_cast<std::uintptr_t>(&whole);
  return at >= begin && at < begin + sizeof(T);
}

const char* name_in(Descriptor& descriptor, const void* object) {
  const std::array names = {
      Name{&descriptor.lifetime, "lifetime"},
      Name{&descriptor.word(Direction::kRead), "reading"},
      Name{&descriptor.word(Direction::kWrite), "writing"},
      Name{&descriptor.standing_deadline_ns(Direction::kRead), "read deadline"},
      Name{&descriptor.standing_deadline_ns(Direction::kWrite), "write deadline"},
      Name{&descriptor.poller, "poller"},
      Name{&descriptor.hang_up_seen, "hang_up_seen"},
      Name{&descriptor.mu, "mu"},
  };
  for (const Name& name : names) {
    if (name.object == object) return name.name;
  }
  return nullptr;
}

const char* name_in(Scheduler& scheduler, const void* object) {
  PollerCore& poller = scheduler.poller();
  IdleWorkers& idle = scheduler.idle();
  Monitor& monitor = scheduler.*member_of(SchedulerMonitor{});
  const std::array names = {
      Name{&(poller.*member_of(Collecting{})), "collecting"},
      Name{&(poller.*member_of(WakePending{})), "wake_pending"},
      Name{&(scheduler.*member_of(RunStateOf{})), "run state"},
      Name{&(scheduler.*member_of(Finished{})), "finished"},
      Name{&(scheduler.*member_of(PollTurn{})), "poll_turn"},
      Name{&(scheduler.*member_of(KernelUntil{})), "kernel_until"},
      Name{&(scheduler.*member_of(Outside{})), "outside"},
      Name{&(monitor.*member_of(Resting{})), "resting"},
      Name{&(monitor.*member_of(MonitorAsleep{})), "monitor asleep"},
      Name{&(idle.*member_of(IdleCount{})), "idle count"},
      Name{&(idle.*member_of(IdleSearching{})), "searching"},
      Name{&(idle.*member_of(IdleMu{})), "idle mu"},
  };
  for (const Name& name : names) {
    if (name.object == object) return name.name;
  }
  if (lies_in(scheduler.*member_of(Injected{}), object)) return "injected";
  if (lies_in(scheduler.*member_of(Spilled{}), object)) return "spilled";
  for (const auto& processor : scheduler.processors()) {
    if (lies_in(processor->timers, object)) return "timers";
    if (lies_in(processor->queue, object)) return "run queue";
    if (lies_in(processor->arrivals, object)) return "arrivals";
    if (lies_in(*processor, object)) return "a processor's counter";
  }
  return lies_in(poller, object) ? "a counter" : nullptr;
}

}  // namespace

std::string name_in_library(Runtime& runtime, const void* object) {
  if (object == &virtual_now_ns) return "the clock";
  DescriptorTable& table = DescriptorTable::instance();
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const char* const name = name_in(*table.find(slot), object);
    if (name != nullptr) return slot == 0 ? name : name + (" of slot " + std::to_string(slot));
  }
  if (const char* const name = name_in(runtime.scheduler(), object)) return name;
  return lies_in(table, object) ? "the table" : "a word";
}

std::string value_in_library(const void* object, std::uint64_t value) {
  DescriptorTable& table = DescriptorTable::instance();
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    Descriptor& descriptor = *table.find(slot);
    if (object == &descriptor.lifetime) {
      std::string text =
          "life " + std::to_string(value >> 32) + " refs " + std::to_string(value & 0x0fffffff);
      if ((value & (1U << 31)) != 0) text += " closed";
      if ((value & (1U << 30)) != 0) text += " reader";
      if ((value & (1U << 29)) != 0) text += " writer";
      if ((value & (1U << 28)) != 0) text += " line";
      return text;
    }
    for (const Direction direction : kDirections) {
      if (object != &descriptor.word(direction)) continue;
      constexpr std::array kStates = {"idle", "ready", "parking", "closed"};
      return value < kStates.size() ? kStates[value] : "waiter";
    }
  }
  if (value == static_cast<std::uint64_t>(Deadline::never().ns())) return "never";
  if (value == std::uint64_t{1} << 63) return "nobody";
  if (value > 0xffffffffff) return "set";  // A pointer: its value tells a reader nothing.
  return std::to_string(value);
}

Step destruction_of(Runtime& runtime) {
  Scheduler& scheduler = runtime.scheduler();
  const auto taken_away = [](const auto& word) { return Touch{&word, Mode::kWrite}; };
  return {.verb = Verb::kCall,
          .mode = Mode::kWrite,
          .object = &(scheduler.*member_of(Outside{})),
          .more = {taken_away(scheduler.idle().*member_of(IdleCount{})),
                   taken_away(scheduler.*member_of(KernelUntil{})),
                   taken_away(scheduler.poller().*member_of(WakePending{}))},
          .enabled =
              [](const Step& step) {
                const OutsideThreads outside;
                return static_cast<const Atomic<std::uint32_t>*>(step.object)->load() == 0;
              },
          .what = "destroy the runtime"};
}

std::uint64_t lifetime_word(const Descriptor& descriptor) {
  const OutsideThreads outside;
  return (descriptor.lifetime.*member_of(LifetimeWord{})).load(detail::kRelaxed);
}

std::string state_of(Descriptor& descriptor) {
  std::string text = value_in_library(&descriptor.lifetime, lifetime_word(descriptor)) + "; ";
  for (const Direction direction : kDirections) {
    std::uint64_t word = 0;
    static_assert(sizeof(detail::WaitWord) == sizeof(word));
    std::memcpy(&word, static_cast<const void*>(&descriptor.word(direction)), sizeof(word));
    text += value_in_library(&descriptor.word(direction), word);
    text += direction == Direction::kRead ? "/" : "; ";
  }
  if (descriptor.mu.is_held()) text += "locked; ";
  return text;
}

}  // namespace rearm::explore
