// Fibers: spawn, join, and what a fiber may ask of itself.
//
// A fiber is a function that runs on a stack of its own and can park: give up its thread until
// something happens, without blocking it. Fibers are spread over the workers of their Runtime
// (runtime.h); after a park a fiber may continue on another thread. So anything that lives in
// thread-local storage, errno included, must be read again after a call that may park:
// docs/threads.md has the rules, and what compilers keep.
//
//   rearm::JoinHandle<int> answer = rearm::spawn([] { return 42; });
//   int n = answer.join();
//
// Exceptions. One that leaves the fiber's function is carried to whoever joins it. If nobody can
// any more (the handle was detached or dropped), it ends the process with a sentence that names
// the fiber and the line that spawned it. One that leaves the first fiber comes out of run().
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "rearm/deadline.h"
#include "rearm/error.h"

namespace rearm {

class Runtime;

struct SpawnOptions {
  // For reports and dumps. Copied; longer names are cut to 31 bytes.
  std::string_view name = {};

  // Address space of this fiber's stack, for one that needs more than the others or much less: 32
  // KiB at least, 1 TiB at most, rounded up to a power of two. 0: Runtime::Options::stack_bytes.
  // Such a spawn takes a lock, and so does the fiber's end.
  std::size_t stack_bytes = 0;
};

namespace detail {

class Fiber;

// What a fiber runs, erased: it lies on the fiber's own stack, so that spawning allocates nothing.
struct Task {
  void (*run)(Task&) = nullptr;          // Calls the function and destroys it.
  void (*drop_result)(Task&) = nullptr;  // Destroys what run() left behind.
  std::exception_ptr error;
};

struct TaskSpec {
  std::size_t bytes;
  std::size_t alignment;
  Task* (*construct)(void* place, void* function);
  void* function;
};

template <class F, class R>
struct TaskOf final : Task {
  using Stored = std::conditional_t<
      std::is_void_v<R>, std::monostate,
      std::conditional_t<std::is_reference_v<R>, std::remove_reference_t<R>*, R>>;

  template <class G>
    requires(!std::same_as<std::remove_cvref_t<G>, TaskOf>)
  explicit TaskOf(G&& g) : function(std::in_place, std::forward<G>(g)) {
    run = [](Task& task) {
      auto& self = static_cast<TaskOf&>(task);
      // What the function captured dies on the fiber's own stack, where it may park.
      struct Reset {
        std::optional<F>& function;
        ~Reset() { function.reset(); }
      } reset{self.function};
      if constexpr (std::is_void_v<R>) {
        std::invoke(std::move(*self.function));
        self.result.emplace();
      } else if constexpr (std::is_reference_v<R>) {
        self.result.emplace(std::addressof(std::invoke(std::move(*self.function))));
      } else {
        self.result.emplace(std::invoke(std::move(*self.function)));
      }
    };
    drop_result = [](Task& task) { static_cast<TaskOf&>(task).~TaskOf(); };
  }

  std::optional<F> function;
  std::optional<Stored> result;
};

[[nodiscard]] Result<Fiber*> spawn(Runtime* runtime, const TaskSpec& spec,
                                   const SpawnOptions& options, const std::source_location& site);
[[noreturn]] void throw_spawn_error(std::error_code error);
// Both stop the process if there is no fiber.
void check_joinable(const Fiber* fiber);
[[nodiscard]] bool wait_for_end(Fiber* fiber, Deadline deadline);
// The three below take a fiber that a JoinHandle owns.
[[nodiscard]] Task& task_of(Fiber& fiber) noexcept;
void release(Fiber& fiber);  // After the end.
void detach(Fiber& fiber);   // Before or after the end.
[[nodiscard]] std::uint64_t id_of(const Fiber& fiber) noexcept;
void request_stop(Fiber& fiber);

}  // namespace detail

// Owns the right to join one fiber. Movable, not copyable. Dropping it detaches the fiber.
// Thread safety: one thread or fiber at a time. Fibers and plain threads may join.
template <class R>
class [[nodiscard("dropping the handle detaches the fiber; say detach() to mean it")]] JoinHandle {
 public:
  JoinHandle() noexcept = default;
  JoinHandle(JoinHandle&& other) noexcept
      : fiber_(std::exchange(other.fiber_, nullptr)), take_(other.take_) {}
  JoinHandle& operator=(JoinHandle&& other) noexcept {
    if (this != &other) {
      detach();
      fiber_ = std::exchange(other.fiber_, nullptr);
      take_ = other.take_;
    }
    return *this;
  }
  ~JoinHandle() { detach(); }

