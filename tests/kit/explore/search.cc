#include "explore/search.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace rearm::explore {
namespace {

constexpr std::uint8_t bit_of(int thread) { return static_cast<std::uint8_t>(1U << thread); }

constexpr bool conflict(Mode a, Mode b) {
  if (a == Mode::kNone || b == Mode::kNone) return false;
  return a != b || a == Mode::kWrite;
}

}  // namespace

Search::Search(const Options& options) : options_(options) {
  states_.resize(kMaxSteps + 2);
  events_.resize(kMaxSteps + 2);
  begin_pct();
}

// --- Choosing. ---

int Search::choose(unsigned enabled) {
  State& state = states_[static_cast<std::size_t>(depth_)];
  int chosen = -1;
  if (depth_ < prefix_) {
    if (state.enabled != enabled) violation("explorer", "the program is not deterministic");
    chosen = state.chosen;
  } else {
    state = {.enabled = static_cast<std::uint8_t>(enabled)};
    switch (options_.strategy) {
      case Strategy::kPct: chosen = choose_by_priority(enabled); break;
      case Strategy::kReplay: chosen = choose_by_replay(enabled); break;
      default: chosen = choose_first_time(enabled); break;
    }
    state.chosen = static_cast<std::int8_t>(chosen);
  }
  choices_ = chosen < 0 ? depth_ : depth_ + 1;
  after_barrier_ = false;
  return chosen;
}

// Goes on with the last thread if it can, which costs no preemption.
int Search::choose_first_time(unsigned enabled) {
  State& state = states_[static_cast<std::size_t>(depth_)];
  const int last = depth_ == 0 ? -1 : states_[static_cast<std::size_t>(depth_ - 1)].chosen;
  if (depth_ != 0) {
    const State& before = states_[static_cast<std::size_t>(depth_ - 1)];
    state.preemptions = before.preemptions;
    if (depth_ >= 2 && before.chosen != states_[static_cast<std::size_t>(depth_ - 2)].chosen) {
      const int left = states_[static_cast<std::size_t>(depth_ - 2)].chosen;
      if ((before.enabled & bit_of(left)) != 0) ++state.preemptions;
    }
  }
  if (options_.strategy == Strategy::kAll) state.sleep = sleepers();
  const unsigned awake = enabled & ~unsigned{state.sleep};
  if (awake == 0) return -1;
  const int chosen = last >= 0 && (awake & bit_of(last)) != 0 ? last : std::countr_zero(awake);
  state.backtrack =
      options_.strategy == Strategy::kBrute ? static_cast<std::uint8_t>(enabled) : bit_of(chosen);
  return chosen;
}

// Those that slept before the last step, and do not depend on it.
std::uint8_t Search::sleepers() const {
  if (depth_ == 0 || after_barrier_) return 0;
  const State& before = states_[static_cast<std::size_t>(depth_ - 1)];
  const Event& event = events_[static_cast<std::size_t>(depth_ - 1)];
  std::uint8_t left = 0;
  for (unsigned sleep = before.sleep & ~unsigned{bit_of(before.chosen)}; sleep != 0;
       sleep &= sleep - 1) {
    const int thread = std::countr_zero(sleep);
    if (!depends(Machine::pending(thread), event)) left |= bit_of(thread);
  }
  return left;
}

bool Search::depends(const Step& step, const Event& event) {
  const auto meets_event = [&](const Touch& touch) {
    if (touch.object == event.first.object && conflict(touch.mode, event.first.mode)) return true;
    for (const Touch& other : event.more) {
      if (other.mode == Mode::kNone) return false;
      if (touch.object == other.object && conflict(touch.mode, other.mode)) return true;
    }
    return false;
  };
  if (meets_event({step.object, step.mode})) return true;
  for (const Touch& touch : step.more) {
    if (touch.mode == Mode::kNone) return false;
    if (meets_event(touch)) return true;
  }
  return false;
}

// --- What a step did. ---

