// How a stop reaches the tasks. Each enters the group's list as it begins and leaves it as it ends,
// under one lock, so those in the list are there. One that begins after the stop finds it there.
#include "rearm/sync/task_group.h"

#include <cstdio>

#include "base/check.h"
#include "base/linked_list.h"
#include "base/mutex.h"
#include "rearm/sync/semaphore.h"
#include "sched/control.h"
#include "sched/fiber.h"
#include "sched/worker.h"
#include "sync/acts.h"
#include "sync/count_gate.h"

namespace rearm {
namespace detail {

struct GroupMember : LinkedList<GroupMember>::Link {
  explicit GroupMember(Fiber& of) noexcept : fiber(of) {}
  Fiber& fiber;
};

class GroupCore {
 public:
  explicit GroupCore(std::size_t limit) : limit_(limit), free_(static_cast<std::int64_t>(limit)) {}
  GroupCore(const GroupCore&) = delete;
  GroupCore& operator=(const GroupCore&) = delete;

  [[nodiscard]] bool has_limit() const noexcept { return limit_ != 0; }
  [[nodiscard]] Semaphore& free() noexcept { return free_; }

  [[nodiscard]] Result<void> admit() noexcept {
    MutexLock lock(mu_);
    if (is_joined_) return std::unexpected(Errc::kClosed);
    if (is_stopped_) return std::unexpected(Errc::kCancelled);
    static_cast<void>(alive_.add(1));
    return {};
  }
  void leave() noexcept {
    if (has_limit()) free_.release();
    static_cast<void>(alive_.add(-1));  // The last use of the group.
  }

  void enter(GroupMember& member) noexcept {
    bool is_late = false;
    {
      MutexLock lock(mu_);
      members_.push_back(member);
      is_late = is_stopped_;
    }
    // It does not wait yet, so there is nobody to wake; and its token does not exist yet.
    if (is_late) static_cast<void>(member.fiber.stop.request());
  }
  void remove(GroupMember& member) noexcept {
    MutexLock lock(mu_);
    members_.remove(member);
  }

  void fail(std::exception_ptr exception, std::error_code error, bool is_cancelled) noexcept {
    {
      MutexLock lock(mu_);
      if (is_stopped_ && is_cancelled) return;  // It was told to.
      if (!has_failed_) {
        has_failed_ = true;
        exception_ = std::move(exception);
        error_ = error;
      } else {
        keep(std::move(exception), error);
      }
    }
    stop();
  }

  void stop() noexcept {
    WaiterList woken;
    {
      MutexLock lock(mu_);
      if (is_stopped_) return;
      is_stopped_ = true;
      for (GroupMember* one = members_.first(); one != nullptr;
           one = LinkedList<GroupMember>::after(*one)) {
        if (Waiter* const waiter = one->fiber.stop.request()) woken.push_back(*waiter);
        ++unheard_;
      }
    }
    while (const auto ear = next_ear()) ear->hear();
    Worker::wake(woken);
  }

  // Waits for the tasks, and for those that they and others spawn, until none can come any more.
  void wait_for_all(Deadline deadline, const void* where, bool& is_late) noexcept {
    do {
      wait(deadline, where, is_late);
    } while (!close_if_empty());
  }

  [[nodiscard]] Result<void> outcome(bool is_late) {
    std::exception_ptr exception;
    std::error_code error;
    {
      MutexLock lock(mu_);
      exception = std::exchange(exception_, nullptr);
      error = error_;
      if (!has_failed_ && is_stopped_) error = is_late ? Errc::kTimedOut : Errc::kCancelled;
    }
    if (exception) std::rethrow_exception(exception);
    if (error) return std::unexpected(error);
    return {};
  }

  [[nodiscard]] bool is_joined() noexcept {
    MutexLock lock(mu_);
    return is_joined_;
  }
  // After the last task has ended.
  [[nodiscard]] const std::vector<std::exception_ptr>& others() const noexcept
      REARM_NO_THREAD_SAFETY_ANALYSIS {
    return others_;
  }

 private:
  // Passes a request to stop on to the tasks.
  void wait(Deadline deadline, const void* where, bool& is_late) noexcept {
    const WaitingFor what{.act = &act::kJoinGroup, .where = where};
    switch (alive_.wait(deadline, what)) {
      case Ended::kGiven: return;
      case Ended::kTimedOut: is_late = true; break;
      case Ended::kCancelled: break;
    }
    stop();
    static_cast<void>(alive_.wait(Deadline::never(), what, Cancellable::kNo));
  }

  // False: one was admitted after the count had become zero.
  [[nodiscard]] bool close_if_empty() noexcept {
    MutexLock lock(mu_);
    is_joined_ = alive_.count() == 0;
    return is_joined_;
  }

