// Kqueue: the state of one kqueue and what the system calls do to it.
//
// What this is. The kernel's part, over Linux: knotes in a table by filter and ident, a queue of
// the active ones, and two inner epolls that say when something happens to a descriptor.
//
// How it works. Each knote of a descriptor is an edge-triggered registration in the epoll of its
// filter: there are two because Linux merges the edges of both directions into one report (an edge
// of reading also says "writable"). An edge activates the knote and queues it; the scan then runs
// the filter. What an edge carries is a number and a generation, never a pointer, because a number
// that was closed unheard may still be reported.
//
//   kq (an epoll, the number that the program has)
//    +- epoll of EVFILT_READ
//    +- epoll of EVFILT_WRITE
//    +- eventfd: readable while the queue is not empty
//
// All three are level-triggered in `kq`, so that kq itself can be polled, as a kqueue can.
// A thread that waits sleeps in ppoll(2) on the inner three, with the program's signal mask, so
// that a signal ends it; and all sleepers wake for one event, as with kqueue_wakeup() of FreeBSD.
// Where the system's timeouts are in ticks (tick_ns), a sleep ends at the second tick after its
// time is over, which is the latest that those systems allow themselves.
//
// Who may call. Any thread that has its signals blocked (SignalsBlocked): a handler may call
// kevent(), as it may call a system call, and must not find the lock taken by its own thread.
//
// What differs. The order in which reports of different filters come is not the kernel's, because
// an edge is seen at the next call only. A one-shot knote that is drained between its edge and the
// next call is not reported, unless it was active when it was added.
#pragma once

#include <signal.h>
#include <sys/event.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>

#include "emulation/kqueue/filters.h"
#include "emulation/kqueue/kqueue_emulation.h"

namespace rearm::test::kqueue_emulation {

// Blocks what can be blocked without hiding a crash, for as long as it lives.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  [[nodiscard]] const sigset_t& before() const { return before_; }

 private:
  sigset_t before_;
};

// How many knotes and kqueues there are on each number, so that a close of any other is cheap.
[[nodiscard]] std::atomic<unsigned>& uses_of(int fd);

struct Knote {
  std::uintptr_t ident = 0;
  int filter = 0;
  unsigned flags = 0;  // Of EV_CLEAR, EV_ONESHOT, EV_DISPATCH and EV_RECEIPT; fixed when added.
  void* udata = nullptr;
  std::uint32_t generation = 0;
  FileKind kind = FileKind::kOther;
  bool active = false;
  bool queued = false;
  bool disabled = false;
  bool listened = false;  // When the filter was attached.

  // As last computed, for what is reported without running the filter again.
  Reading reading;

  // EVFILT_USER only.
  bool triggered = false;
  unsigned user_fflags = 0;
  std::int64_t user_data = 0;

  [[nodiscard]] bool is_user() const { return filter == EVFILT_USER; }
  [[nodiscard]] int fd() const { return static_cast<int>(ident); }
};

class Kqueue {
 public:
  // `fd` is an epoll, and becomes the kqueue's number; the caller keeps it.
  explicit Kqueue(int fd);
  ~Kqueue();
  Kqueue(const Kqueue&) = delete;
  Kqueue& operator=(const Kqueue&) = delete;

  // False, with errno, if the inner descriptors could not be made.
  [[nodiscard]] bool is_sound() const { return sound_; }
  [[nodiscard]] const Quirks& quirks() const { return quirks_; }

  // Applies changes in order; receipts and errors go to `events`. Returns what the call is to
  // return, -1 with errno for an error that found no room; nothing if it is to go on to the
  // reports.
  std::optional<int> apply(std::span<const struct kevent> changes, std::span<struct kevent> events);
  // Takes reports, waiting until `deadline_ns` on the monotonic clock, or for ever.
  int wait(std::span<struct kevent> events, std::optional<std::int64_t> deadline_ns,
           const sigset_t& signals);

  // `fd` is about to be closed: drops its knotes.
  void drop_number(int fd);
  // The kqueue itself is closed. Those who sleep in it return with EBADF; on FreeBSD they sleep on,
  // and it is shut down when the last of them has left.
  void shut_down();

 private:
  using Place = std::list<Knote>::iterator;

  // --- knotes.cc ---
  int change(struct kevent change);
  int create(const struct kevent& change);
  int attach(Knote& knote);
  void touch(Place place, const struct kevent& change);
  void touch_user(Knote& knote, const struct kevent& change);
  bool is_stale(const Knote& knote) const;
  void drop(Place place);
  void activate(Place place);
  void unqueue(Place place);
  Place* find(std::uintptr_t ident, int filter);
  [[nodiscard]] int epoll_of(int filter) const;
  void show_queue();

  // --- scan.cc ---
  void collect_edges(int filter);
  int scan(std::span<struct kevent> events);
  std::optional<struct kevent> report(Place place);
  void finish(Place place, bool end);
  void requeue(Place place);
  bool run_filter(Knote& knote) const;
  int sleep(std::optional<std::int64_t> deadline_ns, const sigset_t& signals);
  void inject_before_scan();
  std::optional<struct kevent> spurious_read();
  bool happens(unsigned one_in);

  const Quirks quirks_;
  const Faults faults_;
  const int fd_;
  int read_fd_ = -1;
  int write_fd_ = -1;
  int queue_fd_ = -1;
  bool sound_ = false;

  std::mutex mu_;
  // All below are guarded by mu_.
  std::list<Knote> idle_;
  std::list<Knote> queued_;  // Active and not disabled, first in first out.
  std::unordered_map<std::uint64_t, Place> places_;
  std::uint32_t next_generation_ = 1;
  bool queue_shown_ = false;    // The eventfd is readable.
  bool hides_requeue_ = false;  // See requeue().
  bool closed_ = false;
  std::uint64_t random_;
};

inline constexpr std::int64_t kNsPerSecond = 1'000'000'000;

[[nodiscard]] std::int64_t monotonic_ns();

}  // namespace rearm::test::kqueue_emulation
