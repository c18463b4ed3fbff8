// Poller: readiness of file descriptors, without fibers.
//
// A Poller watches descriptors with whatever the operating system offers and hands back the
// waiters whose wait is over. It knows nothing of fibers or callbacks: a scheduler, or a program
// with an event loop of its own, decides what a waiter is (see waiter.h, and
// examples/own_loop.cc for a complete program that nests a Poller in a foreign loop).
//
// How it is used
//   1. add() takes ownership of a non-blocking descriptor and returns its Token.
//   2. Try the system call first. Only if it says EAGAIN, wait(token, direction, waiter):
//      kTryAgain means that readiness came meanwhile; kParked means that the waiter now belongs to
//      the poller.
//   3. collect() returns the waiters whose wait ended; each goes back to step 2 and tries again.
//   4. close() ends the descriptor's life: both waiters come back with kClosed, and the number is
//      closed after the last operation that uses it has left.
//
// What is promised (docs/guarantees.md): a re-arm never races with a close (G1), every waiter comes
// back exactly once (G2), a token of an earlier life is refused (G3), the number is closed exactly
// once and never under an operation in flight (G4), readiness between the failed system call and
// the wait is not lost (G5), one direction never costs the other (G6).
//
// Thread safety: every function may be called from any thread at any time, except that collect()
// is for one thread at a time. Nothing here parks a fiber; only collect() blocks, and only until
// its deadline. On poll(2), whose set of numbers is the sleeper's own, close() and remove() also
// wait for the sleeping collect() to let go of the number, which they interrupt for it.
//
// Nothing here throws. Where memory is exhausted, open() and add() return ENOMEM
// (std::errc::not_enough_memory); the others need none.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/waiter.h"

namespace rearm {

namespace detail {
class Descriptor;
class PollerCore;
}  // namespace detail

enum class Direction : std::uint8_t { kRead = 0, kWrite = 1 };

// Names one life of one descriptor. A copy that outlives the descriptor is harmless: the
// generation no longer matches, and every call that is given it returns Errc::kClosed. A value.
struct Token {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0 names no descriptor.

  [[nodiscard]] friend constexpr bool operator==(Token, Token) noexcept = default;
};

class Poller {
 public:
  struct Options {
    // The backend by name: one of backends(), which are among "epoll", "kqueue", "event_port" and
    // "poll". Empty: the environment variable REARM_BACKEND if it is set, otherwise the best one
    // for this system.
    std::string_view backend = {};
  };

  // Counters since the poller was opened. Relaxed: exact only when nothing else runs.
  struct Stats {
    std::uint64_t descriptors = 0;   // Added and not yet gone: closed and out of use.
    std::uint64_t events = 0;        // Reports taken from the kernel.
    std::uint64_t stale_events = 0;  // Reports of an earlier life of a slot, dropped (G3).
    std::uint64_t waits = 0;         // Times the kernel was asked.
    std::uint64_t wakes = 0;         // wake() calls that reached the kernel (others were merged).
    std::uint64_t arms = 0;          // Wishes told to the kernel; 0 on epoll and kqueue.
    std::uint64_t rearms = 0;        // Re-associations after a report; 0 on epoll and kqueue.
  };

  // What to do after prepare() or wait().
  enum class Prepared : std::uint8_t {
    kTryAgain,  // Readiness is there: repeat the system call.
    kParked,    // (wait) The waiter has been handed over. (prepare) Go on to arm() and commit().
  };

  // Keeps the number of one descriptor from being closed, and one direction to its holder. Get one
  // from begin() around every system call on a descriptor that other threads might close. Movable,
  // not copyable; destroying it leaves, and the last one out of a closed descriptor closes the
  // number.
  class Operation {
   public:
    Operation() noexcept = default;
    Operation(Operation&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, nullptr)), direction_(other.direction_) {}
    Operation& operator=(Operation&& other) noexcept {
      if (this != &other) {
        leave();
        descriptor_ = std::exchange(other.descriptor_, nullptr);
        direction_ = other.direction_;
      }
      return *this;
    }
    ~Operation() { leave(); }

    // The descriptor's number, valid for as long as this object lives.
    [[nodiscard]] int fd() const noexcept;

    void leave() noexcept;

   private:
    friend class Poller;
    Operation(detail::Descriptor& descriptor, Direction direction) noexcept
        : descriptor_(&descriptor), direction_(direction) {}

    detail::Descriptor* descriptor_ = nullptr;
    Direction direction_ = Direction::kRead;
  };