void Search::executed(int thread, const Step& step, Mode mode) {
  Event& event = events_[static_cast<std::size_t>(depth_)];
  if (is_reducing()) {
    event.first = {step.object, mode};
    event.more = step.more;
    Candidates candidates;
    collect(event.first, candidates);
    for (const Touch& touch : step.more) collect(touch, candidates);
    join(thread, candidates, depth_ >= prefix_ - 1);
    mark(event.first, thread);
    for (const Touch& touch : step.more) mark(touch, thread);
    clocks_[static_cast<std::size_t>(thread)] = event.clock;
  }
  ++depth_;
}

Search::Object& Search::object_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address);
  std::size_t at = (bits ^ (bits >> 9)) * 0x9e3779b97f4a7c15U >> 54;
  static_assert(kObjects == 1U << 10);
  for (;;) {
    Object& object = objects_[at];
    if (object.execution != execution_) {
      object.address = address;
      object.execution = execution_;
      object.write = 0;
      object.readers = object.adders = 0;
      return object;
    }
    if (object.address == address) return object;
    at = (at + 1) % kObjects;
  }
}

// The steps on which a step of this mode depends directly.
void Search::collect(const Touch& touch, Candidates& out) {
  const Mode mode = touch.mode;
  if (mode == Mode::kNone) return;
  const Object& object = object_of(touch.object);
  if (object.write != 0) out.steps[out.count++] = object.write;
  if (mode != Mode::kRead) {
    for (unsigned left = object.readers; left != 0; left &= left - 1) {
      out.steps[out.count++] = object.read[static_cast<std::size_t>(std::countr_zero(left))];
    }
  }
  if (mode != Mode::kAdd) {
    for (unsigned left = object.adders; left != 0; left &= left - 1) {
      out.steps[out.count++] = object.add[static_cast<std::size_t>(std::countr_zero(left))];
    }
  }
}

void Search::mark(const Touch& touch, int thread) {
  if (touch.mode == Mode::kNone) return;
  Object& object = object_of(touch.object);
  const auto step = static_cast<std::uint16_t>(depth_ + 1);
  switch (touch.mode) {
    case Mode::kWrite:
      object.write = step;
      object.readers = object.adders = 0;
      break;
    case Mode::kRead:
      object.read[static_cast<std::size_t>(thread)] = step;
      object.readers |= bit_of(thread);
      break;
    case Mode::kAdd:
      object.add[static_cast<std::size_t>(thread)] = step;
      object.adders |= bit_of(thread);
      break;
    case Mode::kNone: break;
  }
}

// Gives the step at depth_ its clock, and finds the races in which it is the later one: with steps
// that are before it by nothing but this dependence.
void Search::join(int thread, const Candidates& candidates, bool detects) {
  std::array<std::uint16_t, 40> sorted;
  const auto end = std::copy_n(candidates.steps.begin(), candidates.count, sorted.begin());
  std::sort(sorted.begin(), end, std::greater<>());
  Clock clock = clocks_[static_cast<std::size_t>(thread)];
  std::array<std::uint16_t, 40> races;
  std::size_t race_count = 0;
  for (auto it = sorted.begin(); it != end; ++it) {
    const Event& other = events_[static_cast<std::size_t>(*it - 1)];
    if (clock[static_cast<std::size_t>(other.thread)] >= *it) continue;
    if (other.thread != thread) races[race_count++] = *it;
    clock = clock > other.clock ? clock : other.clock;
  }
  clock[static_cast<std::size_t>(thread)] = static_cast<std::uint16_t>(depth_ + 1);
  Event& event = events_[static_cast<std::size_t>(depth_)];
  event.clock = clock;
  event.thread = static_cast<std::int8_t>(thread);
  if (!detects) return;
  for (std::size_t i = 0; i < race_count; ++i) {
    if (options_.strategy == Strategy::kAll) {
      race(races[i] - 1, thread);
    } else {
      race_bounded(races[i] - 1, thread);
    }
  }
}

