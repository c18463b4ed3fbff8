// Those who wait for a port: port_get() and port_getn(), in the order of (K) port_getn.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "emulation/close_hook.h"
#include "emulation/event_port_faults.h"
#include "emulation/event_port_queue.h"

namespace rearm::test::event_port {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

std::int64_t steady_ns() {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

std::optional<std::int64_t> deadline_of(const timespec* timeout) {
  if (timeout == nullptr) return std::nullopt;
  constexpr std::int64_t kLongestSeconds = 1'000'000'000;
  const std::int64_t length_ns =
      std::min<std::int64_t>(timeout->tv_sec, kLongestSeconds) * kNsPerSecond + timeout->tv_nsec;
  return steady_ns() + std::max(length_ns, faults().shortest_sleep_ns);
}

// nullptr when there is no deadline.
const timespec* time_left(std::optional<std::int64_t> until_ns, timespec& left) {
  if (!until_ns) return nullptr;
  const std::int64_t ns = std::max<std::int64_t>(0, *until_ns - steady_ns());
  left = {.tv_sec = ns / kNsPerSecond, .tv_nsec = ns % kNsPerSecond};
  return &left;
}

void ring(int eventfd) {
  const std::uint64_t one = 1;
  (void)!::write(eventfd, &one, sizeof(one));
}

// What has been copied is on its way to the caller while the world goes on.
void return_late(unsigned count) {
  if (count == 0) return;
  if (event_port_hooks().on_retrieve) event_port_hooks().on_retrieve();
  if (!happens(faults().late_copy)) return;
  const timespec delay{.tv_sec = 0, .tv_nsec = 1'000 * (1 + draw(faults().late_copy_us))};
  (void)::nanosleep(&delay, nullptr);
}

port_event_t alert_event(int events, void* user) {
  return {.portev_events = events,
          .portev_source = PORT_SOURCE_ALERT,
          .portev_pad = 0,
          .portev_object = 0,
          .portev_user = user};
}

// Signals are delivered in the sleeps only, as to a thread inside a system call: one that came in
// the short time between two sleeps of one call would end neither.
class SignalsInSleepOnly {
 public:
  SignalsInSleepOnly() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
      sigdelset(&all, fault);
    }
    (void)::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsInSleepOnly() { (void)::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsInSleepOnly(const SignalsInSleepOnly&) = delete;
  SignalsInSleepOnly& operator=(const SignalsInSleepOnly&) = delete;

  [[nodiscard]] const sigset_t& mask() const { return before_; }

 private:
  sigset_t before_{};
};

}  // namespace

Answer Port::get(const Request& request) {
  Lock lock(mu_);
  if (request.minimum > request.max && request.max > 0) return {.error = EINVAL};
  if (request.max == 0) {
    pump_now();
    show();
    return {.count = static_cast<unsigned>(queue_.size())};
  }
  if (request.list == nullptr) return {.error = EFAULT};
  if (request.minimum == 0) return {};
  if (is_closed_) return {.error = EBADF};
  if (alert_) {
    request.list[0] = alert_event(alert_->events, alert_->user);
    return {.count = 1};
  }
  const timespec* const timeout = request.timeout;
  const bool is_poll = timeout != nullptr && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
  if (is_poll && queue_.size() < request.minimum) pump_now();
  Answer answer;
  if (is_poll || queue_.size() >= request.minimum) {
    answer.count = collect(request);  // (K) The timeout has not been looked at.
  } else if (timeout != nullptr &&
             (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= kNsPerSecond)) {
    return {.error = EINVAL};
  } else {
    answer = sleep_and_collect(lock, request, deadline_of(timeout));
  }
  show();
  lock.unlock();
  return_late(answer.count);
  return answer;
}

Answer Port::sleep_and_collect(Lock& lock, const Request& request,
                               std::optional<std::int64_t> until_ns) {
  const SignalsInSleepOnly signals;
  Waiter self;
  self.mask = &signals.mask();
  self.minimum = request.minimum;
  enqueue(self);
  int error = 0;
  for (;;) {
    if (self.alert) {
      dequeue(self);
      request.list[0] = alert_event(self.alert->events, self.alert->user);
      return {.count = 1};
    }
    if (is_closed_) {
      error = EBADF;  // (K) closeandsetf: stale before port_close() sets PORTQ_CLOSE.
    } else if (self.signalled && queue_.size() >= request.minimum) {
      if (!happens(faults().lost_hand_off)) break;
      error = EINTR;
    } else if (happens(faults().eintr)) {
      error = EINTR;
    } else if (until_ns && !was_invalid_ && happens(faults().einval)) {
      error = EINVAL;
    } else {
      self.signalled = false;
      error = sleep(lock, self, until_ns);
    }
    if (error != 0) break;
  }
  // Here is a hole of illumos (K): a head that was signalled and leaves with EINTR, or port_get()'s
  // with ETIME, signals nobody, so with several waiters an event may stay until the next one comes.
  dequeue(self);
  was_invalid_ = error == EINVAL;
  // (G) Without events; a port_get() whose time is over leaves them in the queue, too.
  if (error == EINTR || error == EINVAL || error == EBADF ||
      (error == ETIME && request.is_single)) {
    return {.error = error};
  }
  if (error == ETIME) pump_now();
  const unsigned count = collect(request);
  if (error == 0 && count != 0 && until_ns && !request.is_single &&
      happens(faults().etime_with_events)) {
    error = ETIME;
  }
  return {.error = error, .count = count};
}

// Sleeps until something has changed, which is for the caller to look at. Returns 0 or the errno.
int Port::sleep(Lock& lock, Waiter& self, std::optional<std::int64_t> until_ns) {
  show();
  if (pump_ == nullptr) return pump(lock, self, until_ns);
  self.wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self.wake_fd < 0) return EINTR;
  lock.unlock();
  leave_progress();
  timespec left;
  pollfd bell{.fd = self.wake_fd, .events = POLLIN, .revents = 0};
  const int count = ::ppoll(&bell, 1, time_left(until_ns, left), self.mask);
  const int error = count > 0 ? 0 : count == 0 ? ETIME : errno;
  enter_progress();
  lock.lock();
  (void)close_without_hooks(self.wake_fd);
  self.wake_fd = -1;
  return error;
}

int Port::pump(Lock& lock, Waiter& self, std::optional<std::int64_t> until_ns) {
  pump_ = &self;
  lock.unlock();
  leave_progress();
  timespec left;
  std::array<epoll_event, kPumped> reports;
  const int count = ::epoll_pwait2(inner_, reports.data(), static_cast<int>(reports.size()),
                                   time_left(until_ns, left), self.mask);
  const int error = count > 0 ? 0 : count == 0 ? ETIME : errno;
  enter_progress();
  lock.lock();
  pump_ = nullptr;
  if (count > 0) absorb(std::span(reports).first(static_cast<std::size_t>(count)));
  return error;
}

// Moves events from the queue to the caller's list.
unsigned Port::collect(const Request& request) {
  unsigned count = 0;
  while (count < request.max && queue_.front() != nullptr) {
    Kevent& event = *queue_.front();
    queue_.remove(event);
    port_event_t& out = request.list[count++];
    out = {.portev_events = event.fired,
           .portev_source = PORT_SOURCE_USER,
           .portev_pad = 0,
           .portev_object = 0,
           .portev_user = event.user};
    if (event.association != nullptr) {
      out.portev_source = PORT_SOURCE_FD;
      out.portev_object = static_cast<std::uintptr_t>(event.association->fd);
      if (happens(faults().fired_mask_zero)) out.portev_events = 0;
    } else {
      --used_events_;
      free_sent_.push_back(&event);
    }
  }
  signal_head();  // (K) Whoever leaves signals the next one, if there is enough for it.
  return count;
}

// (K) port_queue_thread: by the minimum, the smallest first; among equals the newest.
void Port::enqueue(Waiter& waiter) {
  const bool lifo = faults().lifo_waiters;
  auto place = std::ranges::find_if(waiters_, [&](const Waiter* other) {
    return lifo ? other->minimum >= waiter.minimum : other->minimum > waiter.minimum;
  });
  if (place == waiters_.end() && !waiters_.empty() && faults().mixed_nget_starvation &&
      waiters_.back()->minimum < waiter.minimum) {
    --place;
  }
  waiters_.insert(place, &waiter);
}

void Port::dequeue(Waiter& waiter) {
  std::erase(waiters_, &waiter);
  if (pump_ != nullptr) return;
  // Somebody must pump for those who sleep.
  for (Waiter* const other : waiters_) {
    if (other->wake_fd < 0) continue;
    ring(other->wake_fd);
    return;
  }
}

// One that does not sleep will look by itself.
void Port::wake(Waiter& waiter) {
  if (pump_ == &waiter) {
    ring(kick_);
  } else if (waiter.wake_fd >= 0) {
    ring(waiter.wake_fd);
  }
}

// (K) port_send_event: the head alone, and only when there is enough for it.
void Port::signal_head() {
  for (Waiter* const waiter : waiters_) {
    if (!waiter->signalled && queue_.size() >= waiter->minimum) {
      waiter->signalled = true;
      wake(*waiter);
    }
    if (!faults().wakes_all) return;
  }
}

}  // namespace rearm::test::event_port
