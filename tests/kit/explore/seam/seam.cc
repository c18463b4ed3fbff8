// The seam's parker and clock, and what stands in for src/base/check.cc: a check that fails is a
// violation, with the interleaving that led to it.
#include <array>

#include "base/check.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/this_thread.h"
#include "base/thread_parker.h"
#include "explore/machine.h"
#include "explore/step.h"

namespace rearm::detail {

using explore::Mode;
using explore::Verb;

ThreadParker::ThreadParker() noexcept : in_frame_(explore::in_thread) {}

ThreadParker::~ThreadParker() {
  if (in_frame_ && token_) explore::violation("G2", "a waiter left with a second wake-up pending");
  alive_ = 0;
}

bool ThreadParker::may_return(const explore::Step& step) {
  return static_cast<const ThreadParker*>(step.object)->token_ ||
         explore::virtual_now_ns >= step.argument;
}

bool ThreadParker::park(Deadline deadline) {
  if (!explore::in_thread) explore::violation("explorer", "park outside a simulated thread");
  if (explore::locks_held() != 0) explore::violation("G7", "a lock was held across a park");
  const bool is_finite = !deadline.is_standing() && !deadline.is_never();
  explore::begin_step(
      {.verb = Verb::kPark,
       .mode = Mode::kWrite,
       .object = this,
       .more = {{{&explore::virtual_now_ns, is_finite ? Mode::kRead : Mode::kNone}}},
       .enabled = &may_return,
       .argument = is_finite ? deadline.ns() : Deadline::never().ns()});
  const bool got = token_;
  token_ = false;
  explore::end_step(Mode::kWrite, got ? 1 : 0, 0);
  return got;
}

void ThreadParker::unpark() {
  if (explore::in_thread) {
    if (explore::locks_held() != 0) explore::violation("G7", "a lock was held across a wake-up");
    explore::begin_step({.verb = Verb::kUnpark, .mode = Mode::kWrite, .object = this});
  }
  if (alive_ != kAlive) explore::violation("G2", "a waiter was woken that had left: twice");
  if (in_frame_ && token_) explore::violation("G2", "a waiter was woken twice");
  token_ = true;
  if (explore::in_thread) explore::end_step(Mode::kWrite, 0, 1);
}

std::int64_t now_ns() noexcept {
  if (!explore::in_thread) return explore::virtual_now_ns;
  explore::begin_step(
      {.verb = Verb::kClock, .mode = Mode::kRead, .object = &explore::virtual_now_ns});
  const std::int64_t now = explore::virtual_now_ns;
  explore::end_step(Mode::kRead, static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(now));
  return now;
}

std::int64_t quick_ns() noexcept { return explore::virtual_now_ns; }

const void* this_thread() noexcept {
  static constexpr std::array<char, explore::kMaxThreads + 1> kThreads{};
  const int at = explore::in_thread ? explore::Machine::current() : explore::kMaxThreads;
  return &kThreads[static_cast<std::size_t>(at)];
}

// The same choices must give the same execution.
std::size_t next_turn_of_thread() noexcept { return 0; }

void check_failed(const char* sentence, const char* file, int line) noexcept {
  explore::violation("check", "%s (%s:%d)", sentence, file, line);
}

void impossible_errno(const char* system_call, int number, int error) noexcept {
  explore::violation("check", "%s on %d failed with errno %d", system_call, number, error);
}

}  // namespace rearm::detail
