// PollerCore: the portable poller, and the doorway where events become waiters.
//
// What this is. The one file (with poller.cc) that speaks of events and of descriptors. Public
// callers reach it through rearm::Poller, the scheduler and the sockets directly.
//
// How it works. Upwards: collect() asks the backend for plain events, finds each event's slot,
// drops it if its generation has passed, re-arms what a forgetting kernel forgot, publishes into
// the words and returns the waiters. Downwards: arm() tells a forgetting kernel of a wish.
//
// Re-arm lives here and nowhere else, for every kernel that forgets:
//   lock; if closing, or the generation moved: nothing. Remove the fired directions from the
//   interest. If any is left, associate again with what is left. Unlock, then publish.
// Publishing last is what keeps an arm() that came in between from being lost: its waiter is woken
// spuriously, tries again and arms again.
//
// Who may call. Any thread; collect() one at a time. In a child of fork() a poller of the parent
// says so and leaves the kernel alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/run_state.h"
#include "poller/backend.h"
#include "poller/descriptor.h"
#include "poller/descriptor_table.h"
#include "rearm/poller.h"

namespace rearm::detail {

class PollerCore {
 public:
  // How many events are taken from the backend at once.
  static constexpr std::size_t kBatch = 512;

  // These two throw std::bad_alloc; see Poller::open() and Runtime::Runtime().
  // `run` is that of the runtime whose poller it is, and outlives it.
  [[nodiscard]] static Result<std::unique_ptr<PollerCore>> open(std::string_view backend,
                                                                const RunState& run = no_runtime_);
  explicit PollerCore(std::unique_ptr<Backend> backend, const RunState& run = no_runtime_);
  PollerCore(const PollerCore&) = delete;
  PollerCore& operator=(const PollerCore&) = delete;
  ~PollerCore();

  [[nodiscard]] std::string_view backend_name() const noexcept { return backend_->name(); }
  [[nodiscard]] int native_handle() const noexcept { return backend_->native_handle(); }
  [[nodiscard]] Poller::Stats stats() const noexcept;

  // The descriptor that a token names, of this poller and still open; otherwise nullptr.
  [[nodiscard]] Descriptor* find(Token token) const noexcept;

  // Adds `fd`, which must already be non-blocking, and begins a life. See Poller::add().
  [[nodiscard]] Result<Descriptor*> add(int fd);
  // The same for a number from outside, whose flags are set once the kernel has accepted it: on
  // error it is as it was. `set` tells which flags those were (FdFlags).
  [[nodiscard]] Result<Descriptor*> add_from_outside(int fd, std::uint8_t& set);

  // Tells a forgetting kernel that somebody is about to wait. Between prepare and commit.
  [[nodiscard]] std::error_code arm(Descriptor& descriptor, std::uint32_t generation,
                                    Direction direction) {
    if (is_inherited()) return Errc::kNotSupported;
    if (!backend_->needs_arm()) return {};
    return arm_forgetting(descriptor, generation, direction);
  }

  [[nodiscard]] WaiterList collect(Deadline deadline);
  void wake() noexcept;

  // Ends the life `generation` of a descriptor of any poller. See Poller::close().
  [[nodiscard]] static Result<WaiterList> close(Descriptor& descriptor, std::uint32_t generation);
  [[nodiscard]] static Result<int> remove(Descriptor& descriptor, std::uint32_t generation);

  // Leaves an operation; the last one out of a closed descriptor closes the number. Returns the
  // waiter whose turn it may be now, for the caller to wake; nullptr where none stands in line.
  [[nodiscard]] static Waiter* leave(Descriptor& descriptor, Direction direction) {
    const Lifetime::Left left = descriptor.lifetime.leave(direction);
    if (left == Lifetime::Left::kNothing) [[likely]]
      return nullptr;
    if (left == Lifetime::Left::kCallNext) return descriptor.call_next(direction);
    finish(descriptor);
    return nullptr;
  }
  static void leave(Descriptor& descriptor) {
    if (descriptor.lifetime.leave()) finish(descriptor);
  }

  // Ends every wait on this poller that is under way, after what makes the next ones end by
  // themselves was stored, sequentially consistent.
  [[nodiscard]] WaiterList withdraw_all(WakeReason reason);
  // Of the runtime whose poller it is.
  [[nodiscard]] const RunState& run_state() const noexcept { return run_state_; }

 private:
  // In a child of fork() the kernel's object is the parent's, or is not there at all: nothing here
  // may touch it.
  [[nodiscard]] bool is_inherited() const noexcept { return DescriptorTable::forks() != forks_; }

  std::error_code arm_forgetting(Descriptor& descriptor, std::uint32_t generation,
                                 Direction direction);
  [[nodiscard]] Ready rearm(Descriptor& descriptor, const Event& event);
  void prefetch(std::span<const Event> events, std::size_t i) const noexcept;
  bool deliver(std::span<const Event> events, WaiterList& out);
  // Sets the closing flag under the lock, and then removes the kernel's association.
  void disconnect(Descriptor& descriptor) REARM_EXCLUDES(descriptor.mu);
  // Calls `visit(Descriptor&, generation)` for each open descriptor of this poller, inside.
  template <class Visit>
  void for_each_open(Visit&& visit);
  static void finish(Descriptor& descriptor);

  // Of a poller without a runtime.
  static const RunState no_runtime_;

  DescriptorTable& table_;
  const std::uint32_t forks_ = DescriptorTable::forks();
  const std::unique_ptr<Backend> backend_;
  const RunState& run_state_;

  // The one that is inside collect(). Guards events_.
  Atomic<bool> collecting_{false};
  std::array<Event, kBatch> events_;

  // Set by the wake() that goes to the kernel, cleared by the collect() that it ends. Cleared
  // after the kernel's event was taken and before the caller looks for work, so that a wake() that
  // comes later goes to the kernel again.
  Atomic<bool> wake_pending_{false};

  Atomic<std::uint64_t> descriptors_{0};
  Atomic<std::uint64_t> events_count_{0};
  Atomic<std::uint64_t> stale_events_{0};
  Atomic<std::uint64_t> waits_{0};
  Atomic<std::uint64_t> wakes_{0};
  Atomic<std::uint64_t> arms_{0};
  Atomic<std::uint64_t> rearms_{0};
};

}  // namespace rearm::detail
