// Trace: what happened in a run, step by step, and how it is shown.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "sched/control.h"

namespace rearm::detail {

struct Step {
  std::uint32_t number = 0;  // Of the fiber that went on; 0: time passed.
  // What it went on from, and
  Controlled::State from = Controlled::State::kStarts;
  const Act* act = nullptr;
  WakeReason reason = WakeReason::kReady;
  std::int64_t object = 0;
  // what became of it: kRunning if it merely gave way, kParked or kEnded.
  Controlled::State then = Controlled::State::kRunning;
  const Act* then_act = nullptr;
  std::int64_t then_object = 0;
  std::int64_t now_ns = 0;
  std::uint32_t option = 0;
  std::uint32_t options = 1;

  // Whether two runs took the same step. The numbers of descriptors may differ: other threads of
  // the process open some, too.
  [[nodiscard]] bool is_the_same(const Step& other) const noexcept {
    return number == other.number && from == other.from && act == other.act &&
           reason == other.reason && then == other.then && then_act == other.then_act &&
           now_ns == other.now_ns && option == other.option && options == other.options;
  }
};

using Trace = std::vector<Step>;

// What a fiber that waits for ever waits for: one line for each, "  #2 "name", spawned at ...".
[[nodiscard]] std::string describe_waiting(const std::deque<Controlled>& fibers);

// A line for each step and a column for each fiber or, where these would be too wide, none. Of a
// long trace the middle is left out. Times are relative to `start_ns`.
[[nodiscard]] std::string to_table(const Trace& trace, const std::deque<Controlled>& fibers,
                                   std::int64_t start_ns);

}  // namespace rearm::detail
