// The verdict over an execution of a DescriptorWorld: see descriptor_world.h.
#include <algorithm>
#include <array>

#include "explore/descriptor_things.h"
#include "explore/descriptor_world.h"
#include "poller/descriptor_table.h"

namespace rearm::explore {

using detail::Descriptor;
using detail::DescriptorTable;

namespace {

bool is_asleep(int thread) {
  return !Machine::has_ended(thread) && Machine::pending(thread).verb == Verb::kPark;
}

}  // namespace

// Nobody whose descriptor is open and ready may be asleep.
void DescriptorWorld::judge_waits(const char* when) {
  Things& things = *things_;
  if (things.collecting != 0 && kernel.has_report()) return;
  for (const Direction direction : kDirections) {
    const auto at = static_cast<std::size_t>(direction);
    const bool is_over = !things.descriptor->lifetime.is_open(things.generation);
    const bool is_stopped = has(Actor::kStop);  // Nobody can go on, so it has been done.
    // Of operations: one that was parked before the actors came has no deadline.
    const bool is_late =
        direction == Direction::kRead && has(Actor::kReset) && !has(Actor::kExpiry);
    const bool is_due = is_over || is_stopped || kernel.is_ready(things.file, direction);
    if (!is_due && !is_late) continue;
    const char* const why = is_over      ? "though his descriptor is closed"
                            : is_stopped ? "though the runtime was asked to stop"
                            : is_due     ? when
                                         : "though his deadline has passed";
    const char* const what = direction == Direction::kRead ? "reading" : "writing";
    if (is_due && things.is_parked[at] && !things.parkers[at].has_token()) {
      violation("G5", "a wake-up was lost: he who waited for %s from the beginning sleeps, %s",
                what, why);
    }
    const Actor actor = direction == Direction::kRead ? Actor::kRead : Actor::kWrite;
    for (int i = 0; i < threads(); ++i) {
      const Actor other = scenario_.actors[static_cast<std::size_t>(i)];
      const bool reads = other == Actor::kReread || other == Actor::kDrain;
      if ((other == actor || (reads && actor == Actor::kRead)) && is_asleep(i)) {
        violation("G5", "a wake-up was lost: %c sleeps, waiting for %s, %s", 'A' + i, what, why);
      }
    }
  }
}

// --- The verdict. ---

void DescriptorWorld::finish() {
  for (int i = 0; i < threads(); ++i) {
    if (!Machine::has_ended(i)) violation("G2", "thread %c waits for ever", 'A' + i);
  }
  judge_closes();
  judge_results();
  judge_leaks();
}

void DescriptorWorld::judge_closes() {
  int calls = 0;
  int successes = 0;
  for (int i = 0; i < threads(); ++i) {
    const Actor actor = scenario_.actors[static_cast<std::size_t>(i)];
    if (actor != Actor::kClose && actor != Actor::kClose2 && actor != Actor::kReopen) continue;
    ++calls;
    successes += things_->outcomes[static_cast<std::size_t>(i)].succeeded ? 1 : 0;
  }
  if (successes != (calls == 0 ? 0 : 1)) {
    violation("G4", "of %d closes %d reported success", calls, successes);
  }
  if (kernel.times_closed(things_->file) != successes) {
    violation("G4", "the file was closed %d times, not %d", kernel.times_closed(things_->file),
              successes);
  }
}

void DescriptorWorld::judge_results() {
  const bool closes = has(Actor::kClose) || has(Actor::kClose2) || has(Actor::kReopen);
  for (int i = 0; i < threads(); ++i) {
    const Actor actor = scenario_.actors[static_cast<std::size_t>(i)];
    const Outcome& outcome = things_->outcomes[static_cast<std::size_t>(i)];
    if (actor != Actor::kRead && actor != Actor::kWrite && actor != Actor::kReread &&
        actor != Actor::kDrain) {
      continue;
    }
    if (outcome.succeeded) continue;
    bool has_reason = false;
    switch (static_cast<Errc>(outcome.error)) {
      case Errc::kClosed: has_reason = closes; break;
      case Errc::kTimedOut: has_reason = has(Actor::kExpiry) || has(Actor::kReset); break;
      case Errc::kCancelled: has_reason = has(Actor::kStop) || has(Actor::kCancel); break;
      case Errc::kBusy: has_reason = std::ranges::count(scenario_.actors, actor) > 1; break;
      default: break;
    }
    if (!has_reason) {
      violation("G2", "thread %c ended with error %d, for which nobody gave a reason", 'A' + i,
                outcome.error);
    }
  }
}

void DescriptorWorld::judge_leaks() {
  Things& things = *things_;
  for (const Direction direction : kDirections) {
    // Whoever waits yet is told of the close below, and of nothing else.
    things.is_parked[static_cast<std::size_t>(direction)] = false;
  }
  (void)things.fd.close();
  for (Stream& fd : things.reopened) (void)fd.close();
  for (int number = kFirstNumber; number < kFirstNumber + kNumbers; ++number) {
    if (kernel.is_open(number)) violation("leak", "number %d is open at the end", number);
    if (kernel.is_watching(number)) violation("leak", "number %d is watched at the end", number);
  }
  if (const auto left = things.poller().stats().descriptors; left != 0) {
    violation("leak", "%d descriptors are left at the end", static_cast<int>(left));
  }
  DescriptorTable& table = DescriptorTable::instance();
  std::array<const Descriptor*, 3> slots{};
  for (int number = 0; const Descriptor*& slot : slots) {
    slot = table.allocate(number++).value_or(nullptr);
    if (std::ranges::count(slots, slot) != 1) violation("G3", "slot %u is free twice", slot->slot);
  }
}

}  // namespace rearm::explore
