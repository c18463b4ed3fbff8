// TaskGroup: fibers that belong to a scope. None outlives it, none fails unheard.
//
//   rearm::TaskGroup group;
//   for (const Part& part : parts) {
//     if (auto spawned = group.spawn([&] { work(part); }); !spawned) break;
//   }
//   if (auto joined = group.join(); !joined) return joined.error();   // throws what a task threw
//
// A task fails by an exception or, if it returns a Result, by an error. The first failure stops the
// others (JoinHandle::request_stop says what that ends) and comes out of join(). A request to stop
// of the fiber that joins is passed on to the tasks, so groups can be nested. What a task refers to
// must live as long as the group's scope.
//
// Thread safety: spawn() and request_stop() may be called from anywhere, also from the tasks;
// join() and the destructor by the owner alone, not from a task.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/fiber.h"
#include "rearm/sync/hidden.h"

namespace rearm {

namespace detail {

class GroupCore;
struct GroupMember;

struct GroupDeleter {
  void operator()(GroupCore* core) const noexcept;
};

// A task of a group, from its first step to its last. On its own stack.
class GroupTask {
 public:
  explicit GroupTask(GroupCore& core) noexcept;
  GroupTask(const GroupTask&) = delete;
  GroupTask& operator=(const GroupTask&) = delete;
  ~GroupTask();

  void fail(std::exception_ptr exception) noexcept;
  void fail(std::error_code error) noexcept;

 private:
  GroupCore& core_;
  Hidden<GroupMember> member_;
};

template <class T>
inline constexpr bool kIsResult = false;
template <class T>
inline constexpr bool kIsResult<std::expected<T, std::error_code>> = true;

}  // namespace detail

class TaskGroup {
 public:
  struct Options {
    // At most so many tasks at a time: spawn() waits for one to end. 0: as many as there are.
    // A task holds its slot until it has ended, also while it is inside spawn(). So a task that
    // spawns into its own group may wait for the slot that it holds: with all tasks of the limit
    // inside spawn() nothing goes on. Let the owner spawn, or give the inner work its own group.
    std::size_t limit = 0;
    // Whose fibers the tasks are. Null: the runtime of the fiber that spawns.
    Runtime* runtime = nullptr;
  };

  // Throws std::bad_alloc.
  TaskGroup() : TaskGroup(Options{}) {}
  explicit TaskGroup(const Options& options);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  // Of one that was not joined: stops the tasks and waits until they have ended. What they failed
  // with is said on standard error, because nobody can receive it any more. May park.
  ~TaskGroup();

  // Runs `function` in a new fiber. Errors: kCancelled (the group was stopped, or the fiber that
  // spawns was while it waited for the limit), kClosed (it was joined), and those of spawn(). Then
  // nothing has begun. May park, where there is a limit (see Options::limit for tasks that spawn).
  // A call from outside the group's tasks must have returned before the group is destroyed; join()
  // does not wait for one that waits for the limit. Throws what moving the function throws.
  template <std::invocable F>
  [[nodiscard]] Result<void> spawn(
      F&& function, const SpawnOptions& options = {},
      const std::source_location& site = std::source_location::current()) {
    if (auto admitted = admit(); !admitted) return admitted;
    struct Dismiss {
      TaskGroup* group;
      ~Dismiss() {
        if (group != nullptr) group->dismiss();
      }
    } dismiss{this};
    auto handle = try_spawn_on(runtime_, Body<std::decay_t<F>>(*core_, std::forward<F>(function)),
                               options, site);
    if (!handle) return std::unexpected(handle.error());
    dismiss.group = nullptr;
    handle->detach();
    return {};
  }

  // Asks all tasks to stop, and refuses those to come. Does not wait.
  void request_stop() noexcept;

  // Waits until all tasks have ended. Throws what the first one that failed threw; or returns its
  // error. kCancelled: nobody failed, but the group was asked to stop. May park. Afterwards nothing
  // can be spawned.
  Result<void> join();
  // The same; when the deadline passes, the tasks are stopped, and kTimedOut is returned when they
  // have ended, unless one had failed before.
  Result<void> join(Deadline deadline);

  // What failed after the first, but for what said kCancelled. After join().
  [[nodiscard]] const std::vector<std::exception_ptr>& other_failures() const noexcept;

 private:
  template <class F>
  struct Body {
    template <class G>
    Body(detail::GroupCore& of, G&& g) : core(&of), function(std::in_place, std::forward<G>(g)) {}

    void operator()() {
      detail::GroupTask task(*core);
      try {
        using R = std::invoke_result_t<F>;
        if constexpr (detail::kIsResult<std::remove_cvref_t<R>>) {
          if (const auto result = std::invoke(std::move(*function)); !result) {
            task.fail(result.error());
          }
        } else {
          static_cast<void>(std::invoke(std::move(*function)));
        }
      } catch (...) {
        task.fail(std::current_exception());
      }
      function.reset();  // What it captured is gone before the group knows that it has ended.
    }

    detail::GroupCore* core;
    std::optional<F> function;
  };

  [[nodiscard]] Result<void> admit() noexcept;
  void dismiss() noexcept;

  std::unique_ptr<detail::GroupCore, detail::GroupDeleter> core_;
  Runtime* runtime_;
};

}  // namespace rearm
