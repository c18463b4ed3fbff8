// How the kernel behaves (kqueue(2) of each system, sys/kern/kern_event.c, bsd/kern/kern_event.c)
//   A registration (a knote) belongs to a filter and a number, not to what the number refers to:
//   close() drops it, duplicates have their own. Reading and writing are two filters, reported
//   apart. Adding runs the filter at once, so readiness that is older is reported too. With
//   EV_CLEAR each activation is one report, and the filter is run again when it is taken: a report
//   that is no longer true is dropped silently. Adding what is there already succeeds and replaces
//   the user's word. EV_EOF comes with data still unread, and on the writing filter after one's own
//   shutdown. Reports that were copied out are not recalled by close: hence the generation.
//   All threads that sleep in kevent() wake for one report. A child of fork() has no kqueue.
//
// Strategy
//   Two EV_ADD | EV_CLEAR in a descriptor's life, no system call to arm. EV_RECEIPT makes the
//   kernel answer each change in its own entry and take no reports in the same call. There is room
//   for as many entries as changes: without it the first answer ends the call
//   (dotnet/corefx#30698).
//   EV_EOF and EV_ERROR wake both directions: macOS tells a pipe's writer of the end through the
//   reading filter.
//   A refusal to watch one direction is no error if the other was taken. Either nobody waits for
//   the direction, such as to read from a pipe's writing end; or the reader of a pipe is gone,
//   which is refused with EPIPE, and on NetBSD 10 with EBADF: there the reading filter of the same
//   end is taken and reports EV_EOF at once. (A list of ends that were told by a refusal alone,
//   reported by the next wait, was given up: no kernel that was read needs it.) If both are refused
//   so, the error is EPIPE, unless the number is not open. The wake is an EVFILT_USER with
//   EV_CLEAR. It is triggered without flags, because EV_CLEAR in the trigger cancels it everywhere
//   but on macOS. Every change replaces the user's word, so each gives it anew. Where the kernel
//   has no such filter, which only trying tells, it is a pipe that wait() empties.
//
// Quirks
//   - All: regular files are always ready and epoll refuses them, but kqueue takes them, to tell of
//     growth (FreeBSD has crashed on it, golang/go#19093): they and directories are refused here.
//     What else is always ready, such as /dev/null, NetBSD and OpenBSD take; it does no harm.
//   - All: urgent data (MSG_OOB) is not in EVFILT_READ, and FreeBSD and NetBSD have no other filter
//     for it. A read stops at the urgent mark and may leave data behind it that was reported with
//     the rest: so each report of reading says that a short read proves nothing.
//   - NetBSD: filter, flags and counts have other types than elsewhere; before 10, udata as well.
//   - NetBSD before 10, OpenBSD before 7.8: no EVFILT_USER.
//   - macOS: a wait may fail with ETIMEDOUT (golang/go#59679), and a very long one with EINVAL;
//     DragonFly and older OpenBSD cut long ones. All waits are at most a day, after which nothing
//     is reported.
//   - NetBSD, OpenBSD, DragonFly: timeouts are in ticks of 10 ms: a wait is late by one or two.
//   - macOS: neither end of a FIFO is told that the other is gone (golang/go#24164; vfs_vnops.c,
//     filt_vnode_common); /dev/tty is refused.
//   - NetBSD, as far as it was read (7.99): EVFILT_WRITE on a FIFO says EV_EOF at once and nothing
//     later, so that a writer who has met EAGAIN is not told of room.
//   - NetBSD, OpenBSD, DragonFly: what EVFILT_READ waits for on a socket is settled when it is
//   added:
//     one that listens afterwards reports no connection. So a socket listens before it is added.
#include "poller/backend_kqueue.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "base/check.h"
#include "base/errno.h"
#include "base/kernel_timeout.h"
#include "poller/fd_flags.h"

