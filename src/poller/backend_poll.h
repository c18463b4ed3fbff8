// The poll(2) backend (any POSIX system): a set in user space, told to the kernel at each wait.
// The kernel's behaviour and the strategy are explained in backend_poll.cc.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/annotations.h"
#include "base/atomic.h"
#include "base/mutex.h"
#include "poller/backend.h"

namespace rearm::detail {

class PollBackend final : public Backend {
 public:
  static constexpr std::string_view kName = "poll";

  PollBackend() noexcept : Backend(kName, true) {}
  ~PollBackend() override;

  [[nodiscard]] std::error_code open() override;
  [[nodiscard]] std::error_code add(int fd, Token token) override;
  [[nodiscard]] std::error_code arm(int fd, Token token, Ready interest) override;
  void remove(int fd) override;
  [[nodiscard]] WaitResult wait(std::span<Event> events, Deadline deadline) override;
  void wake() noexcept override;

  // There is no kernel object that another loop could watch.
  [[nodiscard]] int native_handle() noexcept override { return -1; }

 private:
  static constexpr std::uint32_t kNowhere = 0xffff'ffff;

  // What is known of a number; generation 0 means that it is not added.
  struct Entry {
    Token token;
    std::uint32_t position = kNowhere;  // In armed_; kNowhere while nothing is asked.
  };

  // The same numbers in the same order: what the kernel is asked, and on whose behalf.
  struct Asked {
    void reserve(std::size_t count);

    std::vector<pollfd> fds;
    std::vector<Token> tokens;
  };

  [[nodiscard]] std::size_t begin_wait();
  [[nodiscard]] std::size_t end_wait(std::span<Event> events, std::size_t asked, int reports);
  void disarm(Entry& entry) REARM_REQUIRES(mu_);
  [[nodiscard]] bool interrupt_wait() REARM_REQUIRES(mu_);
  void write_to_pipe() const noexcept;
  void drain_pipe() const noexcept;

  int wake_read_fd_ = -1;
  int wake_write_fd_ = -1;
  Atomic<bool> wake_called_{false};
  // Odd while a thread is in the kernel with what it was asked: see remove().
  Atomic<std::uint32_t> wait_count_{0};

  Mutex mu_{Nesting::kBelowAnother};
  std::vector<Entry> entries_ REARM_GUARDED_BY(mu_);  // By number.
  Asked armed_ REARM_GUARDED_BY(mu_);
  Asked larger_ REARM_GUARDED_BY(mu_);  // Room for the next wait, so that wait() allocates nothing.
  bool is_interrupted_ REARM_GUARDED_BY(mu_) = false;

  Asked asked_;                // The waiting thread's own.
  std::size_t scan_from_ = 0;  // Where the next scan begins, so that no number starves.
};

}  // namespace rearm::detail
