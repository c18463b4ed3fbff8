// Event ports over Linux: <port.h>, and which port a number names. What a port does is explained in
// event_port_queue.h.
//
// How it works. A registry knows the port of each port's number and, for each number that is
// associated, the ports that know it; so the close of a number (close_hook.h) costs one load when
// the number is nobody's. The registry's lock may be taken inside a port's, never the reverse.
//
// Processes. A child that fork() made starts with an empty registry; the ports that it inherited
// answer as if they were none, except that port_dissociate() says EACCES, because associations
// belong to the process that made them (port_dissociate(3C)). On illumos the child could use them.
//
// What else differs. The close of a duplicate of a port's number takes all associations of the
// process and the alert along (port_close_sourcefd by pid); here it is as good as nothing.
// forkall() and a step of the wall clock end no wait.
#include "emulation/event_port.h"

#include <fcntl.h>
#include <port.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "emulation/close_hook.h"
#include "emulation/event_port_faults.h"
#include "emulation/event_port_queue.h"

namespace rearm::test::event_port {
namespace {

// Which numbers a close must look up. Higher numbers are always looked up.
constexpr std::size_t kMarks = std::size_t{1} << 20;
std::array<std::atomic<bool>, kMarks> marks{};

void mark(int fd, bool value) {
  const auto number = static_cast<std::size_t>(fd);
  if (number < kMarks) marks[number].store(value, std::memory_order_relaxed);
}

bool is_marked(int fd) {
  const auto number = static_cast<std::size_t>(fd);
  return number >= kMarks || marks[number].load(std::memory_order_relaxed);
}

using PortPtr = std::shared_ptr<Port>;

struct Registry {
  std::mutex mu;
  std::unordered_map<int, PortPtr> ports;
  std::unordered_map<int, std::vector<PortPtr>> watchers;
  std::unordered_set<int> inherited;
};

// Never destroyed: threads may close numbers until the very end.
Registry* registry = new Registry;
Registry* of_the_parent = nullptr;  // Kept for leak checkers; nothing in it is to be touched.

void close_hook(int fd);

void before_fork() { registry->mu.lock(); }
void after_fork_in_the_parent() { registry->mu.unlock(); }
void after_fork_in_the_child() {
  of_the_parent = registry;
  registry = new Registry;
  for (const auto& [number, port] : of_the_parent->ports) {
    registry->inherited.insert(number);
    mark(number, false);
  }
  for (const auto& [fd, ports] : of_the_parent->watchers) mark(fd, false);
  of_the_parent->mu.unlock();
}

void start() {
  static std::once_flag once;
  std::call_once(once, [] {
    add_close_hook(close_hook);
    (void)::pthread_atfork(before_fork, after_fork_in_the_parent, after_fork_in_the_child);
  });
}

PortPtr find(int number) {
  const std::scoped_lock lock(registry->mu);
  const auto place = registry->ports.find(number);
  return place == registry->ports.end() ? nullptr : place->second;
}

void watch(int fd, const PortPtr& port) {
  const std::scoped_lock lock(registry->mu);
  registry->watchers[fd].push_back(port);
  mark(fd, true);
}

void unwatch_locked(int fd, const Port* port) {
  const auto place = registry->watchers.find(fd);
  if (place == registry->watchers.end()) return;
  std::erase_if(place->second, [&](const PortPtr& other) { return other.get() == port; });
  if (!place->second.empty()) return;
  registry->watchers.erase(place);
  mark(fd, registry->ports.contains(fd));
}

void unwatch(int fd, const Port* port) {
  const std::scoped_lock lock(registry->mu);
  unwatch_locked(fd, port);
}

void close_port(const PortPtr& port) {
  port->shut();
  const std::vector<int> known = port->known();
  const std::scoped_lock lock(registry->mu);
  for (const int fd : known) unwatch_locked(fd, port.get());
}

void close_hook(int fd) {
  if (fd < 0 || !is_marked(fd)) return;
  const int saved_errno = errno;
  const InProgress progress;
  PortPtr port;
  std::vector<PortPtr> ports;
  {
    const std::scoped_lock lock(registry->mu);
    if (const auto place = registry->watchers.find(fd); place != registry->watchers.end()) {
      ports = std::move(place->second);
      registry->watchers.erase(place);
    }
    if (const auto place = registry->ports.find(fd); place != registry->ports.end()) {
      port = std::move(place->second);
      registry->ports.erase(place);
    }
    mark(fd, false);
  }
  for (const PortPtr& watcher : ports) watcher->forget(fd);
  if (port != nullptr) close_port(port);
  errno = saved_errno;
}

int fail(int error) {
  errno = error;
  return -1;
}

int result_of(int error) { return error == 0 ? 0 : fail(error); }

// (port_associate(3C) and all others) EBADF: not open; EBADFD: not a port.
int no_port(int number) { return fail(::fcntl(number, F_GETFD) < 0 ? EBADF : EBADFD); }

bool is_inherited(int number) {
  const std::scoped_lock lock(registry->mu);
  return registry->inherited.contains(number);
}

struct Deferred {
  int port;
  int events;
  void* user;
};

// Written by signal handlers of this thread only, and by the thread itself.
constexpr std::size_t kDeferred = 16;
thread_local volatile std::sig_atomic_t in_progress = 0;
thread_local volatile std::sig_atomic_t deferred_count = 0;
thread_local std::array<Deferred, kDeferred> deferred;

int send_now(int number, int events, void* user) {
  const PortPtr port = find(number);
  return port == nullptr ? no_port(number) : result_of(port->send(events, user));
}

bool defer(int number, int events, void* user) {
  const auto count = static_cast<std::size_t>(deferred_count);
  if (count == kDeferred) return false;
  deferred[count] = {.port = number, .events = events, .user = user};
  deferred_count = static_cast<std::sig_atomic_t>(count + 1);
  return true;
}

}  // namespace

void enter_progress() { in_progress = in_progress + 1; }

void leave_progress() {
  if (in_progress > 1) {
    in_progress = in_progress - 1;
    return;
  }
  const int saved_errno = errno;
  for (;;) {
    in_progress = 0;
    if (deferred_count == 0) break;
    in_progress = 1;
    // Last come, first served: a handler may add another one at any moment.
    deferred_count = deferred_count - 1;
    const Deferred one = deferred[static_cast<std::size_t>(deferred_count)];
    (void)send_now(one.port, one.events, one.user);
  }
  errno = saved_errno;
}

InProgress::InProgress() { enter_progress(); }
InProgress::~InProgress() { leave_progress(); }

}  // namespace rearm::test::event_port