namespace rearm::detail {
namespace {

using Kevent = struct ::kevent;

// Generation 0 names no descriptor, so this cannot be mistaken for one.
constexpr Token kWakeToken{};

std::error_code system_error(int error) { return {error, std::system_category()}; }

// void*, or intptr_t on older NetBSD.
using UserWord = decltype(Kevent::udata);
static_assert(sizeof(UserWord) == sizeof(Token),
              "a token fills 64 bits, so this backend needs a 64-bit system");

// By hand, because EV_SET casts as C does, and each system has its own types.
Kevent change_of(std::uintptr_t ident, int filter, unsigned flags, Token token) {
  Kevent change{};
  change.ident = ident;
  change.filter = static_cast<decltype(change.filter)>(filter);
  change.flags = static_cast<decltype(change.flags)>(flags);
  change.udata = std::bit_cast<UserWord>(token);
  return change;
}

bool is_filter(const Kevent& event, int filter) {
  return event.filter == static_cast<decltype(event.filter)>(filter);
}

// NetBSD counts in size_t, the others in int.
template <class Count>
int call_kevent(int (*function)(int, const Kevent*, Count, Kevent*, Count, const timespec*), int fd,
                std::span<const Kevent> changes, std::span<Kevent> events,
                const timespec* timeout) {
  return function(fd, changes.data(), static_cast<Count>(changes.size()), events.data(),
                  static_cast<Count>(events.size()), timeout);
}

// Makes one change; one that is made twice is made once. Returns 0, or the error as a negative
// number.
int make_change(int fd, const Kevent& change) {
  int result = 0;
  do {
    result = result_or_errno(call_kevent(&::kevent, fd, {&change, 1}, {}, nullptr));
  } while (result == -EINTR);
  return result;
}

// What kernels say to a filter that a kind of file does not have.
bool means_unsupported(int error) {
  switch (error) {
    case EINVAL:
    case ENODEV:
    case ENXIO:
    case EPERM:
    case ENOTSUP: return true;
    default: return error == EOPNOTSUPP;  // The same as ENOTSUP on some systems.
  }
}

// Sets no direction, but says that a short read proves nothing.
constexpr Ready kMayHideMore = Ready::hang_up().without(Ready::both());

Ready ready_of(const Kevent& event) {
  if ((event.flags & (EV_EOF | EV_ERROR)) != 0) return Ready::hang_up();
  if (is_filter(event, EVFILT_READ)) return Ready::of(Direction::kRead) | kMayHideMore;
  return Ready::of(Direction::kWrite);
}

}  // namespace

KqueueBackend::~KqueueBackend() {
  for (const int fd : wake_pipe_) {
    if (fd >= 0) ::close(fd);
  }
  // In a child the number is free, or somebody else's.
  if (kqueue_fd_ >= 0 && owner_ == ::getpid()) ::close(kqueue_fd_);
}

std::error_code KqueueBackend::open() {
  kqueue_fd_ = system_call([] { return ::kqueue(); });
  if (kqueue_fd_ < 0) return error_of(kqueue_fd_);
  owner_ = ::getpid();
  const int set = system_call([&] { return ::fcntl(kqueue_fd_, F_SETFD, FD_CLOEXEC); });
  if (set < 0) return error_of(set);
  return open_wake();
}

std::error_code KqueueBackend::open_wake() {
#ifdef EVFILT_USER
  const Kevent user = change_of(0, EVFILT_USER, EV_ADD | EV_CLEAR, kWakeToken);
  const int made = make_change(kqueue_fd_, user);
  if (made == 0) return {};
  if (!means_unsupported(-made)) return error_of(made);
#endif
  if (const std::error_code error = open_pipe(wake_pipe_)) return error;
  const Kevent reading = change_of(static_cast<std::uintptr_t>(wake_pipe_[0]), EVFILT_READ,
                                   EV_ADD | EV_CLEAR, kWakeToken);
  return error_of(make_change(kqueue_fd_, reading));
}

std::error_code KqueueBackend::add(int fd, Token token) {
  struct stat status;
  if (const int result = system_call([&] { return ::fstat(fd, &status); }); result != 0) {
    return result == -EBADF ? make_error_code(Errc::kClosed) : error_of(result);
  }
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode)) {
    return Errc::kNotPollable;
  }
  const std::error_code error = settle_add(fd, change_both(fd, EV_ADD | EV_CLEAR, token));
  if (error) remove(fd);
  return error;
}

