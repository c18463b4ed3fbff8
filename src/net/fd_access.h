// FdAccess: the one try / park / retry loop, and what else the socket classes share.
//
// What this is. The doorway where a fiber becomes a wish to wait. Every operation is a system call
// that is tried first; on EAGAIN the caller prepares the direction's word, tells a kernel that
// needs it (arm), and parks. A report that arrives between any two of these finds the word at
// kParking and makes the park fail, so the loop tries again: no wake-up is lost (G5).
//
// The short-read rule. A read that fills less than its buffer has drained the socket, so the next
// one waits at once, without the read that would return EAGAIN. That is sound where
//   - every arrival of data makes a new report: edge-triggered kernels by definition, kernels that
//     need arming because arming looks at the level;
//   - a short read really means drained: true of TCP but for the urgent mark, where a read stops.
//     It is not true of datagrams, of Unix sockets (a read stops where descriptors or credentials
//     are attached) and of pipes in packet mode;
//   - the end has not been reported together with the data: a report of a hang-up, a half-close,
//     an error or urgent data turns the rule off for the rest of the descriptor's life. One that
//     comes after the report makes a new report.
//
// Who may call. The room net only.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "base/errno.h"
#include "poller/descriptor.h"
#include "poller/poller_core.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/fd.h"
#include "rearm/runtime.h"
#include "sched/control.h"

namespace rearm::detail {

static_assert(EAGAIN == EWOULDBLOCK, "one of the two would be missed");

class FdAccess {
 public:
  // What is known of the kind of descriptor (Fd::traits_).
  static constexpr std::uint8_t kIsSocket = 1;         // send() instead of write().
  static constexpr std::uint8_t kShortReadDrains = 2;  // The short-read rule holds.

  // Takes ownership of `fd`, which is already non-blocking and close-on-exec. On error it stays the
  // caller's.
  [[nodiscard]] static Result<Fd> adopt(Runtime& runtime, int fd, std::uint8_t traits);
  // The same for a number that the library has opened itself: on error it is closed.
  [[nodiscard]] static Result<Fd> adopt_own(Runtime& runtime, int fd, std::uint8_t traits);
  [[nodiscard]] static Result<Fd> adopt_own(PollerCore& poller, int fd, std::uint8_t traits);

  // Where a new descriptor belongs to. REQUIRES: on a fiber.
  [[nodiscard]] static Runtime& current_runtime();

  // One operation in progress: keeps the number open and, if a direction was asked for, keeps
  // others out of it. Check refused() first.
  class Operation {
   public:
    Operation(const Fd& fd, Direction direction) noexcept
        : Operation(fd, direction, /*exclusive=*/true) {}
    // For calls that the kernel makes atomic: only waiting is exclusive.
    static Operation shared(const Fd& fd, Direction direction) noexcept {
      return Operation(fd, direction, /*exclusive=*/false);
    }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    ~Operation() {
      if (descriptor_ != nullptr) leave();
    }

    [[nodiscard]] bool refused() const noexcept { return descriptor_ == nullptr; }
    // REQUIRES: refused().
    [[nodiscard]] std::unexpected<std::error_code> error() const noexcept {
      return std::unexpected(make_error_code(error_));
    }
    [[nodiscard]] int fd() const noexcept { return descriptor_->fd; }
    [[nodiscard]] Descriptor& descriptor() const noexcept { return *descriptor_; }

    // Waits for readiness, or something else worth trying again for.
    [[nodiscard]] std::error_code wait(Deadline deadline);

    // Calls `call(fd)`, whose result is that of a system call through result_or_errno(), until it
    // is something else than EINTR or, after waiting, EAGAIN.
    template <class Call>
    [[nodiscard]] Result<std::size_t> perform(Deadline deadline, Call&& call) {
      for (;;) {
        const auto n = call(fd());
        if (n >= 0) [[likely]]
          return static_cast<std::size_t>(n);
        if (n == -EINTR) continue;
        if (n != -EAGAIN) {
          return std::unexpected(std::error_code(static_cast<int>(-n), std::system_category()));
        }
        if (const std::error_code error = wait(deadline)) return std::unexpected(error);
      }
    }

   private:
    Operation(const Fd& fd, Direction direction, bool exclusive) noexcept;
    // The choice points of a test; out of line, so that production has a branch and nothing else.
    [[gnu::cold, gnu::noinline]] void give_way_before() const;
    [[gnu::cold, gnu::noinline]] void give_way_after() const;
    void leave() noexcept;
    [[nodiscard]] std::error_code wait_exclusively(Deadline deadline);

    Descriptor* descriptor_;
    Direction direction_;
    bool exclusive_;
    Errc error_ = Errc::kClosed;
  };

  // Whose descriptor the operation is on.
  [[nodiscard]] static PollerCore& poller_of(const Operation& operation) noexcept {
    return *operation.descriptor().poller.load(kRelaxed);
  }

  static Result<void> set_deadline(const Fd& fd, Direction direction, Deadline deadline);

  [[nodiscard]] static bool has_trait(const Fd& fd, std::uint8_t trait) noexcept {
    return (fd.traits_ & trait) != 0;
  }

 private:
  [[nodiscard]] static Result<Fd> adopt(PollerCore& poller, int fd, std::uint8_t traits);
};

}  // namespace rearm::detail
