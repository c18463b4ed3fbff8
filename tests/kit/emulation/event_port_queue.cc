// The state of a port: what is associated, what has fired, what is queued. Who waits for it is in
// event_port_wait.cc.
#include "emulation/event_port_queue.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "emulation/close_hook.h"
#include "emulation/event_port_faults.h"

namespace rearm::test::event_port {
namespace {

// (A) "POLLERR, POLLHUP and POLLNVAL events cannot be disabled"; (K) the mask is cut to this, and
// POLLNVAL is never in it.
constexpr int kUnasked = POLLHUP | POLLERR;

constexpr std::uint64_t kKick = ~std::uint64_t{0};

static_assert(POLLIN == EPOLLIN && POLLPRI == EPOLLPRI && POLLOUT == EPOLLOUT &&
                  POLLERR == EPOLLERR && POLLHUP == EPOLLHUP && POLLRDBAND == EPOLLRDBAND,
              "masks go to the inner set as they are");

bool add_to(int set, int fd, std::uint32_t mask, std::uint64_t data) {
  epoll_event event{};
  event.events = mask;
  event.data.u64 = data;
  return ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

void Queue::push(Kevent& event) {
  event.queued = true;
  event.next = nullptr;
  event.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &event;
  last_ = &event;
  ++size_;
}

void Queue::remove(Kevent& event) {
  event.queued = false;
  (event.previous != nullptr ? event.previous->next : first_) = event.next;
  (event.next != nullptr ? event.next->previous : last_) = event.previous;
  event.next = event.previous = nullptr;
  --size_;
}

std::shared_ptr<Port> Port::create() {
  std::shared_ptr<Port> port(new Port);
  if (port->open()) return port;
  const int error = errno;
  if (port->outer_ >= 0) (void)close_without_hooks(port->outer_);
  errno = error;
  return nullptr;
}

bool Port::open() {
  max_events_ = faults().max_events;
  lay_aside_events();
  outer_ = ::epoll_create1(0);  // (K) falloc: the number is not close-on-exec.
  if (outer_ < 0) return false;
  inner_ = ::epoll_create1(EPOLL_CLOEXEC);
  kick_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  shown_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (inner_ < 0 || kick_ < 0 || shown_ < 0) return false;
  return add_to(inner_, kick_, EPOLLIN | EPOLLET, kKick) && add_to(outer_, inner_, EPOLLIN, 0) &&
         add_to(outer_, shown_, EPOLLIN, 0);
}

Port::~Port() {
  for (const int fd : {inner_, kick_, shown_}) {
    if (fd >= 0) (void)close_without_hooks(fd);
  }
}

int Port::associate(int fd, int wanted, void* user, bool& is_new) {
  const Lock lock(mu_);
  if (is_closed_) return EBADFD;
  pollfd look{.fd = fd, .events = static_cast<short>(wanted), .revents = 0};
  (void)::poll(&look, 1, 0);
  if ((look.revents & POLLNVAL) != 0) {
    note_closed_associate();
    return EBADFD;  // (A)
  }
  const auto [place, inserted] = associations_.try_emplace(fd);
  if (inserted) {
    if (used_events_ >= max_events_) {
      associations_.erase(place);
      return EAGAIN;  // (A), (K) PORT_ALLOC_CACHED: for the whole life of the association.
    }
    ++used_events_;
    has_associated_ = true;
    place->second = std::make_unique<Association>();
    place->second->fd = fd;
    place->second->association = place->second.get();
    is_new = true;
    if (wanted != 0) note_associate_outside_life();
  } else if (place->second->user != user) {
    note_associate_of_another_life();
  }
  Association& association = *place->second;
  // (K) port_associate_fd: nothing new from here on, then what is queued goes.
  if (association.queued) queue_.remove(association);
  association.user = user;
  association.fired = 0;
  association.wanted = wanted;
  association.valid = true;
  // (K) VOP_POLL: the state is looked at once, at association time.
  int mask = look.revents & (wanted | kUnasked);
  if (mask == 0 && (wanted & POLLIN) != 0 && happens(faults().spurious_pollin)) mask = POLLIN;
  int error = 0;
  if (mask != 0) {
    disarm_inner(association);
    fire(association, mask);  // Quietly.
  } else {
    error = arm_inner(association);
    if (error != 0) drop(association);
  }
  show();
  return error;
}

int Port::arm_inner(Association& association) {
  last_arm_ = last_arm_ == ~std::uint32_t{0} ? 1 : last_arm_ + 1;
  association.arm = last_arm_;
  epoll_event event{};
  event.events = EPOLLONESHOT | static_cast<std::uint32_t>(association.wanted);
  event.data.u64 =
      std::uint64_t{association.arm} << 32 | static_cast<std::uint32_t>(association.fd);
  // ENOENT: the number was closed unseen, and opened again.
  if (association.in_epoll) {
    if (::epoll_ctl(inner_, EPOLL_CTL_MOD, association.fd, &event) == 0) return 0;
    if (errno != ENOENT) return errno == EBADF ? EBADFD : errno;
  }
  association.in_epoll = true;
  if (::epoll_ctl(inner_, EPOLL_CTL_ADD, association.fd, &event) == 0) return 0;
  association.in_epoll = false;
  association.arm = 0;
  switch (errno) {
    case EPERM: return 0;  // A file that Linux cannot watch and that is not ready: silent.
    case EBADF: note_closed_associate(); return EBADFD;
    case ENOSPC: return EAGAIN;
    default: return errno;
  }
}

// A report of the arm that was in force may still be on its way; its number gives it away.
void Port::disarm_inner(Association& association) {
  if (association.arm == 0) return;
  association.arm = 0;
  association.in_epoll = false;
  epoll_event unused{};
  (void)::epoll_ctl(inner_, EPOLL_CTL_DEL, association.fd, &unused);
}

void Port::drop(Association& association) {
  if (association.queued) queue_.remove(association);
  if (association.in_epoll) {
    epoll_event unused{};
    (void)::epoll_ctl(inner_, EPOLL_CTL_DEL, association.fd, &unused);
  }
  --used_events_;
  associations_.erase(association.fd);
}

// (K) pollwakeup: fires once, with the mask of that moment; port_send_event: queued at most once.
void Port::fire(Association& association, int mask) {
  association.valid = false;
  association.fired |= mask;
  if (!association.queued) push(association);
}

void Port::push(Kevent& event) {
  queue_.push(event);
  signal_head();
}

// (A) The checks are made in the order of (K) port_dissociate_fd.
int Port::dissociate(int fd, bool& was_known) {
  const Lock lock(mu_);
  if (!has_associated_) return ENOENT;  // (K) pc_hash is made by the first associate.
  const bool is_open = ::fcntl(fd, F_GETFD) >= 0;
  const auto place = associations_.find(fd);
  was_known = place != associations_.end();
  if (!was_known) return is_open ? ENOENT : EBADFD;
  Association& association = *place->second;
  const bool was_active = association.valid || association.queued;
  drop(association);
  show();
  if (!is_open) return EBADFD;  // It was closed unseen.
  return was_active ? 0 : ENOENT;
}

int Port::send(int events, void* user) {
  const Lock lock(mu_);
  if (is_closed_) return EBADFD;
  if (used_events_ >= max_events_) return EAGAIN;  // (S)
  pump_now();                                      // What fired earlier comes first.
  if (free_sent_.empty()) lay_aside_events();
  Kevent& event = *free_sent_.back();
  free_sent_.pop_back();
  ++used_events_;
  event.fired = events;
  event.user = user;
  push(event);
  is_loud_ = true;
  show();
  return 0;
}

void Port::lay_aside_events() {
  sent_memory_.push_back(std::make_unique<Kevent[]>(kSentAhead));
  free_sent_.reserve(sent_memory_.size() * kSentAhead);
  for (std::size_t i = 0; i < kSentAhead; ++i) free_sent_.push_back(&sent_memory_.back()[i]);
}

int Port::alert(int flags, int events, void* user) {
  const Lock lock(mu_);
  if (events == 0) {
    alert_.reset();  // (L), and whatever the flags are (K).
    return 0;
  }
  if ((flags & PORT_ALERT_INVALID) == PORT_ALERT_INVALID) return EINVAL;
  if (flags == PORT_ALERT_UPDATE && alert_) return EBUSY;
  alert_ = Alert{.events = events, .user = user};
  // (L) All who wait return at once, and keep the alert that woke them (K).
  for (Waiter* const waiter : waiters_) {
    if (waiter->alert) continue;
    waiter->alert = alert_;
    wake(*waiter);
  }
  return 0;
}

// (K) port_close_fd: the association and its queued event are gone when close() returns.
void Port::forget(int fd) {
  const Lock lock(mu_);
  const auto place = associations_.find(fd);
  if (place == associations_.end()) return;
  drop(*place->second);
  show();
}

// (K) PORTQ_CLOSE: those who wait return.
void Port::shut() {
  const Lock lock(mu_);
  is_closed_ = true;
  for (Waiter* const waiter : waiters_) wake(*waiter);
}

bool Port::knows(int fd) {
  const Lock lock(mu_);
  return associations_.contains(fd);
}

std::vector<int> Port::known() {
  const Lock lock(mu_);
  std::vector<int> fds;
  fds.reserve(associations_.size());
  for (const auto& [fd, association] : associations_) fds.push_back(fd);
  return fds;
}

void Port::pump_now() {
  std::array<epoll_event, kPumped> reports;
  for (;;) {
    const int count = ::epoll_wait(inner_, reports.data(), static_cast<int>(reports.size()), 0);
    if (count <= 0) return;
    absorb(std::span(reports).first(static_cast<std::size_t>(count)));
    if (static_cast<std::size_t>(count) < reports.size()) return;
  }
}

void Port::absorb(std::span<const epoll_event> reports) {
  for (const epoll_event& report : reports) {
    const std::uint64_t data = report.data.u64;
    if (data == kKick) {
      // It was meant for the pump; the one who looks in between gives it back.
      if (pump_ != nullptr) wake(*pump_);
      continue;
    }
    const auto place = associations_.find(static_cast<int>(data & 0xFFFF'FFFF));
    if (place == associations_.end()) continue;
    Association& association = *place->second;
    if (association.arm != data >> 32) continue;
    association.arm = 0;
    if (!association.valid) continue;
    int mask = static_cast<int>(report.events) & (association.wanted | kUnasked);
    constexpr int kBoth = POLLIN | POLLOUT;
    if ((mask & kBoth) == kBoth && happens(faults().narrow_mask)) {
      mask &= ~(draw(2) == 0 ? POLLIN : POLLOUT);
    }
    fire(association, mask);
    is_loud_ = true;
  }
}

// The port's number is readable while its queue is not empty (K: port_poll), but for what an
// associate has queued.
void Port::show() {
  is_loud_ = is_loud_ && queue_.size() != 0;
  const bool has_events = is_loud_;
  if (has_events == is_shown_) return;
  is_shown_ = has_events;
  std::uint64_t value = 1;
  if (has_events) {
    (void)!::write(shown_, &value, sizeof(value));
  } else {
    (void)!::read(shown_, &value, sizeof(value));
  }
}

}  // namespace rearm::test::event_port