// The threads with which an execution may begin, from the state before `earlier`, that takes every
// step since then that does not come after it, and then the one at depth_.
std::uint8_t Search::initials(int earlier) const {
  const Event& first = events_[static_cast<std::size_t>(earlier)];
  const auto first_thread = static_cast<std::size_t>(first.thread);
  std::array<std::uint16_t, kMaxThreads> began{};
  std::uint8_t seen = 0;
  std::uint8_t result = 0;
  for (int i = earlier + 1; i <= depth_; ++i) {
    const Event& event = events_[static_cast<std::size_t>(i)];
    if (i != depth_ && event.clock[first_thread] >= earlier + 1) continue;
    if ((seen & bit_of(event.thread)) != 0) continue;
    bool is_initial = true;
    for (unsigned left = seen; left != 0; left &= left - 1) {
      const auto other = static_cast<std::size_t>(std::countr_zero(left));
      if (event.clock[other] >= began[other]) is_initial = false;
    }
    seen |= bit_of(event.thread);
    began[static_cast<std::size_t>(event.thread)] = static_cast<std::uint16_t>(i + 1);
    if (is_initial) result |= bit_of(event.thread);
  }
  return result;
}

void Search::race(int earlier, int thread) {
  State& state = states_[static_cast<std::size_t>(earlier)];
  const std::uint8_t possible = initials(earlier);
  if ((possible & (state.backtrack | state.sleep)) != 0) return;
  // Not enabled: the earlier step is what made the later one possible.
  const unsigned useful = possible & state.enabled;
  if (useful == 0) return;
  state.backtrack |=
      (useful & bit_of(thread)) != 0 ? bit_of(thread) : bit_of(std::countr_zero(useful));
}

void Search::race_bounded(int earlier, int thread) {
  const auto add = [&](int at) {
    State& state = states_[static_cast<std::size_t>(at)];
    state.backtrack |= (state.enabled & bit_of(thread)) != 0 ? bit_of(thread) : state.enabled;
  };
  add(earlier);
  // Where the block begins in which the earlier step lies, a switch is free.
  int begin = earlier;
  while (begin > 0 && states_[static_cast<std::size_t>(begin - 1)].chosen ==
                          states_[static_cast<std::size_t>(earlier)].chosen) {
    --begin;
  }
  add(begin);
}

void Search::barrier(int threads) {
  if (is_reducing()) {
    for (int i = 0; i < threads; ++i) {
      if (Machine::has_ended(i)) continue;
      const Step& step = Machine::pending(i);
      Candidates candidates;
      collect({step.object, step.mode}, candidates);
      for (const Touch& touch : step.more) collect(touch, candidates);
      join(i, candidates, true);
    }
    for (Clock& clock : clocks_) clock = Clock{} + static_cast<std::uint16_t>(depth_);
  }
  after_barrier_ = true;
}

// --- From one execution to the next. ---

bool Search::next() {
  ++execution_;
  clocks_ = {};
  const int length = depth_;
  depth_ = 0;
  after_barrier_ = false;
  if (execution_ == 1) return true;
  if (options_.strategy == Strategy::kReplay) return false;
  if (options_.strategy == Strategy::kPct) {
    longest_ = std::max(longest_, length);
    ++run_;
    begin_pct();
    return run_ < options_.runs;
  }
  // A state at which the execution was given up has chosen nobody.
  for (int at = length - 1; at >= 0; --at) {
    State& state = states_[static_cast<std::size_t>(at)];
    state.sleep |= bit_of(state.chosen);
    for (unsigned left = state.backtrack & ~unsigned{state.sleep}; left != 0; left &= left - 1) {
      const int thread = std::countr_zero(left);
      const int last = at == 0 ? thread : states_[static_cast<std::size_t>(at - 1)].chosen;
      const bool preempts = last != thread && (state.enabled & bit_of(last)) != 0;
      if (options_.strategy == Strategy::kBounded && preempts &&
          state.preemptions + 1 > options_.preemptions) {
        bound_reached_ = true;
        continue;
      }
      state.chosen = static_cast<std::int8_t>(thread);
      prefix_ = at + 1;
      return true;
    }
  }
  return false;
}

