// FdAccess: the one try / park / retry loop, and what else the socket classes share.
//
// What this is. The doorway where a fiber becomes a wish to wait. Every operation is a system call
// that is tried first; on EAGAIN the caller prepares the direction's word, tells a kernel that
// needs it (arm), and parks. A report that arrives between any two of these finds the word at
// kParking and makes the park fail, so the loop tries again: no wake-up is lost (G5).
//
// The short-read rule. A read that fills less than its buffer has drained the socket, so the next
// read waits at once, without the system call that would return EAGAIN. Descriptor::read_drained
// remembers that. A wait that is made in place of a read needs a report of everything that has come
// since the short read; the report lies in the direction's word until a wait takes it.
//
//   what could make the wait sleep over data      why it does not
//   another wait took the report: wait_readable,  each wait for reading forgets read_drained before
//   a wait that a deadline, a cancellation or a   it looks at the word, whatever it ends with
//   stop ended, one that was woken for nothing
//   set_deadline() woke the reader                a wake-up that is no report ends the wait, and
//                                                 what follows a wait is a read
//   release() and adopt(); accept, connect        a life begins with read_drained false
//   another number for the same socket (a dup,    each registration has reports of its own, and
//   a child process), and reads through it        what others take is never there to be read
//   the end came in one report with the data:     such a report sets hang_up_seen before the reader
//   hang-up, half-close, error; urgent data, at   is let through, and the rule is off for the rest
//   whose mark a read stops                       of the life; a later report is in the word
//   a read stops at something else than the end:  the rule is for TCP alone (stream_traits): not
//   datagrams, attached descriptors, packets of   for Unix sockets and pipes, and not for what says
//   a pipe, SCTP, MPTCP, SMC, a TLS record        another SO_PROTOCOL or has a TCP_ULP
//   the program attaches such a layer later, or   it must ask for the number: native_handle() turns
//   sets SO_RCVLOWAT                              the rule off for the rest of the life
//   more was asked for than one call transfers    what one call may transfer is what a read is
//                                                 measured by (one_transfer)
//   the kernel does not report each arrival       edges are reports of arrivals by definition; arm
//                                                 looks at the level (backend.h)
//
// Not recognised: a BPF program that redirects data into the socket (sockmap) after it was adopted.
//
// Who may call. The room net, and os for the ends of pipes that it opens.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>
#include <utility>

#include "base/errno.h"
#include "poller/descriptor.h"
#include "poller/poller_core.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/fd.h"
#include "rearm/net/stream.h"
#include "rearm/runtime.h"
#include "sched/control.h"

namespace rearm::detail {

class StopWord;

static_assert(EAGAIN == EWOULDBLOCK, "one of the two would be missed");

// Why a wait ended, for its caller: nothing if it is to try again. So is a fiber whose wait was
// cancelled: whether this run is to stop is what it is told when it waits again (run_state.h).
[[nodiscard]] std::error_code wake_error(WakeReason reason) noexcept;

class FdAccess {
 public:
  // What is known of the kind of descriptor (Fd::traits_).
  static constexpr std::uint8_t kIsSocket = 1;  // send() instead of write().
  // The short-read rule holds; of a listener, it holds for what is accepted.
  static constexpr std::uint8_t kShortReadDrains = 2;
  // What adopt() has changed of a number from outside: FdFlags' bits, from this one on.
  static constexpr int kFlagsShift = 2;

  // Takes ownership of a number from outside, and makes it non-blocking and close-on-exec. On error
  // it stays the caller's, as it was.
  [[nodiscard]] static Result<Fd> adopt(Runtime& runtime, int fd, std::uint8_t traits);
  // Takes a number that the library has opened itself, with these flags: on error it is closed.
  [[nodiscard]] static Result<Fd> adopt_own(Runtime& runtime, int fd, std::uint8_t traits);
  [[nodiscard]] static Result<Fd> adopt_own(PollerCore& poller, int fd, std::uint8_t traits);

  // For one who knows that bytes are read from and written to it.
  [[nodiscard]] static Stream stream(Fd fd) noexcept { return Stream(std::move(fd)); }

  // The owner of a new descriptor for which no runtime is given. REQUIRES: on a fiber.
  [[nodiscard]] static Runtime& current_runtime();

  // One operation in progress: keeps the number open and, if a direction was asked for, keeps
  // others out of it. Check refused() first.
  class Operation {
   public:
    Operation(const Fd& fd, Direction direction) noexcept
        : Operation(fd, direction, /*exclusive=*/true) {}
    // For calls that the kernel makes whole: any number may be inside, and wait in turns, first
    // come first served.
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

    // Whether the deadline, or the standing one, has passed. To be asked before each system call
    // that may not have to wait: what waits is told by wait().
    [[nodiscard]] bool is_late(Deadline deadline) noexcept {
      const std::int64_t until_ns = until_ns_of(deadline);
      if (until_ns == Deadline::never().ns()) [[likely]]
        return false;
      return has_passed(until_ns);
    }

    // Waits for readiness, or something else worth trying again for.
    [[nodiscard]] std::error_code wait(Deadline deadline);