  [[nodiscard]] bool joinable() const noexcept { return fiber_ != nullptr; }

  // A number that no other fiber of this process has or had. 0 if not joinable.
  [[nodiscard]] std::uint64_t id() const noexcept {
    return fiber_ == nullptr ? 0 : detail::id_of(*fiber_);
  }

  // Waits until the fiber has ended; returns what it returned or throws what it threw. May park; a
  // plain thread blocks. REQUIRES: joinable(); afterwards it is not.
  // Throws std::system_error (Errc::kDeadlock) if it could not end: the fiber that is joined is the
  // calling one, or waits for it in turn, by joins of its own. Then the handle stays joinable.
  R join() {
    (void)wait(Deadline::never());
    detail::Fiber& fiber = *std::exchange(fiber_, nullptr);
    struct Release {
      detail::Fiber& fiber;
      ~Release() { detail::release(fiber); }
    } release{fiber};
    detail::Task& task = detail::task_of(fiber);
    if (task.error) std::rethrow_exception(std::exchange(task.error, nullptr));
    return take_(task);
  }

  // Waits until the fiber has ended or the deadline has passed; returns whether it has ended. May
  // park; a plain thread blocks. A standing deadline means never. REQUIRES: joinable(). Throws as
  // join() does where the deadline is never.
  [[nodiscard]] bool wait(Deadline deadline) { return detail::wait_for_end(fiber_, deadline); }

  // Asks the fiber to stop: the wait that it is in, if it is in one, and each one that it begins
  // from now on, ends at once with Errc::kCancelled. What need not wait goes on as ever, and a
  // fiber that never waits is not interrupted; it can ask this_fiber::stop_requested(). Not ended:
  // waits that cannot fail, such as join() and Mutex::lock(); wait(Deadline) of a handle; and waits
  // under a this_fiber::StopShield. Asked more than once, or after its end, nothing more happens.
  // Does not wait; std::stop_callbacks of the fiber's token run in it. REQUIRES: joinable(). Thread
  // safety: also while another joins by the same handle, who must not return before this does.
  void request_stop() {
    detail::check_joinable(fiber_);
    detail::request_stop(*fiber_);
  }

  // Lets the fiber go its own way. The runtime still waits for it before run() returns. What it
  // returns is destroyed on its own stack; if it has ended already, here.
  void detach() noexcept {
    if (fiber_ != nullptr) detail::detach(*std::exchange(fiber_, nullptr));
  }

 private:
  friend class Runtime;
  template <class F>
  friend auto try_spawn_on(Runtime*, F&&, const SpawnOptions&, const std::source_location&)
      -> Result<JoinHandle<std::invoke_result_t<std::decay_t<F>>>>;

  JoinHandle(detail::Fiber& fiber, R (*take)(detail::Task&)) noexcept
      : fiber_(&fiber), take_(take) {}

