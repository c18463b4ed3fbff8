// The gate, and the calls that either fail or do not. Transfers and waits have files of their own.
#include "faults/syscalls.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <system_error>

#include "faults/real.h"
#include "rearm/runtime.h"

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102
#endif

namespace rearm::test::faults {
namespace {

constinit std::atomic<FaultPlan*> armed{nullptr};
constinit thread_local unsigned depth = 0;

// Most calls: they fail, with or without their effect, or they do not.
template <class Make>
auto make(const Decision& decision, Make make_it) -> decltype(make_it()) {
  if (!decision) return make_it();
  if (decision.is(How::kAfter)) {
    const auto result = make_it();
    if (result < 0) return result;
  }
  errno = decision.fault->error;
  return -1;
}

template <class Make>
auto make(Call call, Where where, Make make_it) -> decltype(make_it()) {
  const Entry entry;
  return make(entry.decide(call, where), make_it);
}

template <class Make>
auto make_for(Call call, int fd, Make make_it) -> decltype(make_it()) {
  const Entry entry;
  return make(entry.decide_for(call, fd), make_it);
}

}  // namespace

Armed::Armed(FaultPlan& plan) { armed.store(&plan); }
Armed::~Armed() { armed.store(nullptr); }

Exempt::Exempt() { ++depth; }
Exempt::~Exempt() { --depth; }
bool is_let_alone() noexcept { return depth != 0; }

Entry::Entry() : outermost_(depth++ == 0), plan_(outermost_ ? armed.load() : nullptr) {}
Entry::~Entry() { --depth; }

Decision Entry::decide(Call call, Where where) const {
  return plan_ == nullptr ? Decision{} : plan_->decide(call, where);
}

Decision Entry::decide_for(Call call, int fd) const {
  return plan_ == nullptr ? Decision{} : plan_->decide(call, where_of(fd));
}

}  // namespace rearm::test::faults

using rearm::test::faults::Call;
using rearm::test::faults::Decision;
using rearm::test::faults::Entry;
using rearm::test::faults::How;
using rearm::test::faults::make;
using rearm::test::faults::make_for;
using rearm::test::faults::Watch;

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names.
extern "C" {

// --- Sockets. ---

int __wrap_accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  const Entry entry;
  const Decision decision = entry.decide_for(Call::k_accept4, fd);
  if (decision.is(How::kLater)) rearm::test::faults::owe_report(fd);
  return make(decision, [&] { return __real_accept4(fd, address, size, flags); });
}

int __wrap_bind(int fd, const sockaddr* address, socklen_t size) {
  return make_for(Call::k_bind, fd, [&] { return __real_bind(fd, address, size); });
}

int __wrap_connect(int fd, const sockaddr* address, socklen_t size) {
  const Entry entry;
  const Decision decision = entry.decide_for(Call::k_connect, fd);
  return make(decision, [&] {
    const int result = __real_connect(fd, address, size);
    // What was begun is what is interrupted.
    return decision && result < 0 && errno == EINPROGRESS ? 0 : result;
  });
}

int __wrap_getpeername(int fd, sockaddr* address, socklen_t* size) {
  return make_for(Call::k_getpeername, fd, [&] { return __real_getpeername(fd, address, size); });
}

int __wrap_getsockname(int fd, sockaddr* address, socklen_t* size) {
  return make_for(Call::k_getsockname, fd, [&] { return __real_getsockname(fd, address, size); });
}

int __wrap_getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
  return make_for(Call::k_getsockopt, fd,
                  [&] { return __real_getsockopt(fd, level, name, value, size); });
}

int __wrap_listen(int fd, int backlog) {
  return make_for(Call::k_listen, fd, [&] { return __real_listen(fd, backlog); });
}

int __wrap_setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
  return make_for(Call::k_setsockopt, fd,
                  [&] { return __real_setsockopt(fd, level, name, value, size); });
}

int __wrap_shutdown(int fd, int how) {
  return make_for(Call::k_shutdown, fd, [&] { return __real_shutdown(fd, how); });
}

int __wrap_socket(int family, int type, int protocol) {
  return make(Call::k_socket, rearm::test::faults::kOther,
              [&] { return __real_socket(family, type, protocol); });
}

int __wrap_socketpair(int family, int type, int protocol, int* fds) {
  return make(Call::k_socketpair, rearm::test::faults::kOther,
              [&] { return __real_socketpair(family, type, protocol, fds); });
}

// --- Numbers. ---

int __wrap_close(int fd) {
  const Entry entry;
  if (entry.is_outermost()) {
    rearm::test::faults::set_watch(fd, {});
    rearm::test::faults::note_wake_number(fd, false);
    rearm::test::faults::forget_reports(fd);
  }
  return make(entry.decide(Call::k_close), [&] { return __real_close(fd); });
}

int __wrap_eventfd(unsigned value, int flags) {
  const Entry entry;
  const int fd = make(entry.decide(Call::k_eventfd), [&] { return __real_eventfd(value, flags); });
  if (entry.is_outermost() && fd >= 0) rearm::test::faults::note_wake_number(fd, true);
  return fd;
}

// All commands that the library has take a number or nothing.
int __wrap_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  return make(Call::k_fcntl, rearm::test::faults::kOther,
              [&] { return __real_fcntl(fd, command, argument); });
}