    // For a shared call that failed for now, and of which no report says when it may succeed: waits
    // until `until_ns`, or until something else is worth trying again for. Nobody waits for it.
    [[nodiscard]] std::error_code pause(std::int64_t until_ns, Deadline deadline);

    // Calls `call(fd)`, whose result is that of a system call through result_or_errno(), until it
    // is something else than EINTR or, after waiting, EAGAIN. kTimedOut if it is late already.
    template <class Call>
    [[nodiscard]] Result<std::size_t> perform(Deadline deadline, Call&& call) {
      give_way_if_due(deadline);
      if (is_late(deadline)) [[unlikely]]
        return std::unexpected(Errc::kTimedOut);
      return perform_in_time(deadline, call);
    }

    // The same for a shared operation: not before those that wait already.
    template <class Call>
    [[nodiscard]] Result<std::size_t> perform_in_turn(Deadline deadline, Call&& call) {
      give_way_if_due(deadline);
      if (is_late(deadline)) [[unlikely]]
        return std::unexpected(Errc::kTimedOut);
      if (const std::error_code error = fall_in(deadline)) return std::unexpected(error);
      return perform_in_time(deadline, call);
    }

    // The same for one who has just asked is_late(), and given way before.
    template <class Call>
    [[nodiscard]] Result<std::size_t> perform_in_time(Deadline deadline, Call&& call) {
      for (;;) {
        const auto n = call(fd());
        if (n >= 0) [[likely]]
          return static_cast<std::size_t>(n);
        if (n == -EINTR) continue;
        // EINPROGRESS: a write to a connection that Fast Open has yet to begin.
        if (n != -EAGAIN && n != -EINPROGRESS) {
          return std::unexpected(std::error_code(static_cast<int>(-n), std::system_category()));
        }
        if (const std::error_code error = wait(deadline)) return std::unexpected(error);
      }
    }

    // A fiber that has made many operations without waiting lets others run before this one
    // (Worker::spend()), unless it is one that is not to wait.
    void give_way_if_due(Deadline deadline) {
      if (is_over_budget_) [[unlikely]]
        give_way(deadline);
    }
    // For each further system call of an operation of several.
    void count_again() noexcept;

   private:
    Operation(const Fd& fd, Direction direction, bool exclusive) noexcept;
    [[gnu::cold, gnu::noinline]] void give_way(Deadline deadline);
    // The choice points of a test; out of line, so that production has a branch and nothing else.
    [[gnu::cold, gnu::noinline]] void give_way_before() const;
    [[gnu::cold, gnu::noinline]] void give_way_after() const;
    void leave() noexcept;
    [[nodiscard]] std::error_code wait_exclusively(Deadline deadline);
    // What refuses a wait that has just been prepared, or nothing; `stop` is the fiber's, and
    // `until` when it is to end.
    [[nodiscard]] std::error_code refusal(const StopWord* stop, Deadline deadline,
                                          Deadline& until) noexcept;
    [[nodiscard]] std::error_code fall_in(Deadline deadline);
    [[nodiscard]] std::error_code take_turn(Deadline deadline);
    [[nodiscard]] std::error_code stand_in_line(TurnNode& node, Deadline deadline);
    [[nodiscard]] bool has_passed(std::int64_t until_ns) noexcept;
    [[nodiscard]] std::int64_t until_ns_of(Deadline deadline) const noexcept {
      return deadline.is_standing() ? descriptor_->standing_deadline_ns(direction_).load(kRelaxed)
                                    : deadline.ns();
    }

    static constexpr std::int64_t kNotLooked = std::numeric_limits<std::int64_t>::min();

    Descriptor* descriptor_;
    // When has_passed() last looked at the clock, if nothing has waited since. A wait that follows
    // need not look again: should the deadline have passed meanwhile, its timer says so at once.
    std::int64_t looked_at_ns_ = kNotLooked;
    Direction direction_;
    bool exclusive_;
    bool has_turn_ = false;  // Of a shared operation: it may wait.
    bool is_over_budget_ = false;
    Errc error_ = Errc::kClosed;
  };

  // Whose descriptor the operation is on.
  [[nodiscard]] static PollerCore& poller_of(const Operation& operation) noexcept {
    return *operation.descriptor().poller.load(kRelaxed);
  }

  // For one who gets the number and may do with the socket what the rule does not know of.
  static void stop_short_read_rule(const Operation& operation) noexcept {
    operation.descriptor().hang_up_seen.store(true, kSeqCst);
  }

  static Result<void> wait_until_ready(const Fd& fd, Direction direction, Deadline deadline);
  static Result<void> set_deadline(const Fd& fd, Direction direction, Deadline deadline);

  [[nodiscard]] static bool has_trait(const Fd& fd, std::uint8_t trait) noexcept {
    return (fd.traits_ & trait) != 0;
  }
  [[nodiscard]] static std::uint8_t traits_of(const Fd& fd) noexcept {
    return fd.traits_ & (kIsSocket | kShortReadDrains);
  }

 private:
  [[nodiscard]] static Fd make(Descriptor& descriptor, std::uint8_t traits);
};

}  // namespace rearm::detail