  detail::Fiber* fiber_ = nullptr;
  R (*take_)(detail::Task&) = nullptr;
};

// What spawn() and Runtime::spawn() share. `runtime` null: that of the calling fiber.
template <class F>
[[nodiscard]] auto try_spawn_on(Runtime* runtime, F&& function, const SpawnOptions& options,
                                const std::source_location& site)
    -> Result<JoinHandle<std::invoke_result_t<std::decay_t<F>>>> {
  using Function = std::decay_t<F>;
  if constexpr (std::is_function_v<std::remove_reference_t<F>>) {
    return try_spawn_on(runtime, Function(function), options, site);  // A pointer to it is kept.
  } else {
    using R = std::invoke_result_t<Function>;
    using Task = detail::TaskOf<Function, R>;
    using Source = std::remove_reference_t<F>;
    const detail::TaskSpec spec{
        .bytes = sizeof(Task),
        .alignment = alignof(Task),
        .construct = [](void* place, void* source) -> detail::Task* {
          return new (place) Task(std::forward<F>(*static_cast<Source*>(source)));
        },
        .function = const_cast<void*>(static_cast<const void*>(std::addressof(function)))};
    const Result<detail::Fiber*> fiber = detail::spawn(runtime, spec, options, site);
    if (!fiber) return std::unexpected(fiber.error());
    return JoinHandle<R>(**fiber, [](detail::Task& task) -> R {
      if constexpr (std::is_void_v<R>) {
        static_cast<void>(task);
      } else if constexpr (std::is_reference_v<R>) {
        return static_cast<R>(**static_cast<Task&>(task).result);
      } else {
        return std::move(*static_cast<Task&>(task).result);
      }
    });
  }
}

// Runs `function` in a new fiber of the calling fiber's runtime. The function is moved onto the new
// fiber's stack; spawning allocates nothing but the stack. The fiber starts some time after the
// call; the caller goes on. Throws std::system_error if there is no stack to be had
// (Errc::kStacksExhausted) or none can have the size that is asked for (Errc::kInvalidArgument), or
// std::bad_alloc if not even the memory for that exception's text is; try_spawn() returns the code
// and throws neither. REQUIRES: called on a fiber (a plain thread uses Runtime::spawn).
template <std::invocable F>
auto spawn(F&& function, SpawnOptions options = {},
           const std::source_location& site = std::source_location::current()) {
  auto handle = try_spawn_on(nullptr, std::forward<F>(function), options, site);
  if (!handle) detail::throw_spawn_error(handle.error());
  return std::move(*handle);
}

template <std::invocable F>
[[nodiscard]] auto try_spawn(F&& function, SpawnOptions options = {},
                             const std::source_location& site = std::source_location::current()) {
  return try_spawn_on(nullptr, std::forward<F>(function), options, site);
}

// What may be asked from inside. On a plain thread each does what its std::this_thread counterpart
// would do, and id() is 0.
namespace this_fiber {

// Lets other fibers run. May park.
void yield() noexcept;

// Parks until the instant has passed. Returns Errc::kCancelled if the fiber or its run was asked to
// stop, and nothing else. A standing deadline means never.
Result<void> sleep_until(Deadline deadline) noexcept;

template <class Rep, class Period>
Result<void> sleep_for(std::chrono::duration<Rep, Period> duration) noexcept(
    std::is_arithmetic_v<Rep>) {
  return sleep_until(Deadline::after(duration));
}

// Whether the fiber was asked to stop (JoinHandle::request_stop), or its run was
// (Runtime::request_stop): its waits fail, and it is time to clean up. False on a plain thread.
[[nodiscard]] bool stop_requested() noexcept;

// For clean-up that has to wait: as long as one is there, a request that is made of this fiber
// alone does not end its waits; the first one after the last shield is gone fails. A stop of the
// whole run ends them all the same: give what they do a deadline, too. On a plain thread it does
// nothing.
class StopShield {
 public:
  StopShield() noexcept;
  StopShield(const StopShield&) = delete;
  StopShield& operator=(const StopShield&) = delete;
  ~StopShield();  // REQUIRES: on the same fiber.

 private:
  detail::Fiber* fiber_;
};

[[nodiscard]] std::uint64_t id() noexcept;
[[nodiscard]] std::string_view name() noexcept;

}  // namespace this_fiber

}  // namespace rearm
