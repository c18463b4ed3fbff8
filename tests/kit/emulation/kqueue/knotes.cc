// How it works. The order of checks and effects is that of kqueue_register() and
// kqueue_kevent() in FreeBSD's kern_event.c; macOS as in kevent_register() of XNU.
#include "emulation/kqueue/knotes.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "emulation/close_hook.h"

namespace rearm::test::kqueue_emulation {
namespace {

constexpr unsigned kStoredFlags = EV_CLEAR | EV_ONESHOT | EV_DISPATCH;
constexpr unsigned kChangeFlags = EV_ADD | EV_RECEIPT;

std::uint64_t key_of(std::uintptr_t ident, int filter) {
  return std::uint64_t{ident} << 4 | static_cast<std::uint64_t>(-filter);
}

std::uint32_t mask_of(int filter) {
  return filter == EVFILT_READ ? EPOLLIN | EPOLLRDHUP | EPOLLET : EPOLLOUT | EPOLLET;
}

epoll_event edge_of(const Knote& knote) {
  epoll_event event{};
  event.events = mask_of(knote.filter);
  event.data.u64 = std::uint64_t{knote.generation} << 32 | static_cast<std::uint32_t>(knote.fd());
  return event;
}

struct kevent receipt_of(const struct kevent& change, int error) {
  struct kevent receipt = change;
  receipt.flags = EV_ERROR;
  receipt.data = error;
  return receipt;
}

}  // namespace

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT}) {
    ::sigdelset(&all, fatal);
  }
  ::pthread_sigmask(SIG_BLOCK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

std::atomic<unsigned>& uses_of(int fd) {
  constexpr std::size_t kPage = 4096;
  using Page = std::array<std::atomic<unsigned>, kPage>;
  static std::array<std::atomic<Page*>, 1024> pages;  // The pages are kept for ever.
  const auto number = static_cast<std::size_t>(fd);
  std::atomic<Page*>& slot = pages.at(number / kPage);
  Page* page = slot.load(std::memory_order_acquire);
  if (page == nullptr) {
    auto* const fresh = new Page();
    if (slot.compare_exchange_strong(page, fresh)) {
      page = fresh;
    } else {
      delete fresh;
    }
  }
  return (*page)[number % kPage];
}

Kqueue::Kqueue(int fd)
    : quirks_(current_quirks()),
      faults_(current_faults()),
      fd_(fd),
      read_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      write_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      queue_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      random_(faults_.seed * 0x9E37'79B9'7F4A'7C15U + 1) {
  ++uses_of(fd_);
  for (const int inner : {read_fd_, write_fd_, queue_fd_}) {
    if (inner < 0) {
      errno = EMFILE;
      return;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(fd_, EPOLL_CTL_ADD, inner, &event) != 0) return;
  }
  sound_ = true;
}

Kqueue::~Kqueue() {
  const int saved_errno = errno;
  shut_down();
  for (const int inner : {read_fd_, write_fd_, queue_fd_}) {
    if (inner >= 0) close_without_hooks(inner);
  }
  --uses_of(fd_);
  errno = saved_errno;
}

// A failed change, or one that wants a receipt, becomes an entry while there is room. Without room
// it ends the call, and what follows it is not applied (kqueue_kevent()).
std::optional<int> Kqueue::apply(std::span<const struct kevent> changes,
                                 std::span<struct kevent> events) {
  const std::lock_guard lock(mu_);
  std::size_t count = 0;
  std::optional<int> result;
  for (const struct kevent& one : changes) {
    if (one.filter == 0) continue;
    const int error = change(one);
    if (error == 0 && (one.flags & EV_RECEIPT) == 0) continue;
    if (count < events.size()) {
      events[count++] = receipt_of(one, error);
      continue;
    }
    if (error == 0 && !quirks_.stops_without_room) continue;
    errno = error;
    if (error != 0) {
      result = -1;
    } else {
      result = quirks_.forgets_what_had_room ? 0 : static_cast<int>(count);
    }
    break;
  }
  show_queue();
  if (!result && count != 0) result = static_cast<int>(count);
  return result;
}

// One change; returns an errno or 0.
int Kqueue::change(struct kevent change) {
  unsigned flags = change.flags;
  if ((flags & EV_ENABLE) != 0 && (flags & EV_DISABLE) != 0) {
    if (quirks_.enable_disable_is_invalid) return EINVAL;
    flags &= ~static_cast<unsigned>(quirks_.enable_wins ? EV_DISABLE : EV_ENABLE);
  }
  if (!quirks_.keeps_udata) flags &= ~static_cast<unsigned>(EV_KEEPUDATA);
  change.flags = static_cast<unsigned short>(flags);

  const bool is_user = change.filter == EVFILT_USER;
  if (is_user ? !quirks_.has_user : change.filter != EVFILT_READ && change.filter != EVFILT_WRITE) {
    return EINVAL;
  }
  if (!is_user) {
    // fget() comes before the look at the knotes.
    const int fd = static_cast<int>(change.ident);
    if (fd < 0 || ::fcntl(fd, F_GETFD) < 0) {
      return quirks_.closed_number_is_enoent && (flags & EV_ADD) == 0 ? ENOENT : EBADF;
    }
    if (fd == fd_) return EINVAL;
  }
  if ((flags & EV_ADD) != 0 && (flags & EV_KEEPUDATA) != 0) return EINVAL;

  Place* place = find(change.ident, change.filter);
  if (place != nullptr && (flags & EV_DELETE) == 0 && is_stale(**place)) {
    drop(*place);
    place = nullptr;
  }
  if (place == nullptr) return (flags & EV_ADD) != 0 ? create(change) : ENOENT;
  if ((flags & EV_DELETE) != 0) {
    drop(*place);
  } else {
    touch(*place, change);
  }
  return 0;
}

int Kqueue::create(const struct kevent& change) {
  if (happens(faults_.no_memory_one_in)) return ENOMEM;
  const Place place = idle_.emplace(idle_.end());
  place->ident = change.ident;
  place->filter = change.filter;
  place->flags = change.flags & (kStoredFlags | (quirks_.returns_change_flags ? kChangeFlags : 0));
  place->udata = change.udata;
  place->generation = next_generation_++;
  place->disabled = (change.flags & EV_DISABLE) != 0;
  place->user_fflags = change.fflags & NOTE_FFLAGSMASK;
  place->user_data = change.data;
  if (const int error = attach(*place)) {
    idle_.erase(place);
    return error;
  }
  places_.emplace(key_of(change.ident, change.filter), place);
  if (place->is_user()) {
    // filt_userattach: on FreeBSD fflags are zeroed before it looks (mio#1987).
    place->triggered = quirks_.user_trigger_on_attach && (change.fflags & NOTE_TRIGGER) != 0;
    if (place->triggered) activate(place);
  } else if ((place->flags & EV_ONESHOT) != 0 && run_filter(*place)) {
    activate(place);  // The others: their first edge is pending in the inner epoll.
  }
  return 0;
}

// fo_kqfilter() of the file.
int Kqueue::attach(Knote& knote) {
  if (knote.is_user()) return 0;
  const int fd = knote.fd();
  knote.kind = kind_of(fd);
  knote.listened = is_listening(fd, knote.kind);
  const int refusal = knote.filter == EVFILT_READ ? refusal_of_read(fd, knote.kind, quirks_)
                                                  : refusal_of_write(fd, knote.kind, quirks_);
  if (refusal != 0) return refusal;
  epoll_event event = edge_of(knote);
  const int inner = epoll_of(knote.filter);
  int result = ::epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event);
  // The number was closed unheard, and its file given the same number again.
  if (result != 0 && errno == EEXIST) result = ::epoll_ctl(inner, EPOLL_CTL_MOD, fd, &event);
  if (result != 0) return errno == EPERM ? quirks_.unpollable_error : errno;
  ++uses_of(fd);
  return 0;
}

