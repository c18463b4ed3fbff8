// The calls behind the wrappers; see syscalls.h. The linker gives them their names.
#pragma once

// clang-format off: older systems want the types first.
#include <sys/types.h>
#include <sys/event.h>
// clang-format on
#include <poll.h>
#include <port.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "faults/calls.h"

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names.
extern "C" {
int __real_accept4(int, sockaddr*, socklen_t*, int);
int __real_bind(int, const sockaddr*, socklen_t);
int __real_close(int);
int __real_connect(int, const sockaddr*, socklen_t);
int __real_epoll_create1(int);
int __real_epoll_ctl(int, int, int, epoll_event*);
int __real_epoll_pwait2(int, epoll_event*, int, const timespec*, const sigset_t*);
int __real_epoll_wait(int, epoll_event*, int, int);
int __real_eventfd(unsigned, int);
int __real_fcntl(int, int, ...);
int __real_fstat(int, struct stat*);
int __real_getpeername(int, sockaddr*, socklen_t*);
int __real_getsockname(int, sockaddr*, socklen_t*);
int __real_getsockopt(int, int, int, void*, socklen_t*);
int __real_kevent(int, const struct kevent*, int, struct kevent*, int, const timespec*);
int __real_kqueue();
int __real_listen(int, int);
int __real_lstat(const char*, struct stat*);
int __real_madvise(void*, size_t, int);
void* __real_mmap(void*, size_t, int, int, int, off_t);
int __real_mprotect(void*, size_t, int);
int __real_munmap(void*, size_t);
int __real_pipe2(int*, int);
int __real_port_associate(int, int, uintptr_t, int, void*);
int __real_port_create();
int __real_port_dissociate(int, int, uintptr_t);
int __real_port_getn(int, port_event_t*, uint_t, uint_t*, timespec_t*);
int __real_port_alert(int, int, int, void*);
int __real_port_send(int, int, void*);
int __real_ppoll(pollfd*, nfds_t, const timespec*, const sigset_t*);
int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
ssize_t __real_read(int, void*, size_t);
ssize_t __real_readv(int, const iovec*, int);
int __real_recvmmsg(int, mmsghdr*, unsigned, int, timespec*);
ssize_t __real_recvmsg(int, msghdr*, int);
int __real_sched_getaffinity(pid_t, size_t, cpu_set_t*);
ssize_t __real_send(int, const void*, size_t, int);
int __real_sendmmsg(int, mmsghdr*, unsigned, int);
ssize_t __real_sendmsg(int, const msghdr*, int);
ssize_t __real_sendto(int, const void*, size_t, int, const sockaddr*, socklen_t);
int __real_setsockopt(int, int, int, const void*, socklen_t);
int __real_shutdown(int, int);
int __real_socket(int, int, int);
int __real_socketpair(int, int, int, int*);
int __real_stat(const char*, struct stat*);
int __real_unlink(const char*);
ssize_t __real_write(int, const void*, size_t);
ssize_t __real_writev(int, const iovec*, int);

// And those in front of them.
#define REARM_FAULTS_WRAPPER(name) decltype(__real_##name) __wrap_##name;
REARM_FAULTS_CALLS(REARM_FAULTS_WRAPPER)
#undef REARM_FAULTS_WRAPPER
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
