// The calls that tell a kernel what to watch, and those that wait for its reports: they fail, keep
// reports back, or give some that were given before.
//
// A report that is given once more may be of a descriptor that was closed meanwhile; half of them
// are invented, of a number that is watched, with nothing behind it. What a kernel keeps back it
// gives at the next call, which does not sleep then.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "faults/real.h"
#include "faults/syscalls.h"

namespace rearm::test::faults {
namespace {

// An alert is a state that the reader ends, so one that is over must not be told of again.
bool may_repeat(const port_event_t& report) { return report.portev_source != PORT_SOURCE_ALERT; }
bool may_repeat(const epoll_event& /*report*/) { return true; }
bool may_repeat(const struct kevent& /*report*/) { return true; }

// A report of readiness that is not there.
void invent(const Watch& watch, std::uint64_t /*random*/, epoll_event& report) {
  report.events = EPOLLIN | EPOLLOUT;
  report.data.u64 = watch.data;
}
void invent(const Watch& watch, std::uint64_t random, struct kevent& report) {
  report = {};
  report.ident = static_cast<uintptr_t>(watch.fd);
  report.filter = (random & 1) != 0 ? EVFILT_READ : EVFILT_WRITE;
  report.udata = reinterpret_cast<void*>(watch.data);
}
void invent(const Watch& watch, std::uint64_t /*random*/, port_event_t& report) {
  report = {};
  report.portev_source = PORT_SOURCE_FD;
  report.portev_object = static_cast<uintptr_t>(watch.fd);
  report.portev_events = POLLIN | POLLOUT;
  report.portev_user = reinterpret_cast<void*>(watch.data);
}

// The reports of one kind of kernel, by the number of the kernel object.
template <class Report>
class Reports {
 public:
  // `wait(sleeps)` fills in `out` as the real call does, and returns the count or -1.
  template <class Wait>
  int take(int kernel_fd, const Decision& decision, Report* out, std::size_t room, bool may_sleep,
           Wait wait) {
    std::vector<Report> given = held_back(kernel_fd, room);
    const bool repeats = decision.is(How::kRepeat);
    if (given.size() == room) {  // No room for anything else.
      std::ranges::copy(given, out);
      return static_cast<int>(room);
    }
    const bool sleeps = given.empty() && !repeats;
    const int count = wait(sleeps, room - given.size());
    if (count < 0 && given.empty() && !repeats) return -1;
    const std::size_t fresh = count < 0 ? 0 : static_cast<std::size_t>(count);
    const std::lock_guard lock(mu_);
    Kernel& kernel = kernels_[kernel_fd];
    remember(kernel, out, fresh);
    std::size_t kept = 0;
    if (decision.is(How::kDelay)) {
      kept = fresh - fresh / 2;
      kernel.held.insert(kernel.held.end(), out + fresh - kept, out + fresh);
    }
    std::size_t n = fresh - kept;
    for (const Report& one : given) out[n++] = one;
    if (repeats && n < room) {
      const Watch watch = some_watch(kernel_fd, decision.random / 4);
      if (decision.random % 2 != 0 && watch.kernel != Watch{}.kernel) {
        invent(watch, decision.random / 2, out[n++]);
      } else if (!kernel.recent.empty()) {
        out[n++] = kernel.recent[decision.random / 2 % kernel.recent.size()];
      }
    }
    if (n == 0 && may_sleep) {
      errno = EINTR;
      return -1;
    }
    return static_cast<int>(n);
  }

  void forget(int kernel_fd) {
    const std::lock_guard lock(mu_);
    kernels_.erase(kernel_fd);
  }

 private:
  static constexpr std::size_t kRecent = 16;

  struct Kernel {
    std::vector<Report> held;
    std::vector<Report> recent;
    std::size_t next = 0;
  };

  std::vector<Report> held_back(int kernel_fd, std::size_t room) {
    const std::lock_guard lock(mu_);
    std::vector<Report>& held = kernels_[kernel_fd].held;
    const auto n = static_cast<std::ptrdiff_t>(std::min(room, held.size()));
    std::vector<Report> given(held.begin(), held.begin() + n);
    held.erase(held.begin(), held.begin() + n);
    return given;
  }

