// How the kernel behaves (port_create(3C) and its family; illumos uts/common/fs/portfs/port.c and
// port_fd.c, uts/common/os/port_subr.c)
//   An association belongs to the pair (number, open file). port_associate() looks at the file's
//   state once, then waits for one change; after the report the port says nothing more until it is
//   told again, and one report silences both directions. Associating anew replaces interest and
//   user pointer, and a report that was queued but not retrieved. POLLERR and POLLHUP are reported
//   unasked. The mask is that of the moment of the change: it is not looked at again when the
//   report is retrieved, so it may be stale, and need not name all that is true.
//   close() of the number ends the association and takes the queued report along, synchronously; a
//   report that a port_getn() has copied already still arrives: hence the generation in the token.
//   An association counts against the port's limit of events (process.max-port-events, 65536 by
//   default) from the first port_associate() until it is dissociated, reported or not.
//
// Strategy
//   One port_associate() with an empty set when the descriptor is added: it finds a number that is
//   not open, and what it takes of the limit is taken before anybody waits. arm() associates for
//   the whole interest. The token is the user pointer.
//   What is always ready (files, directories, block devices, /dev/null and /dev/zero) would be
//   accepted and reported without end, so add() refuses it by its type, as Linux does. A number
//   that is added a second time would silently take the first one's place, so the table of
//   descriptors keeps the numbers (number_set.h). It does not see a close behind the library's
//   back: a number that is opened again is refused until its earlier descriptor is closed.
//   The wake is port_send(). It is merged into one by the poller and needs one event of the limit;
//   where descriptors have taken them all, the port is put into alert mode instead, which needs
//   none, and is put out of it by the wait that it ends. A foreign loop that sleeps on the port is
//   not woken by an alert.
//   What port_associate() itself queues, because it is ready already, wakes nobody who sleeps in
//   poll(2) on the port's number: port_send_event() in port_subr.c leaves that to the descriptor's
//   own wake-up, and here there is none. So once native_handle() has been asked for, arm() asks for
//   the length of the queue, and sends an event if it is not empty.
//
// Quirks
//   port_getn() may return ETIME together with events (golang/go#35261 lost them), and does not
//   touch the count on EINTR. That it has returned events with EINTR (libuv, sunos.c) is true of no
//   path of illumos; Solaris' are closed. So the first entry's source is cleared before the call,
//   and an entry without one is skipped.
//   EINVAL with a sound timeout is a bug of some illumos kernels (15254: a clobbered register):
//   once is an early return, twice in a row is ours. The minimum is always one: waiters with
//   different minima on one port can starve each other. A timeout becomes an instant on the wall
//   clock, so very long ones are cut: the poller waits on. An event may have an empty mask
//   (golang/go, netpoll_solaris.go); the association has been used up all the same, so it is passed
//   on as a report of nothing, upon which the poller re-arms. port_dissociate() says ENOENT for
//   what was reported and not associated again; it has forgotten the number nevertheless. Urgent
//   data is not asked for: it stays a level until it is taken, so that a port which is told again
//   each time would report it for ever to somebody who does not want it. A port cannot be created
//   close-on-exec: another thread's fork and exec in between inherits it.
#include "poller/backend_event_port.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/errno.h"
#include "base/kernel_timeout.h"

namespace rearm::detail {
namespace {

constexpr int kWakeEvents = 1;  // Zero would put a port out of alert mode.

static_assert(sizeof(Token) == sizeof(void*), "the token is the association's user pointer");

// Of a system call's negative result.
std::error_code association_error(int result) {
  return result == -EBADFD || result == -EBADF ? make_error_code(Errc::kClosed) : error_of(result);
}

bool is_file_at(const char* path, dev_t device) {
  struct stat status{};
  return ::stat(path, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == device;
}

// What is ready at all times, so that there is nothing to wait for.
std::error_code pollable(int fd) {
  struct stat status{};
  if (const int result = system_call([&] { return ::fstat(fd, &status); }); result != 0) {
    return association_error(result);
  }
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode)) {
    return Errc::kNotPollable;
  }
  if (S_ISCHR(status.st_mode) &&
      (is_file_at("/dev/null", status.st_rdev) || is_file_at("/dev/zero", status.st_rdev))) {
    return Errc::kNotPollable;
  }
  return {};
}

std::error_code associate(int port, int fd, Token token, int mask) {
  const auto object = static_cast<std::uintptr_t>(fd);
  void* const user = std::bit_cast<void*>(token);
  const int result =
      system_call([&] { return ::port_associate(port, PORT_SOURCE_FD, object, mask, user); });
  if (result == 0) return {};
  // ENXIO and its like: a device without poll.
  return result == -ENXIO ? make_error_code(Errc::kNotPollable) : association_error(result);
}

Ready ready_of(int mask) {
  Ready ready;
  if ((mask & POLLIN) != 0) ready |= Ready::of(Direction::kRead);
  if ((mask & POLLOUT) != 0) ready |= Ready::of(Direction::kWrite);
  if ((mask & (POLLHUP | POLLERR)) != 0) ready |= Ready::hang_up();  // POLLNVAL never comes.
  return ready;
}

}  // namespace