// A change of a knote that is there. EV_CLEAR, EV_ONESHOT and EV_DISPATCH are not changed, and
// EV_ADD does not enable (andrewjstone/amy#13); the filter is run again, so that EV_ADD makes a new
// edge of a condition that still holds.
void Kqueue::touch(Place place, const struct kevent& change) {
  const bool replaces =
      place->is_user() || (change.flags & EV_ADD) != 0 || quirks_.enable_replaces_udata;
  if (replaces && (change.flags & EV_KEEPUDATA) == 0) place->udata = change.udata;
  if (place->is_user()) touch_user(*place, change);
  if ((change.flags & EV_DISABLE) != 0) {
    place->disabled = true;
    unqueue(place);
  }
  if ((change.flags & EV_ENABLE) != 0) place->disabled = false;
  if (place->disabled) {
    place->active |= place->triggered;
    return;
  }
  if (place->active || run_filter(*place)) activate(place);
}

// filt_usertouch().
void Kqueue::touch_user(Knote& knote, const struct kevent& change) {
  const unsigned fflags = change.fflags & NOTE_FFLAGSMASK;
  switch (change.fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND: knote.user_fflags &= fflags; break;
    case NOTE_FFOR: knote.user_fflags |= fflags; break;
    case NOTE_FFCOPY: knote.user_fflags = fflags; break;
    default: break;
  }
  knote.user_data = change.data;
  if ((change.fflags & NOTE_TRIGGER) != 0) knote.triggered = true;
  if ((change.flags & EV_CLEAR) != 0 && quirks_.trigger_with_clear_cancels) {
    knote.triggered = false;
    knote.user_fflags = 0;
    knote.user_data = 0;
  }
}