  static void remember(Kernel& kernel, const Report* reports, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (!may_repeat(reports[i])) continue;
      if (kernel.recent.size() < kRecent) {
        kernel.recent.push_back(reports[i]);
      } else {
        kernel.recent[kernel.next++ % kRecent] = reports[i];
      }
    }
  }

  std::mutex mu_;
  std::map<int, Kernel> kernels_;
};

template <class Report>
Reports<Report>& reports() {
  static auto* const instance = new Reports<Report>;
  return *instance;
}

bool fails(const Decision& decision) { return decision.is(How::kInstead); }

int fail(const Decision& decision) {
  errno = decision.fault->error;
  return -1;
}

constexpr timespec kAtOnce{};

// A set of numbers of which some were reported: held back ones are levels that the next call sees,
// and any number may be said to be ready for all that it was asked for.
int disturb(const Decision& decision, pollfd* fds, nfds_t count, int reported, bool may_sleep) {
  if (decision.is(How::kRepeat) && count != 0) {
    pollfd& one = fds[decision.random % count];
    if (one.revents == 0) ++reported;
    one.revents = static_cast<short>(one.revents | one.events);
    if (one.revents == 0) --reported;
  }
  if (decision.is(How::kDelay)) {
    int kept = reported - reported / 2;
    for (nfds_t i = 0; i < count && kept > 0; ++i) {
      if (fds[i].revents == 0) continue;
      fds[i].revents = 0;
      --reported;
      --kept;
    }
    if (reported == 0 && may_sleep) {
      errno = EINTR;
      return -1;
    }
  }
  return reported;
}

}  // namespace

void forget_reports(int kernel_fd) {
  reports<epoll_event>().forget(kernel_fd);
  reports<struct kevent>().forget(kernel_fd);
  reports<port_event_t>().forget(kernel_fd);
}

}  // namespace rearm::test::faults

using namespace rearm::test::faults;  // NOLINT(google-build-using-namespace): their wrappers.

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names.
extern "C" {

// --- epoll. ---

int __wrap_epoll_ctl(int kernel, int operation, int fd, epoll_event* event) {
  const Entry entry;
  if (!entry.is_outermost()) return __real_epoll_ctl(kernel, operation, fd, event);
  const bool adds = operation == EPOLL_CTL_ADD;
  const Decision decision = entry.decide(Call::k_epoll_ctl, adds ? kAdd : kForget);
  if (fails(decision)) return fail(decision);
  if (!adds) set_watch(fd, {});
  const int result = __real_epoll_ctl(kernel, operation, fd, event);
  if (adds && result == 0) {
    set_watch(fd, {.kernel = Kernel::kEpoll,
                   .kernel_fd = kernel,
                   .fd = fd,
                   .mask = event->events,
                   .data = event->data.u64});
  }
  return decision && result == 0 ? fail(decision) : result;
}

int __wrap_epoll_wait(int kernel, epoll_event* events, int room, int timeout_ms) {
  const Entry entry;
  if (!entry.is_outermost()) return __real_epoll_wait(kernel, events, room, timeout_ms);
  const Decision decision = entry.decide(Call::k_epoll_wait, timeout_ms > 0 ? kTimed : kOther);
  if (fails(decision)) return fail(decision);
  return reports<epoll_event>().take(
      kernel, decision, events, static_cast<size_t>(room), timeout_ms != 0,
      [&](bool sleeps, size_t left) {
        return __real_epoll_wait(kernel, events, static_cast<int>(left), sleeps ? timeout_ms : 0);
      });
}

int __wrap_epoll_pwait2(int kernel, epoll_event* events, int room, const timespec* timeout,
                        const sigset_t* signals) {
  const Entry entry;
  if (!entry.is_outermost()) return __real_epoll_pwait2(kernel, events, room, timeout, signals);
  const Decision decision = entry.decide(Call::k_epoll_pwait2, kTimed);
  if (fails(decision)) return fail(decision);
  return reports<epoll_event>().take(kernel, decision, events, static_cast<size_t>(room),
                                     /*may_sleep=*/true, [&](bool sleeps, size_t left) {
                                       return __real_epoll_pwait2(
                                           kernel, events, static_cast<int>(left),
                                           sleeps ? timeout : &kAtOnce, signals);
                                     });
}

// --- poll. ---

int __wrap_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* signals) {
  const Entry entry;
  const Decision decision = entry.decide(Call::k_ppoll, timeout != nullptr ? kTimed : kOther);
  if (fails(decision)) return fail(decision);
  const bool sleeps = !decision.is(How::kRepeat);
  const int reported = __real_ppoll(fds, count, sleeps ? timeout : &kAtOnce, signals);
  return reported < 0 ? reported : disturb(decision, fds, count, reported, true);
}

