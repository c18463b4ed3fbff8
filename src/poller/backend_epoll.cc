// How the kernel behaves (epoll(7), epoll_ctl(2), fs/eventpoll.c)
//   A registration belongs to the pair (number, open file description) and lives until it is
//   removed or the last duplicate of the description is closed: hence remove before close, always.
//   With EPOLLET every wake-up that the protocol issues is one report; adding polls the file at
//   once, so readiness that is older than the registration is reported too. The mask that comes
//   back is the state at retrieval. EPOLLHUP and EPOLLERR are reported unasked, EPOLLRDHUP is not.
//   A report that was already copied out is not recalled by EPOLL_CTL_DEL: hence the generation in
//   the data word.
//
// Strategy
//   One EPOLL_CTL_ADD in a descriptor's life, for both directions, edge-triggered; no system call
//   to arm. EPOLLPRI is asked for because a TCP read stops at the urgent mark: a short read then
//   does not mean that the socket is drained, and the report must say so.
//   The wake is an eventfd, edge-triggered and never read: each write is a new edge, and saving the
//   read leaves nobody who could take a wake that was meant for another (the counter would take
//   centuries to fill).
//
// Quirks
//   epoll_pwait2 (Linux 5.11) has nanoseconds; before it, and where a filter refuses it, timeouts
//   are rounded up to milliseconds, so that a wait never ends before its deadline for nothing.
#include "poller/backend_epoll.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "base/check.h"
#include "base/errno.h"
#include "base/kernel_timeout.h"

namespace rearm::detail {
namespace {

constexpr std::uint32_t kEdgeBoth = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

epoll_event event_for(std::uint32_t mask, Token token) {
  epoll_event event{};
  event.events = mask;
  event.data.u64 = std::bit_cast<std::uint64_t>(token);
  return event;
}

// Generation 0 names no descriptor, so this cannot be mistaken for one.
constexpr Token kWakeToken{};

Ready ready_of(std::uint32_t mask) {
  Ready ready;
  if ((mask & EPOLLIN) != 0) ready |= Ready::of(Direction::kRead);
  if ((mask & EPOLLOUT) != 0) ready |= Ready::of(Direction::kWrite);
  if ((mask & (EPOLLHUP | EPOLLERR)) != 0) ready |= Ready::hang_up();
  // Half-closed by the peer, or urgent data: nothing for the writer, but the reader must not stop
  // at a short read. hang_up() wakes the writer too, which is a spurious report and legal.
  if ((mask & (EPOLLRDHUP | EPOLLPRI)) != 0) ready |= Ready::hang_up();
  return ready;
}

}  // namespace

EpollBackend::~EpollBackend() {
  if (wake_fd_ >= 0) ::close(wake_fd_);
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

std::error_code EpollBackend::open() {
  epoll_fd_ = system_call([] { return ::epoll_create1(EPOLL_CLOEXEC); });
  if (epoll_fd_ < 0) return error_of(epoll_fd_);
  wake_fd_ = system_call([] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
  if (wake_fd_ < 0) return error_of(wake_fd_);
  return error_of(watch(wake_fd_, EPOLLIN | EPOLLET, kWakeToken));
}

std::error_code EpollBackend::add(int fd, Token token) {
  const int result = watch(fd, kEdgeBoth, token);
  switch (result) {
    case -EPERM: return Errc::kNotPollable;
    case -EBADF: return Errc::kClosed;
    default: return error_of(result);
  }
}

int EpollBackend::watch(int fd, std::uint32_t mask, Token token) {
  epoll_event event = event_for(mask, token);
  return system_call([&] { return ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event); });
}

std::error_code EpollBackend::arm(int /*fd*/, Token /*token*/, Ready /*interest*/) { return {}; }

void EpollBackend::remove(int fd) {
  epoll_event unused{};  // Kernels before 2.6.9 want a pointer.
  // EBADF and ENOENT mean that the number was closed behind the library: nothing is left to do.
  (void)::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, &unused);
}

WaitResult EpollBackend::wait(std::span<Event> events, Deadline deadline) {
  const int max_events = static_cast<int>(std::min(events.size(), batch_.size()));
  const int count = wait_kernel(max_events, deadline);
  if (count < 0) {
    if (count == -EINTR) return {};
    impossible_errno("epoll_wait", epoll_fd_, -count);
  }
  WaitResult result;
  for (const epoll_event& event : std::span(batch_).first(static_cast<std::size_t>(count))) {
    const Token token = std::bit_cast<Token>(static_cast<std::uint64_t>(event.data.u64));
    if (token == kWakeToken) {
      result.woken = true;
    } else {
      events[result.count++] = {token, ready_of(event.events)};
    }
  }
  return result;
}

void EpollBackend::wake() noexcept {
  const int saved_errno = errno;  // May be called from a signal handler.
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, hence that an edge is pending.
  while (result_or_errno(::write(wake_fd_, &one, sizeof(one))) == -EINTR) continue;
  errno = saved_errno;
}

// epoll_wait in the finest unit that the system has, as a result_or_errno().
int EpollBackend::wait_kernel(int max_events, Deadline deadline) {
  const auto wait_ms = [&](int ms) {
    return result_or_errno(::epoll_wait(epoll_fd_, batch_.data(), max_events, ms));
  };
  const KernelTimeout timeout(deadline);
  if (has_pwait2_ && !timeout.is_endless() && !timeout.is_immediate()) {
    const timespec left = timeout.as_timespec();
    const int count =
        result_or_errno(::epoll_pwait2(epoll_fd_, batch_.data(), max_events, &left, nullptr));
    if (count != -ENOSYS && count != -EPERM) return count;
    has_pwait2_ = false;
  }
  return wait_ms(timeout.as_ms());
}

}  // namespace rearm::detail