  // One after the other, because to collect them could fail. Null after the last.
  [[nodiscard]] std::shared_ptr<StopEar> next_ear() noexcept {
    MutexLock lock(mu_);
    while (unheard_ > 0 && !members_.empty()) {
      GroupMember& one = *members_.first();
      members_.remove(one);
      members_.push_back(one);
      --unheard_;
      if (StopEar* const ear = one.fiber.stop.ear()) return ear->share();
    }
    return nullptr;
  }

  void keep(std::exception_ptr exception, std::error_code error) noexcept REARM_REQUIRES(mu_) {
    try {
      if (!exception) exception = std::make_exception_ptr(std::system_error(error));
      others_.push_back(std::move(exception));
    } catch (...) {
      return;  // No memory for one more: the first failure is there.
    }
  }

  Mutex mu_;
  LinkedList<GroupMember> members_ REARM_GUARDED_BY(mu_);
  std::size_t unheard_ REARM_GUARDED_BY(mu_) = 0;  // At the front; too many, where some have left.
  bool is_stopped_ REARM_GUARDED_BY(mu_) = false;
  bool is_joined_ REARM_GUARDED_BY(mu_) = false;
  bool has_failed_ REARM_GUARDED_BY(mu_) = false;
  std::exception_ptr exception_ REARM_GUARDED_BY(mu_);
  std::error_code error_ REARM_GUARDED_BY(mu_);
  std::vector<std::exception_ptr> others_ REARM_GUARDED_BY(mu_);
  CountGate alive_{0};
  const std::size_t limit_;
  Semaphore free_;  // Of the limit.
};

void GroupDeleter::operator()(GroupCore* core) const noexcept { delete core; }

GroupTask::GroupTask(GroupCore& core) noexcept
    : core_(core), member_(std::in_place, *Worker::current()->fiber()) {
  core_.enter(*member_);
}

GroupTask::~GroupTask() {
  core_.remove(*member_);
  core_.leave();
}

void GroupTask::fail(std::exception_ptr exception) noexcept {
  bool is_cancelled = false;
  try {
    std::rethrow_exception(exception);
  } catch (const std::system_error& error) {
    is_cancelled = error.code() == Errc::kCancelled;
  } catch (...) {
    is_cancelled = false;  // Something else.
  }
  core_.fail(std::move(exception), {}, is_cancelled);
}

void GroupTask::fail(std::error_code error) noexcept {
  core_.fail(nullptr, error, error == Errc::kCancelled);
}

}  // namespace detail

namespace act = detail::act;

namespace {

void say(const std::exception_ptr& failure) noexcept {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "rearm: a task of a group that was not joined failed: %s\n",
                 exception.what());
  } catch (...) {
    std::fprintf(stderr, "rearm: a task of a group that was not joined threw something\n");
  }
}

}  // namespace

TaskGroup::TaskGroup(const Options& options)
    : core_(new detail::GroupCore(options.limit)), runtime_(options.runtime) {}

TaskGroup::~TaskGroup() {
  if (core_->is_joined()) return;
  request_stop();
  try {
    if (const auto joined = join(); !joined && joined.error() != Errc::kCancelled) {
      say(std::make_exception_ptr(std::system_error(joined.error())));
    }
  } catch (...) {
    say(std::current_exception());
  }
  for (const auto& other : other_failures()) say(other);
}

Result<void> TaskGroup::admit() noexcept {
  const detail::ChoicesAround choices(act::kSpawn);
  if (core_->has_limit()) {
    if (auto acquired = core_->free().acquire(); !acquired) return acquired;
  }
  auto admitted = core_->admit();
  if (!admitted && core_->has_limit()) core_->free().release();
  return admitted;
}

void TaskGroup::dismiss() noexcept { core_->leave(); }

void TaskGroup::request_stop() noexcept {
  const detail::ChoicesAround choices(act::kStop);
  core_->stop();
}

Result<void> TaskGroup::join() { return join(Deadline::never()); }

Result<void> TaskGroup::join(Deadline deadline) {
  REARM_CHECK(!core_->is_joined(), "a TaskGroup was joined twice");
  bool is_late = false;
  {
    const detail::ChoicesAround choices(act::kJoinGroup);
    if (detail::has_passed(deadline)) deadline = Deadline::immediate();
    core_->wait_for_all(deadline, __builtin_return_address(0), is_late);
  }
  return core_->outcome(is_late);
}

const std::vector<std::exception_ptr>& TaskGroup::other_failures() const noexcept {
  return core_->others();
}

}  // namespace rearm