  // Errors: Errc::kUnknownBackend; ENOMEM; those of the kernel, such as EMFILE.
  [[nodiscard]] static Result<Poller> open(const Options& options);
  [[nodiscard]] static Result<Poller> open() { return open(Options{}); }

  Poller(Poller&&) noexcept;
  Poller& operator=(Poller&&) noexcept;
  // Closes every descriptor that is still open. REQUIRES: no waiter is parked and no other thread
  // uses the poller (misuse stops the process with a sentence that says so).
  ~Poller();

  // The names of the backends in this build, the default first.
  [[nodiscard]] static std::span<const std::string_view> backends() noexcept;
  [[nodiscard]] std::string_view backend_name() const noexcept;

  // Watches `fd` and takes ownership of it, making it non-blocking and close-on-exec. A socket that
  // is to listen does so first: some kernels tell of no connection otherwise (docs/platforms.md).
  // On error the descriptor stays the caller's, as it was. Errors: kNotPollable (a regular file, a
  // directory); kClosed (the number is not open); kInvalidArgument (negative); EEXIST (a poller of
  // this process watches the number already); kNotSupported (in a child of fork(), see
  // docs/platforms.md); those of the kernel: ENOSPC and ENOMEM, EAGAIN where an event port is full,
  // EPIPE where a kernel refuses the end of a broken pipe.
  [[nodiscard]] Result<Token> add(int fd);

  // Enters an operation in one direction. Errors: kClosed; kBusy (another one is in progress in
  // this direction).
  [[nodiscard]] Result<Operation> begin(Token token, Direction direction);

  // Waits for readiness of one direction: prepare(), arm() and commit() in one, for callers that
  // have no stack to leave first. After kParked the waiter comes back exactly once, from
  // collect(), close() or cancel().
  // Errors: kClosed; kBusy (another waiter is there); those of the kernel when arming.
  [[nodiscard]] Result<Prepared> wait(Token token, Direction direction, Waiter& waiter);

  // The three steps of wait(), for schedulers, in this order. Between prepare() and commit() the
  // caller leaves the stack that the waiter will continue on; commit() then runs elsewhere.
  // commit() returns false if something happened meanwhile: the waiter was not taken, try again.
  [[nodiscard]] Result<Prepared> prepare(Token token, Direction direction);
  [[nodiscard]] std::error_code arm(Token token, Direction direction);
  [[nodiscard]] bool commit(Token token, Direction direction, Waiter& waiter);

  // Ends the wait in one direction, if there is one, for `reason` (a deadline, a cancellation).
  // Returns the waiter, now the caller's again, or nullptr if it has come back already or will.
  // Between prepare() and commit() it makes the commit fail.
  [[nodiscard]] Waiter* cancel(Token token, Direction direction, WakeReason reason);

  // Ends the descriptor's life and returns its waiters, each with kClosed. The number itself is
  // closed when the last Operation has left, at the latest by this call's return if there is none.
  // Errors: kClosed (already closed; nothing happens).
  [[nodiscard]] Result<WaiterList> close(Token token);

  // Stops watching and gives the number back, open, non-blocking and close-on-exec, to the caller.
  // REQUIRES: nobody waits on it outside of an Operation (misuse stops the process with a
  // sentence).
  // Errors: kClosed; kBusy (an operation is in progress).
  [[nodiscard]] Result<int> remove(Token token);

  // Waits until a waiter's wait is over, the deadline has passed (a standing deadline means never)
  // or somebody called wake(); returns the waiters, possibly none. Signals do not end the wait.
  // Misuse: a call while another thread is inside returns an empty list at once.
  [[nodiscard]] WaiterList collect(Deadline deadline);

  // Makes the collect() in progress, or else the next one, return. Many wakes may cause one return.
  // Async-signal-safe. Never blocks.
  void wake() noexcept;

  // A descriptor of the poller's own that is readable (level-triggered) while collect() has
  // something to return, so that a Poller can be nested in another event loop; a thread that sleeps
  // there is woken also for what other threads arm. Do not read from it, close it or a duplicate of
  // it, or keep it past the poller. -1 on poll, which has no such descriptor: give
  // collect() a thread of its own there, or choose another backend.
  [[nodiscard]] int native_handle() const noexcept;

  [[nodiscard]] Stats stats() const noexcept;

 private:
  explicit Poller(std::unique_ptr<detail::PollerCore> core) noexcept;

  std::unique_ptr<detail::PollerCore> core_;
};

}  // namespace rearm
