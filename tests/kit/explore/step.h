// Step: what a simulated thread does next, as the explorer sees it, and the calls that the seam
// makes.
//
// What this is. The whole language between the code under test and the explorer. The seam's
// Atomic, Mutex, ThreadParker and clock, and the model kernel, announce each step before they take
// it (begin_step) and say afterwards what it was (end_step). Between the two calls nobody else
// runs; before the first, anybody may.
//
// How it is read. Two steps of different threads depend on each other if they touch the same object
// and do not merely both read it or both add to it. A step on a word or a lock touches that alone;
// a system call may touch more: the kernel's queue, the table of numbers, what it looks at.
//
// What is not a step. Unlocking: it only enables others, so that it commutes to the left with their
// steps (Lipton, "Reduction", CACM 1975), and is taken together with the step before it. The code
// between two steps: it touches no shared word, or ThreadSanitizer would say so.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rearm::explore {

// kAdd: additions of which nobody looks at the result, which commute (the statistics).
enum class Mode : std::uint8_t { kNone, kRead, kAdd, kWrite };

enum class Verb : std::uint8_t {
  kLoad,
  kStore,
  kExchange,
  kCompare,
  kFetch,
  kLock,
  kPark,
  kUnpark,
  kClock,
  kCall,
};

struct Touch {
  const void* object = nullptr;
  Mode mode = Mode::kNone;
};

// The first touch, and up to three more; the list ends at the first that touches nothing.
inline constexpr std::size_t kMoreTouches = 3;
using MoreTouches = std::array<Touch, kMoreTouches>;

struct Step {
  Verb verb = Verb::kCall;
  Mode mode = Mode::kNone;
  const void* object = nullptr;
  MoreTouches more{};
  // Whether the step can be taken now; null: always.
  bool (*enabled)(const Step& step) = nullptr;
  const char* what = "";      // kCall: which one.
  std::int64_t argument = 0;  // A deadline, a number.
};

// Whether a simulated thread runs. While none does, the seam's types do what plain ones do.
inline constinit bool in_thread = false;

// For looking at the world from within a step.
class OutsideThreads {
 public:
  OutsideThreads() noexcept : was_in_thread_(in_thread) { in_thread = false; }
  ~OutsideThreads() { in_thread = was_in_thread_; }
  OutsideThreads(const OutsideThreads&) = delete;
  OutsideThreads& operator=(const OutsideThreads&) = delete;

 private:
  bool was_in_thread_;
};

// A scheduling point: returns when the explorer has chosen this thread to take the step.
void begin_step(const Step& step);
// The step was taken: what it did to the first object, and the value before and after.
void end_step(Mode mode, std::uint64_t before, std::uint64_t after);

// Between the two: what the report shall call the step, once its outcome is known.
void name_step(const char* what);

// A guarantee is broken. Ends the execution; does not return.
[[noreturn, gnu::format(printf, 2, 3)]] void violation(const char* guarantee, const char* format,
                                                       ...);

// Locks that the running thread holds (G7).
void lock_taken(bool below_another);
void lock_left();
[[nodiscard]] int locks_held();

// A processor's store buffer: the running thread's stores that nobody else sees yet.
//
// What it is for. Processors let a store wait while later loads go on (x86 does no more than that;
// Owens, Sarkar, Sewell, "A better x86 memory model: x86-TSO", 2009). Two threads that each store
// and then look at what the other has stored may then both see nothing, unless something in
// between waits for the store: an exchange, a sequentially consistent store, a lock, a call.
//
// How it works. A thread that has one (delay_stores()) puts its stores here, unless they are
// sequentially consistent, and finds them here when it loads. Another thread of the program, which
// does nothing else (drain()), takes them to the memory, in their order and at any time. What waits
// for the stores is a step that cannot be taken before the buffer is empty.
class StoreBuffer {
 public:
  using Apply = void (*)(void* object, std::uint64_t value);

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  // By its owner.
  void push(void* object, std::uint64_t value, Apply apply);
  // The last value that is on its way to the object, if there is one.
  [[nodiscard]] const std::uint64_t* find(const void* object) const noexcept;
  // By the other thread; never returns.
  [[noreturn]] void drain();

 private:
  static constexpr std::size_t kMost = 8;

  struct Entry {
    void* object;
    std::uint64_t value;
    Apply apply;
  };
  std::array<Entry, kMost> entries_{};
  std::size_t size_ = 0;
};

// From now on the running thread's stores go through the buffer.
void delay_stores(StoreBuffer& buffer);
// Of the running thread; nullptr if it has none.
[[nodiscard]] StoreBuffer* own_buffer();
// Whether any thread has one. For the seam, to ask before it asks for its own.
inline constinit bool anybody_delays = false;
// Waits until the running thread's stores are seen by all.
void wait_for_stores();

// Virtual time.
inline constinit std::int64_t virtual_now_ns = 1;

}  // namespace rearm::explore