EventPortBackend::~EventPortBackend() {
  if (port_ >= 0) ::close(port_);
}

std::error_code EventPortBackend::open() {
  port_ = system_call([] { return ::port_create(); });
  if (port_ < 0) return error_of(port_);
  return error_of(system_call([&] { return ::fcntl(port_, F_SETFD, FD_CLOEXEC); }));
}

std::error_code EventPortBackend::add(int fd, Token token) {
  if (const std::error_code error = pollable(fd)) return error;
  return associate(port_, fd, token, 0);
}

std::error_code EventPortBackend::arm(int fd, Token token, Ready interest) {
  int mask = 0;
  if (interest.has(Direction::kRead)) mask |= POLLIN;
  if (interest.has(Direction::kWrite)) mask |= POLLOUT;
  if (const std::error_code error = associate(port_, fd, token, mask)) return error;
  if (is_nested_.load(kSeqCst)) tell_foreign_loop();
  return {};
}

// If the foreign loop calls poll(2) after the association, it sees the queue. If it slept before,
// only an event of another source wakes it. One is enough until wait() has taken it: then the
// foreign loop is awake, and looks at the queue before it sleeps again.
void EventPortBackend::tell_foreign_loop() noexcept {
  unsigned queued = 0;
  if (::port_getn(port_, nullptr, 0, &queued, nullptr) == 0 && queued == 0) return;
  if (!loop_is_told_.exchange(true, kSeqCst)) wake();
}

void EventPortBackend::remove(int fd) {
  // ENOENT and EBADFD: nothing is associated any more, or the number was closed behind the library.
  (void)::port_dissociate(port_, PORT_SOURCE_FD, static_cast<std::uintptr_t>(fd));
}

WaitResult EventPortBackend::wait(std::span<Event> events, Deadline deadline) {
  const std::size_t count = wait_kernel(std::min(events.size(), batch_.size()), deadline);
  WaitResult result;
  for (const port_event_t& event : std::span(batch_).first(count)) {
    switch (event.portev_source) {
      case PORT_SOURCE_FD:
        events[result.count++] = {std::bit_cast<Token>(event.portev_user),
                                  ready_of(event.portev_events)};
        break;
      case PORT_SOURCE_ALERT:
        // Only this thread clears it, and it is about to tell of the wake.
        (void)::port_alert(port_, PORT_ALERT_SET, 0, nullptr);
        result.woken = true;
        break;
      case PORT_SOURCE_USER: result.woken = true; break;
      default: break;  // Untouched, or somebody else's.
    }
  }
  if (result.woken) loop_is_told_.store(false, kSeqCst);
  return result;
}

void EventPortBackend::wake() noexcept {
  const int saved_errno = errno;  // May be called from a signal handler.
  if (::port_send(port_, kWakeEvents, nullptr) != 0 && (errno == EAGAIN || errno == ENOMEM)) {
    (void)::port_alert(port_, PORT_ALERT_SET, kWakeEvents, nullptr);
  }
  errno = saved_errno;
}

// port_getn; returns how many entries of the batch may have been filled in.
std::size_t EventPortBackend::wait_kernel(std::size_t max_events, Deadline deadline) {
  const KernelTimeout timeout(deadline);
  timespec left = timeout.as_timespec();
  batch_[0].portev_source = 0;
  unsigned count = 1;
  const int result = ::port_getn(port_, batch_.data(), static_cast<unsigned>(max_events), &count,
                                 timeout.is_endless() ? nullptr : &left);
  const int error = -result_or_errno(result);
  const bool was_invalid = std::exchange(was_invalid_, error == EINVAL);
  if (error == EINVAL && !was_invalid) return 0;
  if (error != 0 && error != EINTR && error != ETIME) impossible_errno("port_getn", port_, error);
  return std::min<std::size_t>(count, max_events);
}

}  // namespace rearm::detail
