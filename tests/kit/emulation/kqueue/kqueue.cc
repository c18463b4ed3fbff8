// The system calls, and which number is which kqueue.
//
// How it works. A kqueue is found by its number in a table and held by a reference while a call is
// inside. The close hook looks at a counter of the number first, so that it costs nothing for
// numbers that no kqueue knows.
//
// fork(). A child has none of its parent's kqueues (kqueue(2)): their numbers answer EBADF there.
// The child gets a table of its own, because the parent's lock may have been held by a thread that
// the child does not have.
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/event.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "emulation/close_hook.h"
#include "emulation/kqueue/knotes.h"

namespace rearm::test::kqueue_emulation {
namespace {

struct Table {
  std::mutex mu;
  std::unordered_map<int, std::shared_ptr<Kqueue>> kqueues;
  Table* parents = nullptr;  // Unreachable would be a leak to those who look for leaks.
};

std::atomic<Table*> table{nullptr};

void on_close(int fd) {
  // At the start of close(), so nothing else happens to this number.
  if (fd < 0 || uses_of(fd).load(std::memory_order_acquire) == 0) return;
  const int saved_errno = errno;
  {
    const SignalsBlocked signals;
    std::vector<std::shared_ptr<Kqueue>> others;
    std::shared_ptr<Kqueue> itself;
    Table& here = *table.load();
    {
      const std::lock_guard lock(here.mu);
      if (const auto found = here.kqueues.find(fd); found != here.kqueues.end()) {
        itself = std::move(found->second);
        here.kqueues.erase(found);
      }
      for (const auto& [number, one] : here.kqueues) others.push_back(one);
    }
    for (const auto& one : others) one->drop_number(fd);
    if (itself != nullptr && itself->quirks().close_wakes_sleepers) itself->shut_down();
  }
  errno = saved_errno;
}

void on_fork_in_child() {
  auto* const fresh = new Table();
  fresh->parents = table.load();
  table.store(fresh);
}

void begin() {
  static std::once_flag once;
  std::call_once(once, [] {
    table.store(new Table());
    add_close_hook(&on_close);
    if (::pthread_atfork(nullptr, nullptr, &on_fork_in_child) != 0) std::abort();
  });
}

std::shared_ptr<Kqueue> find(int kq) {
  Table* const here = table.load();
  if (here == nullptr) return nullptr;
  const std::lock_guard lock(here->mu);
  const auto found = here->kqueues.find(kq);
  return found == here->kqueues.end() ? nullptr : found->second;
}

int open_kqueue() {
  begin();
  const SignalsBlocked signals;
  // Not closed on exec: kqueue() of no system does that unasked.
  const int fd = ::epoll_create1(0);
  if (fd < 0) return -1;
  auto fresh = std::make_shared<Kqueue>(fd);
  if (!fresh->is_sound()) {
    fresh.reset();
    close_without_hooks(fd);
    errno = EMFILE;
    return -1;
  }
  Table& here = *table.load();
  const std::lock_guard lock(here.mu);
  here.kqueues[fd] = std::move(fresh);
  return fd;
}

constexpr std::int64_t kLongestMacosSeconds = std::numeric_limits<std::int32_t>::max();

// When a sleep of that length is over: in the second tick after it, where there are ticks, because
// a part of one has passed already.
std::int64_t end_of(std::int64_t length_ns, std::int64_t tick_ns) {
  const std::int64_t end_ns = monotonic_ns() + length_ns;
  return tick_ns == 0 ? end_ns : (end_ns / tick_ns + 2) * tick_ns;
}

int call(int kq, std::span<const struct kevent> changes, std::span<struct kevent> events,
         const timespec* timeout) {
  const SignalsBlocked signals;
  const std::shared_ptr<Kqueue> kqueue = find(kq);
  if (kqueue == nullptr) {
    errno = EBADF;
    return -1;
  }
  std::optional<std::int64_t> deadline_ns;
  if (timeout != nullptr) {
    const Quirks& quirks = kqueue->quirks();
    const bool is_bad =
        timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= kNsPerSecond;
    if ((is_bad && quirks.bad_timeout_is_invalid) ||
        (timeout->tv_sec > kLongestMacosSeconds && quirks.long_timeout_is_invalid)) {
      errno = EINVAL;
      return -1;
    }
    // Zero must not look at the clock twice and find that none has passed.
    constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max() / 2 / kNsPerSecond;
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0) {
      deadline_ns = 0;
    } else if (timeout->tv_sec < kForEver) {
      deadline_ns =
          end_of(timeout->tv_sec * kNsPerSecond + timeout->tv_nsec, kqueue->quirks().tick_ns);
    }
  }
  // Entries for changes are returned at once, without reports; and who has no room never waits.
  if (const std::optional<int> result = kqueue->apply(changes, events)) return *result;
  if (events.empty()) return 0;
  return kqueue->wait(events, deadline_ns, signals.before());
}

}  // namespace
}  // namespace rearm::test::kqueue_emulation

extern "C" {

int kqueue() { return rearm::test::kqueue_emulation::open_kqueue(); }

int kevent(int kq, const struct kevent* changelist, int nchanges, struct kevent* eventlist,
           int nevents, const struct timespec* timeout) {
  if (nchanges < 0 || nevents < 0) {
    errno = EINVAL;
    return -1;
  }
  return rearm::test::kqueue_emulation::call(kq, {changelist, static_cast<std::size_t>(nchanges)},
                                             {eventlist, static_cast<std::size_t>(nevents)},
                                             timeout);
}
}
