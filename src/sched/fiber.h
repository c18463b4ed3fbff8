// Fiber: what the scheduler knows of one fiber, and Parked, who waits for something.
//
// A Fiber lies in the topmost bytes of its own stack, the Task that it runs just below; so a fiber
// costs one stack and nothing else, and its memory is gone when the stack is given back.
//
// Life. See State. After the end the stack stays until the JoinHandle has taken the result, or, if
// the fiber was detached, is given back at once. Which of the two comes last is decided by the word
// `done`: the end publishes into it, the handle prepares (joins) or closes (detaches) it.
//
// The result. Its destructor is the program's and may park; so it runs on the stack of whoever
// holds the handle, and where there is no handle any more, on the fiber's own, before it has ended.
//
// Who may touch what. `context`, `leave`, `task`: the worker that runs the fiber; after the end,
// the owner of the handle. `next`: whoever has it in a list. `done`, `stop`, and to read `waits`:
// anybody.
// The rest: constant.
#pragma once

#include <array>
#include <cstdint>
#include <source_location>
#include <string_view>

#include "base/asserted_state.h"
#include "base/atomic.h"
#include "base/claim.h"
#include "base/thread_parker.h"
#include "base/wait_record.h"
#include "base/wait_word.h"
#include "rearm/fiber.h"
#include "sched/stack.h"
#include "sched/stack_context.h"
#include "sched/stop_state.h"

namespace rearm::detail {

class Scheduler;

// What is to be done about a fiber by the side that arrives after the fiber has left its stack:
// only then may it be handed to others. Filled in by the leaving side.
struct Leave {
  void (*settle)(Fiber& fiber) = nullptr;
  WaitWord* word = nullptr;  // For a fiber that parks: where, and as whom,
  Waiter* waiter = nullptr;
  WaitWord::Committed committed = WaitWord::Committed::kParked;  // and what became of it.
  bool was_long = false;  // How it ran the last time that somebody looked (pace.h).
};

// Numbers for `count` fibers, never used before in this process; returns the first.
[[nodiscard]] std::uint64_t reserve_fiber_ids(std::uint64_t count) noexcept;

// Lets the fiber begin with its task when it is first switched to.
void make_ready_to_begin(Fiber& fiber) noexcept;

// The exception that an ended fiber left, and nobody can receive, ends the process with a sentence.
void lose_exception(const Fiber& fiber);

class alignas(64) Fiber {
 public:
  //   state     what it is doing                 who leaves it -> to what
  //   kNew      is being spawned                 spawn.cc -> kQueued
  //   kQueued   is in one queue, or on its way   the worker that takes it -> kRunning
  //   kRunning  is on one worker, until its      on the arriving side: park() -> kParked, yield()
  //             stack has been left              -> kQueued, the end -> kEnded
  //   kParked   has left its stack, and is       whoever takes its waiter out -> kQueued; the end
  //             committed to a word, or about    of the fiber that it joins -> kRunning
  //             to be
  //   kEnded    has left its stack for good      bury() -> kGone; the end, for a result that was
  //                                              let go meanwhile -> kQueued
  //   kGone     is about to be memory again
  enum class State : std::uint8_t { kNew, kQueued, kRunning, kParked, kEnded, kGone };

  Fiber(Scheduler& owner, Stack& own_stack, std::uint64_t number, std::uint32_t spawn_depth,
        const SpawnOptions& options, const std::source_location& where) noexcept
      : scheduler(owner),
        stack(own_stack),
        id(number),
        site(where),
        stop(own_stack.base),
        depth(spawn_depth) {
    name_bytes = static_cast<std::uint8_t>(options.name.copy(name_text.data(), name_text.size()));
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  [[nodiscard]] std::string_view name() const noexcept { return {name_text.data(), name_bytes}; }

  // One cache line: all that a switch touches.
  StackContext context;
  Leave leave;

  // Another: what waiting and waking touch.
  Scheduler& scheduler;
  WaitWord done;
  WaitRecord waits;  // What it waits for; written by wait_on().
  Fiber* next = nullptr;

  Task* task = nullptr;  // Null once its result has been destroyed.
  Stack& stack;
  const std::uint64_t id;
  const std::source_location site;
  // The fiber that joins this one without a deadline, or has done so; see join_ring.h.
  Atomic<Fiber*> joiner{nullptr};
  StopState stop;
  const std::uint32_t depth;  // In the tree of spawning: what a plain thread spawned is at 0.
  std::uint32_t control_number = 0;  // In a run under control (control.h); 0: in none.
  std::array<char, 31> name_text;
  std::uint8_t name_bytes;
  [[no_unique_address]] AssertedState<State> state{State::kNew};
};

#if !REARM_TSAN && !REARM_ASAN
static_assert(sizeof(StackContext) + sizeof(Leave) <= 64,
              "a switch would touch a second cache line");
#endif

// A list of fibers, first in first out, linked through the fibers. Not thread-safe.
class FiberList {
 public:
  FiberList() noexcept = default;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push_back(Fiber& fiber) noexcept {
    fiber.next = nullptr;
    (tail_ == nullptr ? head_ : tail_->next) = &fiber;
    tail_ = &fiber;
    ++size_;
  }

  [[nodiscard]] Fiber* pop_front() noexcept {
    Fiber* const fiber = head_;
    if (fiber == nullptr) return nullptr;
    head_ = fiber->next;
    if (head_ == nullptr) tail_ = nullptr;
    --size_;
    return fiber;
  }

  void splice_back(FiberList& other) noexcept {
    if (other.empty()) return;
    (tail_ == nullptr ? head_ : tail_->next) = other.head_;
    tail_ = other.tail_;
    size_ += other.size_;
    other = {};
  }

 private:
  Fiber* head_ = nullptr;
  Fiber* tail_ = nullptr;
  std::size_t size_ = 0;
};

// The scheduler's kind of waiter: a fiber that has left its stack, a thread that sleeps, or what
// stands in a place for one of these, which waits in several.
class Parked final : public Waiter {
 public:
  explicit Parked(Fiber& fiber) noexcept : fiber_(&fiber) {}
  explicit Parked(ThreadParker& thread) noexcept : thread_(&thread) {}
  explicit Parked(const Place& place) noexcept : place_(&place) {}

  [[nodiscard]] Fiber* fiber() const noexcept { return fiber_; }
  [[nodiscard]] ThreadParker* thread() const noexcept { return thread_; }
  [[nodiscard]] const Place* place() const noexcept { return place_; }

 private:
  Fiber* fiber_ = nullptr;
  ThreadParker* thread_ = nullptr;
  const Place* place_ = nullptr;
};

}  // namespace rearm::detail
