#include "os/child_state.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <array>
#include <cerrno>
#include <utility>

#include "base/errno.h"
#include "net/fd_access.h"
#include "os/kernel_names.h"
#include "os/owned_number.h"
#include "poller/fd_flags.h"

namespace rearm::detail {
namespace {

#if defined(__linux__)
// Of all children, also those that have executed nothing yet, whose end is no SIGCHLD.
constexpr int kAllChildren = 0x40000000;  // __WALL
constexpr int kByPidfd = 3;               // P_PIDFD
#else
constexpr int kAllChildren = 0;
#endif

[[nodiscard]] std::chrono::microseconds microseconds_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

[[nodiscard]] ResourceUsage usage_of(const rusage& usage) {
#if defined(__APPLE__)
  constexpr std::uint64_t kUnit = 1;
#else
  constexpr std::uint64_t kUnit = 1024;
#endif
  return {.user_time = microseconds_of(usage.ru_utime),
          .system_time = microseconds_of(usage.ru_stime),
          .peak_resident_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * kUnit};
}

[[nodiscard]] long wait_by_pidfd([[maybe_unused]] int pidfd, [[maybe_unused]] siginfo_t& info,
                                 [[maybe_unused]] int options, [[maybe_unused]] rusage* usage) {
#if defined(__linux__)
  return ::syscall(SYS_waitid, kByPidfd, pidfd, &info, options | kAllChildren, usage);
#else
  errno = ENOSYS;
  return -1;
#endif
}

[[nodiscard]] std::error_code send_signal(int pid, int pidfd, int signal) {
#if defined(__linux__)
  if (pidfd >= 0) {
    return error_of(
        system_call([&] { return ::syscall(kPidfdSendSignal, pidfd, signal, nullptr, 0); }));
  }
#else
  static_cast<void>(pidfd);
#endif
  return error_of(system_call([&] { return ::kill(pid, signal); }));
}

// Whether it has ended, and how: nothing if it runs. Errors: ECHILD.
[[nodiscard]] Result<std::optional<ExitStatus>> look(int pid, int pidfd) {
  rusage usage{};
  if (pidfd >= 0) {
    siginfo_t info{};
    const long result =
        system_call([&] { return wait_by_pidfd(pidfd, info, WEXITED | WNOHANG, &usage); });
    if (result < 0) return std::unexpected(error_of(result));
    if (info.si_pid == 0) return std::nullopt;
    ExitStatus status;
    if (info.si_code == CLD_EXITED) {
      status.code = info.si_status;
    } else {
      status.signal = info.si_status;
      status.core_dumped = info.si_code == CLD_DUMPED;
    }
    status.usage = usage_of(usage);
    return status;
  }
  int word = 0;
  const int result =
      system_call([&] { return ::wait4(pid, &word, WNOHANG | kAllChildren, &usage); });
  if (result < 0) return std::unexpected(error_of(result));
  if (result == 0) return std::nullopt;
  ExitStatus status;
  if (WIFEXITED(word)) {
    status.code = WEXITSTATUS(word);
  } else {
    status.signal = WTERMSIG(word);
#if defined(WCOREDUMP)
    status.core_dumped = WCOREDUMP(word);
#endif
  }
  status.usage = usage_of(usage);
  return status;
}

// Closes `number` when the child has ended, which whoever reads the pipe's other end sees.
void watch(int pid, int number) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | kAllChildren) < 0 &&
         current_errno() == EINTR) {
  }
  ::close(number);
}

}  // namespace

UnclaimedChild::~UnclaimedChild() {
  if (pid_ < 0) return;
  static_cast<void>(send_signal(pid_, pidfd_, SIGKILL));
  static_cast<void>(reap());
}

int UnclaimedChild::reap() noexcept {
  const int pid = claim();
  siginfo_t info{};
  for (;;) {
    // By number where there is no other way: if somebody else has reaped it, that may be another
    // child by now.
    const long result =
        pidfd_ >= 0 ? wait_by_pidfd(pidfd_, info, WEXITED, nullptr)
                    : ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | kAllChildren);
    if (result >= 0) break;
    if (current_errno() == ECHILD) return 0;
  }
  return info.si_code == CLD_EXITED ? 0 : info.si_status;
}

Result<std::unique_ptr<ChildState>> ChildState::take(Runtime& runtime, int pid, int pidfd) {
  OwnedNumber owned(pidfd);
  UnclaimedChild child(pid, pidfd);
  auto state = std::make_unique<ChildState>();
  state->pid = pid;
  state->runtime = &runtime;
  if (pidfd >= 0) {
    // Not as our own: it is still needed where that fails.
    auto ended = FdAccess::adopt(runtime, pidfd, 0);
    if (!ended) return std::unexpected(ended.error());
    state->pidfd = owned.release();
    state->ended = std::move(*ended);
    child.claim();
    return state;
  }
  std::array<int, 2> ends;
  if (const auto error = open_pipe(ends)) return std::unexpected(error);
  OwnedNumber write_end(ends[1]);
  auto ended = FdAccess::adopt_own(runtime, ends[0], 0);
  if (!ended) return std::unexpected(ended.error());
  state->ended = std::move(*ended);
  try {
    state->watcher = std::thread(watch, pid, write_end.get());
  } catch (const std::system_error& error) {
    return std::unexpected(error.code());
  }
  static_cast<void>(write_end.release());
  child.claim();
  return state;
}

ChildState::~ChildState() {
  if (!watcher.joinable()) return;
  // A thread that waits for a child that was let go has all that it needs.
  if (try_reap()) {
    watcher.join();
  } else {
    watcher.detach();
  }
}

bool ChildState::try_reap() {
  const MutexLock lock(mu);
  if (status || lost) return true;
  const auto seen = look(pid, pidfd);
  if (!seen) {
    lost = true;
  } else if (*seen) {
    status = **seen;
  }
  return status || lost;
}

Result<ExitStatus> ChildState::outcome() {
  const MutexLock lock(mu);
  if (status) return *status;
  return std::unexpected(error_of(-ECHILD));
}

Result<ExitStatus> ChildState::wait(Deadline deadline) {
  for (;;) {
    {
      const MutexLock lock(mu);
      if (status) return *status;
    }
    if (auto readable = ended.wait_readable(deadline); !readable) {
      return std::unexpected(readable.error());
    }
    if (try_reap()) return outcome();
  }
}

void ChildState::wait_surely() {
  while (!try_reap()) {
    if (ended.wait_readable(Deadline::never())) continue;
    // The runtime stops, or somebody else waits for it.
    siginfo_t info{};
    static_cast<void>(
        ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | kAllChildren));
  }
}

std::error_code ChildState::send(int signal, bool to_group) {
  const MutexLock lock(mu);
  if (status || lost) return error_of(-ESRCH);
  if (to_group) return error_of(system_call([&] { return ::kill(-pid, signal); }));
  return send_signal(pid, pidfd, signal);
}

}  // namespace rearm::detail