int Search::preemptions() const noexcept {
  int count = 0;
  for (int i = 1; i < choices_; ++i) {
    const int last = states_[static_cast<std::size_t>(i - 1)].chosen;
    const State& state = states_[static_cast<std::size_t>(i)];
    if (state.chosen != last && (state.enabled & bit_of(last)) != 0) ++count;
  }
  return count;
}

std::string Search::schedule() const {
  std::string text;
  for (int i = 0; i < choices_;) {
    const int thread = states_[static_cast<std::size_t>(i)].chosen;
    int run = 0;
    for (; i < choices_ && states_[static_cast<std::size_t>(i)].chosen == thread; ++i) ++run;
    text += static_cast<char>('A' + thread);
    if (run != 1) text += std::to_string(run);
  }
  return text;
}

// Where the string ends, goes on like a first execution.
int Search::choose_by_replay(unsigned enabled) {
  const std::string_view text = options_.replay;
  if (replay_left_ == 0 && replay_at_ < text.size()) {
    replay_thread_ = text[replay_at_++] - 'A';
    replay_left_ = 0;
    while (replay_at_ < text.size() && text[replay_at_] >= '0' && text[replay_at_] <= '9') {
      replay_left_ = replay_left_ * 10 + (text[replay_at_++] - '0');
    }
    replay_left_ = std::max(replay_left_, 1);
  }
  if (replay_left_ == 0) {
    const int last = depth_ == 0 ? -1 : states_[static_cast<std::size_t>(depth_ - 1)].chosen;
    return last >= 0 && (enabled & bit_of(last)) != 0 ? last : std::countr_zero(enabled);
  }
  --replay_left_;
  const bool fits = replay_thread_ >= 0 && replay_thread_ < kMaxThreads &&
                    (enabled & bit_of(replay_thread_)) != 0;
  if (!fits) violation("explorer", "the schedule does not fit this program: step %d", depth_ + 1);
  return replay_thread_;
}

// --- PCT. ---

std::uint64_t Search::random() {
  random_ += 0x9e3779b97f4a7c15U;
  std::uint64_t x = random_;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

void Search::begin_pct() {
  if (options_.strategy != Strategy::kPct) return;
  random_ = options_.seed * 0x2545f4914f6cdd1dU + run_;
  for (int i = 0; i < kMaxThreads; ++i) priority_[static_cast<std::size_t>(i)] = 100 + i;
  for (std::size_t i = kMaxThreads - 1; i > 0; --i) {
    std::swap(priority_[i], priority_[random() % (i + 1)]);
  }
  for (int i = 0; i < options_.depth - 1 && i < 16; ++i) {
    change_at_[static_cast<std::size_t>(i)] =
        static_cast<int>(random() % static_cast<std::uint64_t>(longest_));
  }
}

int Search::choose_by_priority(unsigned enabled) {
  const auto best = [&] {
    int found = -1;
    for (unsigned left = enabled; left != 0; left &= left - 1) {
      const int thread = std::countr_zero(left);
      if (found < 0 || priority_[static_cast<std::size_t>(thread)] >
                           priority_[static_cast<std::size_t>(found)]) {
        found = thread;
      }
    }
    return found;
  };
  for (int i = 0; i < options_.depth - 1 && i < 16; ++i) {
    if (change_at_[static_cast<std::size_t>(i)] == depth_) {
      priority_[static_cast<std::size_t>(best())] = i;
    }
  }
  // Whoever turns in a circle must let others run, or nobody ends the circle.
  constexpr int kLongStreak = 400;
  const int chosen = best();
  const int last = depth_ == 0 ? -1 : states_[static_cast<std::size_t>(depth_ - 1)].chosen;
  streak_ = chosen == last ? streak_ + 1 : 0;
  if (streak_ > kLongStreak) {
    streak_ = 0;
    priority_[static_cast<std::size_t>(chosen)] = -depth_;
    return best();
  }
  return chosen;
}

}  // namespace rearm::explore
