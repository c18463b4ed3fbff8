// SignalSet: signals that a fiber waits for, so that "on SIGTERM, drain" is straight-line code.
//
//   rearm::Runtime runtime;
//   auto signals = rearm::or_throw(rearm::SignalSet::open({SIGTERM, SIGINT}, runtime), "signals");
//   runtime.run([&] {
//     auto stopper = rearm::spawn([&] {
//       if (signals.wait()) runtime.request_stop();
//     });
//     ...
//
// How. On Linux by signalfd(2): the signals are blocked, nothing is interrupted, and no handler
// runs. A thread that exists before open() and does not block them still takes them the old way, so
// a set is opened first thing in main(), on the thread that starts all others; the workers, which
// start in run(), inherit what it blocks. (The mask of a program that Command starts is empty; one
// that is started by other means inherits it, too.) Elsewhere by handlers that write into a pipe,
// with SA_RESTART.
//
// What signals are not. They do not count: of two that come before the first is taken, one may be
// left; elsewhere than on Linux, a pipe that nobody reads has room for some thousands of all kinds.
// They are the process's: what is sent to a thread, by raise() or pthread_kill(), is not seen on
// Linux; say kill(getpid(), SIGTERM). Two sets of one process cannot have the same signal.
#pragma once

#include <initializer_list>
#include <memory>

#include "rearm/deadline.h"
#include "rearm/error.h"

namespace rearm {

class Runtime;

namespace detail {
struct SignalState;
}  // namespace detail

// A resource: movable, one owner; destroying one closes it. Thread safety: wait() and close() may
// be called at any time from anywhere.
class SignalSet {
 public:
  // From now on the signals are remembered until they are taken. On a plain thread, for waits of
  // the fibers of `runtime` or of plain threads. Never parks.
  // Errors: kInvalidArgument (no signal; one that does not exist, that no process can catch, or
  // that tells a thread what it has done: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGPIPE); kBusy (another
  // set has one of them); kNotSupported (on a fiber of a runtime with several workers, whose other
  // threads would not see it); EMFILE, ENFILE, ENOMEM. Nothing has changed then.
  [[nodiscard]] static Result<SignalSet> open(std::initializer_list<int> signals,
                                              Runtime& runtime) noexcept;

  SignalSet() noexcept;
  SignalSet(SignalSet&& other) noexcept;
  SignalSet& operator=(SignalSet&& other) noexcept;
  ~SignalSet();

  // Waits for one of the signals and takes it; returns its number. May park; a plain thread blocks.
  // Errors: kTimedOut, kCancelled (as of a read); kClosed; kBusy (another wait is in progress).
  [[nodiscard]] Result<int> wait(Deadline deadline = {}) noexcept;

  // Lets go of the signals: they do again what they did before open(). On Linux the calling thread
  // unblocks those that open() has blocked, so one that has come and was not taken is delivered
  // here and now; if that was another thread than the one that opened the set, this one
  // does so when the set is destroyed there. A wait in
  // progress ends with kClosed. Errors: kClosed (it was before). Never parks.
  Result<void> close() noexcept;

 private:
  explicit SignalSet(std::unique_ptr<detail::SignalState> state) noexcept;

  std::unique_ptr<detail::SignalState> state_;
};

}  // namespace rearm
