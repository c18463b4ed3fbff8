// How it works. kqueue_scan() of FreeBSD's kern_event.c: one pass over the queue as it was at the
// start, so that what is queued again meanwhile has to wait for the next pass. A filter is run
// under the lock here, which is one of the orders that a kernel may take; `hides_while_scanned` and
// on_requeue() let go of the lock in between, as kernels do.
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "emulation/kqueue/knotes.h"

namespace rearm::test::kqueue_emulation {
namespace {

timespec timespec_of(std::int64_t ns) {
  return {.tv_sec = static_cast<time_t>(ns / kNsPerSecond),
          .tv_nsec = static_cast<long>(ns % kNsPerSecond)};
}

}  // namespace

std::int64_t monotonic_ns() {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

int Kqueue::wait(std::span<struct kevent> events, std::optional<std::int64_t> deadline_ns,
                 const sigset_t& signals) {
  for (bool slept = false;; slept = true) {
    int count = 0;
    bool late = false;
    bool interrupted = false;
    bool timed_out = false;
    {
      const std::lock_guard lock(mu_);
      if (closed_) {
        errno = EBADF;
        return -1;
      }
      collect_edges(EVFILT_READ);
      collect_edges(EVFILT_WRITE);
      inject_before_scan();
      count = scan(events);
      show_queue();
      hides_requeue_ = false;
      late = count > 0 && happens(faults_.late_one_in);
      interrupted = count == 0 && !slept && happens(faults_.eintr_one_in);
      timed_out = count == 0 && !slept && happens(faults_.etimedout_one_in);
    }
    // What is copied out is not recalled: whoever closes a number now is too late.
    if (late) ::sched_yield();
    if (count > 0) return count;
    if (deadline_ns && monotonic_ns() >= *deadline_ns) return 0;
    if (interrupted || timed_out) {
      errno = interrupted ? EINTR : ETIMEDOUT;
      return -1;
    }
    if (sleep(deadline_ns, signals) < 0) return -1;
  }
}

int Kqueue::sleep(std::optional<std::int64_t> deadline_ns, const sigset_t& signals) {
  std::array<pollfd, 3> entries{{{.fd = read_fd_, .events = POLLIN, .revents = 0},
                                 {.fd = write_fd_, .events = POLLIN, .revents = 0},
                                 {.fd = queue_fd_, .events = POLLIN, .revents = 0}}};
  timespec timeout{};
  if (deadline_ns) timeout = timespec_of(std::max<std::int64_t>(0, *deadline_ns - monotonic_ns()));
  return ::ppoll(entries.data(), entries.size(), deadline_ns ? &timeout : nullptr, &signals);
}

// Takes what the inner epoll of a filter has seen, and activates the knotes.
void Kqueue::collect_edges(int filter) {
  std::array<epoll_event, 128> edges;
  for (;;) {
    const int count =
        ::epoll_wait(epoll_of(filter), edges.data(), static_cast<int>(edges.size()), 0);
    for (int i = 0; i < count; ++i) {
      const std::uint64_t word = edges[static_cast<std::size_t>(i)].data.u64;
      Place* const place = find(static_cast<std::uint32_t>(word), filter);
      if (place == nullptr || (*place)->generation != word >> 32) continue;
      if (((*place)->flags & EV_ONESHOT) != 0 && !run_filter(**place)) continue;
      activate(*place);
    }
    if (count < static_cast<int>(edges.size())) return;
  }
}

int Kqueue::scan(std::span<struct kevent> events) {
  std::size_t room = events.size();
  if (room > 1 && happens(faults_.few_one_in)) room = 1 + random_ % room;
  std::size_t count = 0;
  if (room > 0 && happens(faults_.spurious_read_one_in)) {
    if (const auto spurious = spurious_read()) events[count++] = *spurious;
  }
  for (std::size_t left = queued_.size(); left > 0 && count < room && !queued_.empty(); --left) {
    if (const auto reported = report(queued_.begin())) events[count++] = *reported;
  }
  return static_cast<int>(count);
}

// Takes one knote from the queue. Nothing comes of it if its condition has vanished meanwhile.
std::optional<struct kevent> Kqueue::report(Place place) {
  unqueue(place);
  // FreeBSD and OpenBSD report a one-shot as it was when it was activated; XNU looks again.
  const bool as_it_was = (place->flags & EV_ONESHOT) != 0 && !quirks_.oneshot_revalidates;
  if (!as_it_was && !run_filter(*place)) {
    place->active = false;
    return std::nullopt;
  }
  struct kevent event{};
  event.ident = place->ident;
  event.filter = static_cast<short>(place->filter);
  unsigned flags = place->flags;
  if (place->reading.end) flags |= EV_EOF;
  event.fflags = place->is_user() ? place->user_fflags : 0;
  event.data = place->is_user() ? place->user_data : place->reading.data;
  event.udata = place->udata;
  // knlist_cleardel(): the writer of a pipe is told of the end, and the knote is gone.
  const bool last = place->reading.end && place->filter == EVFILT_WRITE &&
                    place->kind == FileKind::kPipe && quirks_.pipe_write_end_is_oneshot;
  if (last) flags |= EV_ONESHOT;
  event.flags = static_cast<unsigned short>(flags);
  finish(place, last);
  return event;
}

// What becomes of a knote that was reported.
void Kqueue::finish(Place place, bool end) {
  if (end || (place->flags & EV_ONESHOT) != 0) {
    drop(place);
    return;
  }
  if (quirks_.fifo_writer_is_deaf && place->kind == FileKind::kFifo &&
      place->filter == EVFILT_WRITE) {
    epoll_event nothing{};
    (void)::epoll_ctl(write_fd_, EPOLL_CTL_DEL, place->fd(), &nothing);
  }
  if ((place->flags & EV_DISPATCH) != 0) place->disabled = true;
  if ((place->flags & EV_CLEAR) != 0 && place->is_user()) {
    place->triggered = false;
    place->user_fflags = 0;
    place->user_data = 0;
  }
  if ((place->flags & (EV_CLEAR | EV_DISPATCH)) != 0) {
    place->active = false;
  } else if (quirks_.hides_while_scanned || on_requeue()) {
    requeue(place);
  } else {
    activate(place);
  }
}

// A level is away while it is looked at, and who looks at the queue meanwhile goes to sleep. On
// NetBSD the knote's return wakes nobody (golang/go#42515). One that has EV_CLEAR does not come
// here: it is not queued again until something new happens, which wakes as ever.
void Kqueue::requeue(Place place) {
  const std::uintptr_t ident = place->ident;
  const int filter = place->filter;
  const std::uint32_t generation = place->generation;
  mu_.unlock();
  if (on_requeue()) {
    on_requeue()();
  } else {
    ::sched_yield();
  }
  mu_.lock();
  Place* const again = find(ident, filter);
  if (again == nullptr || (*again)->generation != generation || (*again)->queued) return;
  activate(*again);
  hides_requeue_ = quirks_.hides_while_scanned && !queue_shown_;
}

bool Kqueue::run_filter(Knote& knote) const {
  if (knote.is_user()) return knote.triggered;
  knote.reading = knote.filter == EVFILT_READ
                      ? run_read(knote.fd(), knote.kind, knote.listened, quirks_)
                      : run_write(knote.fd(), knote.kind, quirks_);
  return knote.reading.active;
}

// --- Faults ---

bool Kqueue::happens(unsigned one_in) {
  if (one_in == 0) return false;
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return (random_ >> 8) % one_in == 0;
}

void Kqueue::inject_before_scan() {
  if (queued_.size() > 1 && happens(faults_.shuffle_one_in)) {
    queued_.splice(queued_.end(), queued_, queued_.begin());
  }
  if (idle_.empty() || faults_.write_storm_one_in == 0) return;
  const Place oldest = idle_.begin();
  if (oldest->filter == EVFILT_WRITE && !oldest->disabled && happens(faults_.write_storm_one_in)) {
    // sowwakeup() comes with every acknowledgement; the filter is run before it is believed.
    activate(oldest);
  } else {
    idle_.splice(idle_.end(), idle_, oldest);
  }
}

std::optional<struct kevent> Kqueue::spurious_read() {
  const auto place = std::ranges::find_if(
      idle_, [](const Knote& knote) { return knote.filter == EVFILT_READ && !knote.disabled; });
  if (place == idle_.end()) return std::nullopt;
  struct kevent event{};
  event.ident = place->ident;
  event.filter = EVFILT_READ;
  event.flags = static_cast<unsigned short>(place->flags);
  event.udata = place->udata;
  return event;
}

}  // namespace rearm::test::kqueue_emulation
