// The event port backend (illumos, Solaris): associated for both directions, again after each
// report. The kernel's behaviour and the strategy are explained in backend_event_port.cc.
#pragma once

#include <port.h>

#include <array>
#include <span>
#include <string_view>
#include <system_error>

#include "base/atomic.h"
#include "poller/backend.h"

namespace rearm::detail {

class EventPortBackend final : public Backend {
 public:
  static constexpr std::string_view kName = "event_port";

  EventPortBackend() noexcept : Backend(kName, true) {}
  ~EventPortBackend() override;

  [[nodiscard]] std::error_code open() override;
  [[nodiscard]] std::error_code add(int fd, Token token) override;
  [[nodiscard]] std::error_code arm(int fd, Token token, Ready interest) override;
  void remove(int fd) override;
  [[nodiscard]] WaitResult wait(std::span<Event> events, Deadline deadline) override;
  void wake() noexcept override;

  // From now on a foreign loop may sleep on the number: see tell_foreign_loop().
  [[nodiscard]] int native_handle() noexcept override {
    is_nested_.store(true, kSeqCst);
    return port_;
  }

 private:
  // How many reports are taken from the kernel at once, as in the epoll backend.
  static constexpr std::size_t kBatch = 512;

  void tell_foreign_loop() noexcept;
  std::size_t wait_kernel(std::size_t max_events, Deadline deadline);

  int port_ = -1;
  Atomic<bool> is_nested_{false};
  Atomic<bool> loop_is_told_{false};  // An event is on its way that wakes the foreign loop.
  bool was_invalid_ = false;          // The last wait ended with EINVAL. The waiting thread's.
  std::array<port_event_t, kBatch> batch_;
};

}  // namespace rearm::detail