// Whether the number was closed unheard: then the inner epoll has forgotten its file.
bool Kqueue::is_stale(const Knote& knote) const {
  if (knote.is_user()) return false;
  epoll_event event = edge_of(knote);
  return ::epoll_ctl(epoll_of(knote.filter), EPOLL_CTL_MOD, knote.fd(), &event) != 0;
}

void Kqueue::drop(Place place) {
  if (!place->is_user()) {
    epoll_event unused{};
    (void)::epoll_ctl(epoll_of(place->filter), EPOLL_CTL_DEL, place->fd(), &unused);
    --uses_of(place->fd());
  }
  places_.erase(key_of(place->ident, place->filter));
  (place->queued ? queued_ : idle_).erase(place);
}

void Kqueue::activate(Place place) {
  place->active = true;
  if (place->disabled || place->queued) return;
  place->queued = true;
  queued_.splice(queued_.end(), idle_, place);
}

void Kqueue::unqueue(Place place) {
  if (!place->queued) return;
  place->queued = false;
  idle_.splice(idle_.end(), queued_, place);
}

Kqueue::Place* Kqueue::find(std::uintptr_t ident, int filter) {
  const auto found = places_.find(key_of(ident, filter));
  return found == places_.end() ? nullptr : &found->second;
}

int Kqueue::epoll_of(int filter) const { return filter == EVFILT_READ ? read_fd_ : write_fd_; }

// Makes the eventfd say what the queue is; wakes the sleepers if it is no longer empty.
void Kqueue::show_queue() {
  const bool show = !queued_.empty() && !hides_requeue_;
  if (show == queue_shown_ || closed_) return;
  queue_shown_ = show;
  std::uint64_t value = 1;
  if (show) {
    (void)!::write(queue_fd_, &value, sizeof(value));
  } else {
    (void)!::read(queue_fd_, &value, sizeof(value));
  }
}

// knote_fdclose(): what was not copied out yet is not reported any more.
void Kqueue::drop_number(int fd) {
  const std::lock_guard lock(mu_);
  for (const int filter : {EVFILT_READ, EVFILT_WRITE}) {
    if (Place* const place = find(static_cast<std::uintptr_t>(fd), filter)) drop(*place);
  }
  show_queue();
}

void Kqueue::shut_down() {
  const std::lock_guard lock(mu_);
  if (closed_) return;
  while (!places_.empty()) drop(places_.begin()->second);
  closed_ = true;
  const std::uint64_t value = 1;
  if (queue_fd_ >= 0) (void)!::write(queue_fd_, &value, sizeof(value));
}

}  // namespace rearm::test::kqueue_emulation
