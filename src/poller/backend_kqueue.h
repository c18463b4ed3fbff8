// The kqueue backend (FreeBSD, macOS, NetBSD, OpenBSD, DragonFly): edge-triggered, two filters,
// both added once and never touched again. The kernels' behaviour and the strategy are explained in
// backend_kqueue.cc.
#pragma once

// clang-format off: older systems want the types first.
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
// clang-format on

#include <array>
#include <span>
#include <string_view>
#include <system_error>

#include "poller/backend.h"

namespace rearm::detail {

class KqueueBackend final : public Backend {
 public:
  static constexpr std::string_view kName = "kqueue";

  KqueueBackend() noexcept : Backend(kName, false) {}
  ~KqueueBackend() override;

  [[nodiscard]] std::error_code open() override;
  [[nodiscard]] std::error_code add(int fd, Token token) override;
  [[nodiscard]] std::error_code arm(int fd, Token token, Ready interest) override;
  void remove(int fd) override;
  [[nodiscard]] WaitResult wait(std::span<Event> events, Deadline deadline) override;
  void wake() noexcept override;

  [[nodiscard]] int native_handle() noexcept override { return kqueue_fd_; }

 private:
  // How many reports are taken from the kernel at once; see EpollBackend.
  static constexpr std::size_t kBatch = 512;

  // What the kernel said to each of two changes: 0 or an errno.
  struct Outcome {
    int read;
    int write;
  };

  std::error_code open_wake();
  static std::error_code settle_add(int fd, Outcome outcome);
  Outcome change_both(int fd, unsigned flags, Token token);
  int wait_kernel(std::size_t max_events, Deadline deadline);

  int kqueue_fd_ = -1;
  pid_t owner_ = -1;  // A child of fork() has no kqueue, though it has this object.
  // The reading and the writing end, where the kernel has no EVFILT_USER.
  std::array<int, 2> wake_pipe_{-1, -1};

  std::array<struct kevent, kBatch> batch_;
};

}  // namespace rearm::detail
