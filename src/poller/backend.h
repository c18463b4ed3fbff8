// The backend contract: what the portable poller asks of a kernel.
//
// What this is. A backend turns one operating system's readiness interface into six functions and
// two facts, in this order in every backend_*.cc, so that two of them can be read side by side:
//
//   name        what users call it: Options::backend, REARM_BACKEND
//   needs_arm   the kernel forgets a descriptor after each report, or must be told each wish: the
//               poller then calls arm() before every park and after every report
//   open        create the kernel object and the means to wake a wait
//   add         tell the kernel of a descriptor, once in its life: edge-triggered for both
//               directions where the kernel can; with an empty interest where it needs arming. No
//               number is added that is there already
//   arm         set the whole interest of a descriptor (needs_arm only)
//   remove      forget the descriptor; called before the number is closed
//   wait        fill a span with events; block until the deadline, an event or a wake
//   wake        make the wait in progress, or else the next one, return early
//
// The slack. An event is a hint. A backend may report what is not (any more) true, may merge two
// reports into one or split one into two, may report a token that was removed meanwhile, may say
// that it was woken when nobody did, and may report nothing but `kHangUp`. Losing a
// report is the only crime. Errors and hang-ups of a descriptor are reported as readiness of both
// directions, because the system call that follows tells the truth; `kHangUp` says besides that the
// end may be near, so that a short read does not prove that there is nothing left to read.
//
// Who may call. open() first. Then add, arm, remove and wake from any thread, also while wait is in
// progress. wait() from one thread at a time. arm() under the descriptor's lock and after its
// closing check, in poller_core.cc only (G1). remove() without a lock, because it may wait for a
// sleeper. wait() calls nobody and allocates nothing; EINTR is an early return with nothing. In a
// child of fork() only the destructor is called.
//
// Errors. What a kernel may refuse comes back as an error_code: kNotPollable, kClosed, or the
// errno. What its manual rules out stops the process. Where memory is exhausted, add() says
// not_enough_memory, and open() throws std::bad_alloc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/poller.h"

namespace rearm::detail {

// A set of directions, and what else a report may say.
class Ready {
 public:
  constexpr Ready() noexcept = default;

  static constexpr Ready none() noexcept { return Ready(0); }
  static constexpr Ready of(Direction direction) noexcept {
    return Ready(static_cast<std::uint8_t>(1U << static_cast<unsigned>(direction)));
  }
  static constexpr Ready both() noexcept { return of(Direction::kRead) | of(Direction::kWrite); }
  static constexpr Ready hang_up() noexcept { return both() | Ready(kHangUp); }

  [[nodiscard]] constexpr bool has(Direction direction) const noexcept {
    return (bits_ & of(direction).bits_) != 0;
  }
  [[nodiscard]] constexpr bool has_hang_up() const noexcept { return (bits_ & kHangUp) != 0; }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
  [[nodiscard]] constexpr Ready without(Ready other) const noexcept {
    return Ready(static_cast<std::uint8_t>(bits_ & ~other.bits_));
  }
  friend constexpr Ready operator|(Ready a, Ready b) noexcept {
    return Ready(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  constexpr Ready& operator|=(Ready other) noexcept { return *this = *this | other; }
  friend constexpr bool operator==(Ready, Ready) noexcept = default;

 private:
  static constexpr std::uint8_t kHangUp = 4;

  explicit constexpr Ready(std::uint8_t bits) noexcept : bits_(bits) {}

  std::uint8_t bits_ = 0;
};

struct Event {
  Token token;
  Ready ready;
};

struct WaitResult {
  std::size_t count = 0;  // Events filled in.
  bool woken = false;     // wake() was among the reasons to return.
};

// What a kernel's file derives from. Which one is chosen at run time, so its functions are virtual:
// one indirect call a batch.
class Backend {
 public:
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] bool needs_arm() const noexcept { return needs_arm_; }

  [[nodiscard]] virtual std::error_code open() = 0;
  [[nodiscard]] virtual std::error_code add(int fd, Token token) = 0;
  [[nodiscard]] virtual std::error_code arm(int fd, Token token, Ready interest) = 0;
  virtual void remove(int fd) = 0;
  [[nodiscard]] virtual WaitResult wait(std::span<Event> events, Deadline deadline) = 0;
  virtual void wake() noexcept = 0;
  // A descriptor that a foreign loop may watch, or -1.
  [[nodiscard]] virtual int native_handle() noexcept = 0;

 protected:
  Backend(std::string_view name, bool needs_arm) noexcept : name_(name), needs_arm_(needs_arm) {}

 private:
  std::string_view name_;
  bool needs_arm_;
};

// The names of the backends in this build, the default first.
[[nodiscard]] std::span<const std::string_view> backend_names() noexcept;

// Creates and opens the backend of that name; see Poller::Options::backend for what empty means.
// Throws std::bad_alloc.
[[nodiscard]] Result<std::unique_ptr<Backend>> open_backend(std::string_view name);

}  // namespace rearm::detail