int __wrap_fstat(int fd, struct stat* status) {
  return make(Call::k_fstat, rearm::test::faults::kOther, [&] { return __real_fstat(fd, status); });
}

int __wrap_stat(const char* path, struct stat* status) {
  return make(Call::k_stat, rearm::test::faults::kOther, [&] { return __real_stat(path, status); });
}

int __wrap_lstat(const char* path, struct stat* status) {
  return make(Call::k_lstat, rearm::test::faults::kOther,
              [&] { return __real_lstat(path, status); });
}

int __wrap_unlink(const char* path) {
  return make(Call::k_unlink, rearm::test::faults::kOther, [&] { return __real_unlink(path); });
}

int __wrap_pipe2(int* fds, int flags) {
  const Entry entry;
  const int result = make(entry.decide(Call::k_pipe2), [&] { return __real_pipe2(fds, flags); });
  if (entry.is_outermost() && result == 0) {
    const bool is_wake = rearm::Runtime::current() == nullptr;
    for (int i = 0; i < 2; ++i) rearm::test::faults::note_wake_number(fds[i], is_wake);
  }
  return result;
}

int __wrap_epoll_create1(int flags) {
  return make(Call::k_epoll_create1, rearm::test::faults::kOther,
              [&] { return __real_epoll_create1(flags); });
}

int __wrap_kqueue() {
  return make(Call::k_kqueue, rearm::test::faults::kOther, [] { return __real_kqueue(); });
}

// --- Event ports; a change tells this kernel nothing that it has to be told again. ---

int __wrap_port_create() {
  return make(Call::k_port_create, rearm::test::faults::kOther,
              [] { return __real_port_create(); });
}

int __wrap_port_associate(int port, int source, uintptr_t object, int events, void* user) {
  const Entry entry;
  const Decision decision = entry.decide(Call::k_port_associate, rearm::test::faults::kAdd);
  const int result =
      make(decision, [&] { return __real_port_associate(port, source, object, events, user); });
  if (entry.is_outermost() && result == 0) {
    const int fd = static_cast<int>(object);
    rearm::test::faults::set_watch(fd, {.kernel = rearm::test::faults::Kernel::kPort,
                                        .kernel_fd = port,
                                        .fd = fd,
                                        .mask = 0,
                                        .data = reinterpret_cast<uintptr_t>(user)});
  }
  return result;
}

int __wrap_port_dissociate(int port, int source, uintptr_t object) {
  const Entry entry;
  if (entry.is_outermost()) rearm::test::faults::set_watch(static_cast<int>(object), {});
  return make(entry.decide(Call::k_port_dissociate, rearm::test::faults::kForget),
              [&] { return __real_port_dissociate(port, source, object); });
}

int __wrap_port_alert(int port, int flags, int events, void* user) {
  return make(Call::k_port_alert,
              events != 0 ? rearm::test::faults::kWake : rearm::test::faults::kOther,
              [&] { return __real_port_alert(port, flags, events, user); });
}

int __wrap_port_send(int port, int events, void* user) {
  return make(Call::k_port_send, rearm::test::faults::kWake,
              [&] { return __real_port_send(port, events, user); });
}

// --- Memory and threads. ---

int __wrap_madvise(void* address, size_t bytes, int advice) {
  return make(
      Call::k_madvise,
      advice == MADV_GUARD_INSTALL ? rearm::test::faults::kGuard : rearm::test::faults::kOther,
      [&] { return __real_madvise(address, bytes, advice); });
}

void* __wrap_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  const Entry entry;
  const Decision decision = entry.decide(Call::k_mmap);
  if (!decision) return __real_mmap(address, bytes, protection, flags, fd, offset);
  errno = decision.fault->error;
  return MAP_FAILED;
}

int __wrap_mprotect(void* address, size_t bytes, int protection) {
  return make(Call::k_mprotect, rearm::test::faults::kOther,
              [&] { return __real_mprotect(address, bytes, protection); });
}

int __wrap_munmap(void* address, size_t bytes) {
  return make(Call::k_munmap, rearm::test::faults::kOther,
              [&] { return __real_munmap(address, bytes); });
}

int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t* set) {
  return make(Call::k_sched_getaffinity, rearm::test::faults::kOther,
              [&] { return __real_sched_getaffinity(pid, bytes, set); });
}

// libc++ calls it from its headers; libstdc++ from inside, see below.
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                          void* argument) {
  const Entry entry;
  const Decision decision = entry.decide(Call::k_pthread_create);
  if (decision) return decision.fault->error;
  return __real_pthread_create(thread, attributes, run, argument);
}
}

#if defined(__GLIBCXX__)

// std::thread::_M_start_thread(), a member: `this` first, and a unique_ptr is passed by reference
// (Itanium C++ ABI, 3.1.2.3). What it points to has a name that is private since GCC 13, and is
// only passed on: void, like the thread itself. It throws when pthread_create() fails.
extern "C" {
void real_start_thread(void* self, void* state, void (*depend)()) asm(
    "__real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EE"
    "PFvvE");
void wrap_start_thread(void* self, void* state, void (*depend)()) asm(
    "__wrap__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EE"
    "PFvvE");

void wrap_start_thread(void* self, void* state, void (*depend)()) {
  const Entry entry;
  if (const Decision decision = entry.decide(Call::k_pthread_create)) {
    throw std::system_error(decision.fault->error, std::generic_category());
  }
  real_start_thread(self, state, depend);
}
}

#endif
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