// --- kqueue. ---

int __wrap_kevent(int kernel, const struct kevent* changes, int changes_count,
                  struct kevent* events, int room, const timespec* timeout) {
  const Entry entry;
  const auto real = [&] {
    return __real_kevent(kernel, changes, changes_count, events, room, timeout);
  };
  if (!entry.is_outermost()) return real();
  if (changes_count == 0) {
    const Decision decision = entry.decide(Call::k_kevent, kWait);
    if (fails(decision)) return fail(decision);
    const bool may_sleep = timeout == nullptr || timeout->tv_sec != 0 || timeout->tv_nsec != 0;
    return reports<struct kevent>().take(kernel, decision, events, static_cast<size_t>(room),
                                         may_sleep, [&](bool sleeps, size_t left) {
                                           return __real_kevent(kernel, nullptr, 0, events,
                                                                static_cast<int>(left),
                                                                sleeps ? timeout : &kAtOnce);
                                         });
  }
  const struct kevent& first = changes[0];
  const int fd = static_cast<int>(first.ident);
  const bool is_user = first.filter == EVFILT_USER;
  const bool adds = (first.flags & EV_ADD) != 0;
  const Decision decision = entry.decide(Call::k_kevent, adds ? kAdd : is_user ? kWake : kForget);
  if (fails(decision)) return fail(decision);
  if (!is_user && !adds) set_watch(fd, {});
  const int result = real();
  if (!is_user && adds && result >= 0) {
    set_watch(fd, {.kernel = Kernel::kKqueue,
                   .kernel_fd = kernel,
                   .fd = fd,
                   .mask = 0,
                   .data = reinterpret_cast<uintptr_t>(first.udata)});
  }
  return decision && result >= 0 ? fail(decision) : result;
}

// --- Event ports. ---

int __wrap_port_getn(int port, port_event_t* events, uint_t room, uint_t* count,
                     timespec_t* timeout) {
  const Entry entry;
  if (!entry.is_outermost()) return __real_port_getn(port, events, room, count, timeout);
  const Decision decision = entry.decide(Call::k_port_getn, timeout != nullptr ? kTimed : kOther);
  if (fails(decision)) {
    if (decision.fault->error == ETIME) *count = 0;
    return fail(decision);
  }
  const uint_t wanted = *count;
  const int taken = reports<port_event_t>().take(
      port, decision, events, room, /*may_sleep=*/true, [&](bool sleeps, size_t left) {
        timespec_t at_once{};
        const int result = __real_port_getn(port, events, static_cast<uint_t>(left), count,
                                            sleeps ? timeout : &at_once);
        const int error = errno;
        if (result == 0 || (error == ETIME && *count > 0)) return static_cast<int>(*count);
        errno = error;
        return -1;
      });
  if (taken >= 0) {
    *count = static_cast<uint_t>(taken);
    return 0;
  }
  // What was copied and then held back is not there; the count is not touched on EINTR.
  const int error = errno;
  events[0].portev_source = 0;
  *count = error == ETIME ? 0 : wanted;
  errno = error;
  return -1;
}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
