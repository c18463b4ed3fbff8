// ChildState: a child that was started, and what is known of its end.
//
// How. `ended` is readable from the child's end on: its pidfd, or the pipe that a thread of its own
// closes when waitid(WNOWAIT) has returned. The child is reaped in one place, try_reap(), under the
// lock that every signal is sent under; so a pid is never used after it was given back.
//
// Invariant. Exactly one of: not reaped, `status`, `lost` (somebody else has reaped it).
#pragma once

#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "rearm/net/fd.h"
#include "rearm/os/child.h"
#include "rearm/runtime.h"

namespace rearm::detail {

struct ChildState {
  ChildState() noexcept = default;
  ChildState(const ChildState&) = delete;
  ChildState& operator=(const ChildState&) = delete;
  ~ChildState();

  // Takes the child `pid`, and its pidfd unless that is -1, into the runtime's care. On error it is
  // killed and reaped.
  [[nodiscard]] static Result<std::unique_ptr<ChildState>> take(Runtime& runtime, int pid,
                                                                int pidfd);
  [[nodiscard]] static Child make_child(std::unique_ptr<ChildState> state, Stream input,
                                        Stream output, Stream error);

  // Whether it has ended; reaps it if so. Never blocks.
  [[nodiscard]] bool try_reap() REARM_EXCLUDES(mu);
  [[nodiscard]] Result<ExitStatus> outcome() REARM_EXCLUDES(mu);
  [[nodiscard]] Result<ExitStatus> wait(Deadline deadline);
  [[nodiscard]] std::error_code send(int signal, bool to_group) REARM_EXCLUDES(mu);
  // Waits as long as it takes: parks, or blocks the thread.
  void wait_surely();

  Runtime* runtime = nullptr;
  int pid = -1;
  int pidfd = -1;
  Fd ended;
  bool has_own_group = false;
  std::thread watcher;

  Mutex mu;
  std::optional<ExitStatus> status REARM_GUARDED_BY(mu);
  bool lost REARM_GUARDED_BY(mu) = false;
};

// A child that is not the caller's yet: killed and reaped with the object.
class UnclaimedChild {
 public:
  // `pidfd` stays the caller's, or is -1.
  UnclaimedChild(int pid, int pidfd) noexcept : pid_(pid), pidfd_(pidfd) {}
  UnclaimedChild(const UnclaimedChild&) = delete;
  UnclaimedChild& operator=(const UnclaimedChild&) = delete;
  ~UnclaimedChild();

  // How it ended, when it is about to: the signal, or 0.
  [[nodiscard]] int reap() noexcept;
  int claim() noexcept { return std::exchange(pid_, -1); }

 private:
  int pid_;
  int pidfd_;
};

}  // namespace rearm::detail
