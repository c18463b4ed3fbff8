// What is known of each number: who watches it, and what it is.
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <mutex>
#include <vector>

#include "faults/real.h"
#include "faults/syscalls.h"

namespace rearm::test::faults {
namespace {

struct Number {
  Watch watch;
  bool is_wake = false;
};

struct Numbers {
  std::mutex mu;
  std::vector<Number> known;

  // REQUIRES: mu.
  Number& at(int fd) {
    const auto i = static_cast<std::size_t>(fd);
    if (known.size() <= i) known.resize(i + 1);
    return known[i];
  }
};

Numbers& numbers() {
  static auto* const instance = new Numbers;  // A static Fd may be closed after main().
  return *instance;
}

}  // namespace

void set_watch(int fd, const Watch& watch) {
  if (fd < 0) return;
  Numbers& all = numbers();
  const std::lock_guard lock(all.mu);
  all.at(fd).watch = watch;
}

void note_wake_number(int fd, bool is_wake) {
  if (fd < 0) return;
  Numbers& all = numbers();
  const std::lock_guard lock(all.mu);
  all.at(fd).is_wake = is_wake;
}

// Under the lock, so that nobody changes the watch meanwhile. Whoever uses the number keeps it
// open; that its watch is gone (ENOENT) does no harm.
void owe_report(int fd) {
  Numbers& all = numbers();
  const std::lock_guard lock(all.mu);
  const Watch watch = all.at(fd).watch;
  switch (watch.kernel) {
    case Kernel::kNone:
    case Kernel::kPort: break;  // It looks when it is told the next wish.
    case Kernel::kEpoll: {
      epoll_event event{};
      event.events = watch.mask;
      event.data.u64 = watch.data;
      (void)__real_epoll_ctl(watch.kernel_fd, EPOLL_CTL_MOD, fd, &event);
      break;
    }
    case Kernel::kKqueue: {
      std::array<struct kevent, 2> changes{};
      for (std::size_t i = 0; i < 2; ++i) {
        changes[i].ident = static_cast<uintptr_t>(fd);
        changes[i].filter = i == 0 ? EVFILT_READ : EVFILT_WRITE;
        changes[i].flags = EV_ADD | EV_CLEAR | EV_RECEIPT;
        changes[i].udata = reinterpret_cast<void*>(watch.data);
      }
      std::array<struct kevent, 2> receipts;
      const timespec at_once{};
      (void)__real_kevent(watch.kernel_fd, changes.data(), 2, receipts.data(), 2, &at_once);
      break;
    }
  }
}

Watch some_watch(int kernel_fd, std::uint64_t random) {
  Numbers& all = numbers();
  const std::lock_guard lock(all.mu);
  std::vector<Watch> watches;
  for (const Number& one : all.known) {
    if (one.watch.kernel != Kernel::kNone && one.watch.kernel_fd == kernel_fd && !one.is_wake) {
      watches.push_back(one.watch);
    }
  }
  return watches.empty() ? Watch{} : watches[random % watches.size()];
}

Where where_of(int fd) {
  {
    Numbers& all = numbers();
    const std::lock_guard lock(all.mu);
    if (fd >= 0 && all.at(fd).is_wake) return kWake;
  }
  int type = 0;
  int family = 0;
  socklen_t size = sizeof(type);
  if (__real_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return kOther;
  size = sizeof(family);
  (void)__real_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  if (family == AF_UNIX) return kUnix;
  return type == SOCK_DGRAM ? kUdp : kTcp;
}

}  // namespace rearm::test::faults