namespace rearm::test {

bool event_port_knows(int port, int fd) {
  const event_port::InProgress progress;
  const auto found = event_port::find(port);
  return found != nullptr && found->knows(fd);
}

}  // namespace rearm::test

// NOLINTBEGIN(google-build-using-namespace): what follows are the system's names, outside of ours.
using namespace rearm::test;
using namespace rearm::test::event_port;
// NOLINTEND(google-build-using-namespace)

extern "C" {

int port_create() {
  start();
  const InProgress progress;
  {
    const std::scoped_lock lock(registry->mu);
    if (registry->ports.size() >= faults().max_ports) return fail(EAGAIN);
  }
  const PortPtr port = Port::create();
  if (port == nullptr) return -1;
  const std::scoped_lock lock(registry->mu);
  registry->ports[port->number()] = port;
  registry->inherited.erase(port->number());
  mark(port->number(), true);
  return port->number();
}

int port_associate(int number, int source, uintptr_t object, int events, void* user) {
  const InProgress progress;
  const PortPtr port = find(number);
  if (port == nullptr) return no_port(number);
  if (source != PORT_SOURCE_FD) return fail(EINVAL);
  if (object > INT_MAX) return fail(EBADFD);
  const int fd = static_cast<int>(object);
  const AssociateInProgress associating(fd);
  if (event_port_hooks().on_associate) event_port_hooks().on_associate();
  const auto open = keep_from_closing(fd);  // (K) getf: a close that comes now waits.
  bool is_new = false;
  const int error = port->associate(fd, events, user, is_new);
  if (is_new && error == 0) watch(fd, port);
  return result_of(error);
}

int port_dissociate(int number, int source, uintptr_t object) {
  const InProgress progress;
  const PortPtr port = find(number);
  if (port == nullptr) return is_inherited(number) ? fail(EACCES) : no_port(number);
  if (source != PORT_SOURCE_FD) return fail(EINVAL);
  if (object > INT_MAX) return fail(EBADFD);
  const int fd = static_cast<int>(object);
  const auto open = keep_from_closing(fd);
  bool was_known = false;
  note_dissociate(fd);
  const int error = port->dissociate(fd, was_known);
  if (was_known) unwatch(fd, port.get());
  return result_of(error);
}

int port_send(int number, int events, void* user) {
  if (in_progress != 0) return defer(number, events, user) ? 0 : fail(EAGAIN);
  const InProgress progress;
  return send_now(number, events, user);
}

int port_sendn(int ports[], int errors[], uint_t count, int events, void* user) {
  constexpr uint_t kMostPorts = 8192;
  if (count == 0 || count > kMostPorts) return fail(EINVAL);
  const int saved_errno = errno;
  int sent = 0;
  std::vector<int> refusals;
  for (uint_t i = 0; i < count; ++i) {
    refusals.push_back(port_send(ports[i], events, user) == 0 ? 0 : errno);
    sent += refusals.back() == 0 ? 1 : 0;
  }
  // (K) Written only if one has failed; EIO, of which (S) speaks, never leaves the kernel.
  if (static_cast<uint_t>(sent) != count) std::ranges::copy(refusals, errors);
  errno = saved_errno;
  return sent;
}

int port_alert(int number, int flags, int events, void* user) {
  const InProgress progress;
  const PortPtr port = find(number);
  return port == nullptr ? no_port(number) : result_of(port->alert(flags, events, user));
}

int port_getn(int number, port_event_t list[], uint_t max, uint_t* nget, timespec_t* timeout) {
  const InProgress progress;
  const PortPtr port = find(number);
  if (port == nullptr) return no_port(number);
  const Answer answer = port->get({.list = list, .max = max, .minimum = *nget, .timeout = timeout});
  // (K) and libc: the count comes out of a success and of ETIME, and of nothing else.
  if (answer.error == 0 || answer.error == ETIME) *nget = answer.count;
  return result_of(answer.error);
}

int port_get(int number, port_event_t* event, timespec_t* timeout) {
  const InProgress progress;
  const PortPtr port = find(number);
  if (port == nullptr) return no_port(number);
  return result_of(
      port->get({.list = event, .max = 1, .minimum = 1, .timeout = timeout, .is_single = true})
          .error);
}

}  // extern "C"