std::error_code KqueueBackend::settle_add(int fd, Outcome outcome) {
  const auto [read, write] = outcome;
  if (read == 0 && write == 0) return {};
  for (const int error : {read, write}) {
    if (error != 0 && error != EPIPE && error != EBADF && !means_unsupported(error)) {
      return system_error(error);
    }
  }
  // EBADF is not believed: it may be a pipe's reader that is gone.
  const bool says_closed = read == EBADF || write == EBADF;
  if (says_closed && ::fcntl(fd, F_GETFD) < 0) return Errc::kClosed;
  if (read == 0 || write == 0) return {};
  const bool says_end = says_closed || read == EPIPE || write == EPIPE;
  return says_end ? system_error(EPIPE) : Errc::kNotPollable;
}

std::error_code KqueueBackend::arm(int /*fd*/, Token /*token*/, Ready /*interest*/) { return {}; }

void KqueueBackend::remove(int fd) {
  // EBADF and ENOENT mean that the number was closed behind the library, or that the filter was
  // never taken: nothing is left to do.
  (void)change_both(fd, EV_DELETE, {});
}

KqueueBackend::Outcome KqueueBackend::change_both(int fd, unsigned flags, Token token) {
  const auto ident = static_cast<std::uintptr_t>(fd);
#ifdef EV_RECEIPT
  const std::array changes = {change_of(ident, EVFILT_READ, flags | EV_RECEIPT, token),
                              change_of(ident, EVFILT_WRITE, flags | EV_RECEIPT, token)};
  std::array<Kevent, 2> receipts;
  const timespec at_once{};
  int count = 0;
  do {  // A change that is made twice is made once.
    count = result_or_errno(call_kevent(&::kevent, kqueue_fd_, changes, receipts, &at_once));
  } while (count == -EINTR);
  if (count < 0) return {-count, -count};
  Outcome outcome{EIO, EIO};  // No kernel leaves a receipt out.
  for (const Kevent& receipt : std::span(receipts).first(static_cast<std::size_t>(count))) {
    (is_filter(receipt, EVFILT_READ) ? outcome.read : outcome.write) =
        static_cast<int>(receipt.data);
  }
  return outcome;
#else
  const auto change = [&](int filter) {
    const Kevent one = change_of(ident, filter, flags, token);
    return -make_change(kqueue_fd_, one);
  };
  return {change(EVFILT_READ), change(EVFILT_WRITE)};
#endif
}

WaitResult KqueueBackend::wait(std::span<Event> events, Deadline deadline) {
  const int count = result_or_errno(wait_kernel(std::min(events.size(), batch_.size()), deadline));
  WaitResult result;
  if (count < 0) {
    if (count == -EINTR || count == -ETIMEDOUT) return result;
    impossible_errno("kevent", kqueue_fd_, -count);
  }
  for (const Kevent& event : std::span(batch_).first(static_cast<std::size_t>(count))) {
    const Token token = std::bit_cast<Token>(event.udata);
    if (token == kWakeToken) {
      result.woken = true;
    } else {
      events[result.count++] = {token, ready_of(event)};
    }
  }
  if (result.woken) {
    // Whoever writes meanwhile is answered by this return.
    std::array<char, 64> bytes;
    while (wake_pipe_[0] >= 0 && ::read(wake_pipe_[0], bytes.data(), bytes.size()) > 0) continue;
  }
  return result;
}

void KqueueBackend::wake() noexcept {
  const int saved_errno = errno;  // May be called from a signal handler.
  if (wake_pipe_[1] >= 0) {
    // EAGAIN means that the pipe is full, hence that an edge is pending.
    while (::write(wake_pipe_[1], "", 1) < 0 && errno == EINTR) continue;
  } else {
#ifdef EVFILT_USER
    Kevent trigger = change_of(0, EVFILT_USER, 0, kWakeToken);
    trigger.fflags = NOTE_TRIGGER;
    (void)call_kevent(&::kevent, kqueue_fd_, {&trigger, 1}, {}, nullptr);
#endif
  }
  errno = saved_errno;
}

int KqueueBackend::wait_kernel(std::size_t max_events, Deadline deadline) {
  const std::span<Kevent> room = std::span(batch_).first(max_events);
  const KernelTimeout timeout(deadline);
  const timespec left = timeout.as_timespec();
  return call_kevent(&::kevent, kqueue_fd_, {}, room, timeout.is_endless() ? nullptr : &left);
}

}  // namespace rearm::detail
