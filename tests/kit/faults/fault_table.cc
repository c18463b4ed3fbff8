// Sources: the Linux manual pages of section 2 and 7 (man-pages 6.03), POSIX.1-2024 where they
// leave an error out that other systems have, port_create(3C) and its family of illumos, and
// kqueue(2) of FreeBSD 14. Each row says which where it is not the call's own page.
//
// Left out: errors that only a wrong argument can bring (EBADF, EFAULT, EINVAL, ENOTSOCK): the
// library never passes one, and stops the process where the kernel says so.
#include "faults/fault_table.h"

#include <cerrno>

namespace rearm::test::faults {
namespace {

constexpr Outcome kSilent = Outcome::kTransparent;
constexpr Outcome kSaid = Outcome::kReported;

constexpr Fault instead(int error, Outcome outcome, Where where = kAnywhere) {
  return {error, How::kInstead, outcome, where};
}
constexpr Fault after(int error, Outcome outcome, Where where = kAnywhere) {
  return {error, How::kAfter, outcome, where};
}
// A failure whose error the program has overwritten: see base/errno.h.
constexpr Fault lost(Where where = kAnywhere) { return instead(0, Outcome::kTransparent, where); }

// --- Streams and datagrams. ---

// EAGAIN of a socket: recv(2); of a datagram, select(2) BUGS: it was thrown away for its checksum.
constexpr Fault kRead[] = {
    lost(),
    instead(EINTR, kSilent),
    {EAGAIN, How::kLater, kSilent, kStreams | kUdp | kOther},
    {0, How::kShort, kSilent, kStreams | kOther},
    instead(ECONNRESET, kSaid, kStreams),  // tcp(7), unix(7).
    instead(ETIMEDOUT, kSaid, kTcp),       // tcp(7): keep-alive, or data never acknowledged.
    instead(EHOSTUNREACH, kSaid, kTcp),    // ip(7).
    instead(ENOMEM, kSaid, kSockets),
    instead(EIO, kSaid, kOther),
};
constexpr Fault kReceive[] = {
    lost(),
    instead(EINTR, kSilent),
    {EAGAIN, How::kLater, kSilent, kUdp},
    instead(ECONNREFUSED, kSaid, kUdp),  // udp(7): of an earlier datagram.
    instead(ENOMEM, kSaid, kUdp),
};
// Of several, fewer may go or come than could.
constexpr Fault kReceiveBatch[] = {
    lost(),
    instead(EINTR, kSilent),
    {EAGAIN, How::kLater, kSilent, kUdp},
    {0, How::kShort, kSilent, kUdp},
    instead(ECONNREFUSED, kSaid, kUdp),
    instead(ENOMEM, kSaid, kUdp),
};
constexpr Fault kSendBatch[] = {
    lost(),
    instead(EINTR, kSilent),
    {EAGAIN, How::kLater, kSilent, kUdp},
    {0, How::kShort, kSilent, kUdp},
    instead(ENOBUFS, kSaid, kUdp),
    instead(ENOMEM, kSaid, kUdp),
    instead(EHOSTUNREACH, kSaid, kUdp),
    instead(ECONNREFUSED, kSaid, kUdp),
};
// A wake that finds its counter or pipe full has an edge pending: the byte is there.
constexpr Fault kWrite[] = {
    lost(),
    instead(EINTR, kSilent),
    after(EAGAIN, kSilent, kWake),
    {EAGAIN, How::kLater, kSilent, kOther},
    {0, How::kShort, kSilent, kOther},
    instead(EPIPE, kSaid, kOther),
    instead(EIO, kSaid, kOther),
};
constexpr Fault kSend[] = {
    lost(),
    instead(EINTR, kSilent),
    {EAGAIN, How::kLater, kSilent, kSockets},
    {0, How::kShort, kSilent, kStreams},
    instead(ECONNRESET, kSaid, kStreams),
    instead(EPIPE, kSaid, kStreams),
    instead(ETIMEDOUT, kSaid, kTcp),
    instead(ENOBUFS, kSaid, kSockets),
    instead(ENOMEM, kSaid, kSockets),
    instead(EHOSTUNREACH, kSaid, kTcp | kUdp),
    instead(ECONNREFUSED, kSaid, kUdp),
};

// --- Making sockets. ---

// The second group: what had gone wrong with the connection is told by accept(), and is to be taken
// for "try again" ("Error handling").
constexpr Fault kAccept[] = {
    lost(),
    instead(EINTR, kSilent),
    {EAGAIN, How::kLater, kSilent, kAnywhere},
    instead(ECONNABORTED, kSilent),
    instead(EPROTO, kSilent),
    instead(ENOPROTOOPT, kSilent),
    instead(ENETDOWN, kSilent),
    instead(ENONET, kSilent),
    instead(EHOSTDOWN, kSilent),
    instead(EHOSTUNREACH, kSilent),
    instead(ENETUNREACH, kSilent),
    instead(EMFILE, kSaid),
    instead(ENFILE, kSaid),
    instead(ENOBUFS, kSaid),
    instead(ENOMEM, kSaid),
    instead(EPERM, kSaid),
};
// An interrupted connect goes on by itself (POSIX, connect). A full backlog is EAGAIN (unix(7)).
constexpr Fault kConnect[] = {
    lost(),
    after(EINTR, kSilent),
    instead(EAGAIN, kSilent, kUnix),
    instead(ECONNREFUSED, kSaid, kStreams),
    instead(ETIMEDOUT, kSaid, kTcp),
    instead(ENETUNREACH, kSaid, kTcp | kUdp),
    instead(EADDRNOTAVAIL, kSaid, kTcp),
};
constexpr Fault kSocket[] = {
    lost(),
    instead(EMFILE, kSaid),
    instead(ENFILE, kSaid),
    instead(ENOBUFS, kSaid),
    instead(ENOMEM, kSaid),
    instead(EACCES, kSaid),
};
constexpr Fault kTwoNumbers[] = {lost(), instead(EMFILE, kSaid), instead(ENFILE, kSaid)};
constexpr Fault kBind[] = {lost(), instead(EADDRINUSE, kSaid), instead(EACCES, kSaid),
                           instead(ENOBUFS, kSaid)};
constexpr Fault kListen[] = {lost(), instead(EADDRINUSE, kSaid)};
constexpr Fault kNoBuffers[] = {lost(), instead(ENOBUFS, kSaid)};

// --- Numbers. ---

// close(2), "Dealing with error returns": the number is closed.
constexpr Fault kClose[] = {after(EINTR, kSilent), after(EIO, kSilent), after(ENOSPC, kSilent)};
// fcntl(2) has no error for the flags of an open number; a security module may refuse (Linux,
// security_file_fcntl).
constexpr Fault kFcntl[] = {lost(), instead(EACCES, kSaid)};
constexpr Fault kFstat[] = {lost(), instead(ENOMEM, kSaid)};
constexpr Fault kLstat[] = {lost(), instead(ENOMEM, kSaid), instead(EACCES, kSaid)};
constexpr Fault kUnlink[] = {lost(), instead(EACCES, kSaid), instead(EROFS, kSaid),
                             after(ENOENT, kSilent)};
constexpr Fault kStat[] = {instead(ENOMEM, kSilent)};

// --- The kernel's reports. ---

constexpr Fault kEpollCreate[] = {lost(), instead(EMFILE, kSaid), instead(ENFILE, kSaid),
                                  instead(ENOMEM, kSaid)};
constexpr Fault kEpollCtl[] = {lost(), instead(ENOMEM, kSaid, kAdd), instead(ENOSPC, kSaid, kAdd),
                               after(ENOENT, kSilent, kForget)};
constexpr Fault kEpollWait[] = {lost(),
                                instead(EINTR, kSilent),
                                {0, How::kDelay, kSilent, kAnywhere},
                                {0, How::kRepeat, kSilent, kAnywhere}};
// ENOSYS before Linux 5.11; EPERM where a filter refuses what it does not know.
constexpr Fault kEpollPwait[] = {lost(),
                                 instead(EINTR, kSilent),
                                 {0, How::kDelay, kSilent, kAnywhere},
                                 {0, How::kRepeat, kSilent, kAnywhere},
                                 instead(ENOSYS, kSilent),
                                 instead(EPERM, kSilent)};
constexpr Fault kPpoll[] = {lost(),
                            instead(EINTR, kSilent),
                            instead(ENOMEM, kSilent),
                            instead(EAGAIN, kSilent),  // NOTES: on other systems.
                            {0, How::kDelay, kSilent, kAnywhere},
                            {0, How::kRepeat, kSilent, kAnywhere}};
// ERRORS: with EINTR all changes have been applied. ETIMEDOUT: golang/go#59679.
constexpr Fault kKevent[] = {after(EINTR, kSilent, kAdd | kForget | kWake),
                             instead(ENOMEM, kSaid, kAdd),
                             instead(EINTR, kSilent, kWait),
                             instead(ETIMEDOUT, kSilent, kWait),
                             {0, How::kDelay, kSilent, kWait},
                             {0, How::kRepeat, kSilent, kWait}};
constexpr Fault kKqueue[] = {instead(EMFILE, kSaid), instead(ENFILE, kSaid),
                             instead(ENOMEM, kSaid)};
constexpr Fault kPortCreate[] = {instead(EAGAIN, kSaid), instead(EMFILE, kSaid)};
constexpr Fault kPortAssociate[] = {instead(EAGAIN, kSaid), instead(ENOMEM, kSaid)};
constexpr Fault kPortDissociate[] = {after(ENOENT, kSilent)};
// Somebody else has set the alert already.
constexpr Fault kPortAlert[] = {after(EBUSY, kSilent, kWake)};
constexpr Fault kPortSend[] = {instead(EAGAIN, kSilent), instead(ENOMEM, kSilent)};
constexpr Fault kPortGetn[] = {instead(EINTR, kSilent),
                               instead(ETIME, kSilent, kTimed),
                               {0, How::kDelay, kSilent, kAnywhere},
                               {0, How::kRepeat, kSilent, kAnywhere}};

// --- Memory and threads. ---

constexpr Fault kMmap[] = {instead(ENOMEM, kSaid), instead(EAGAIN, kSaid)};
// A guard that is refused is a stack that is not had; a kernel that does not know it says EINVAL.
constexpr Fault kMadvise[] = {instead(ENOMEM, kSaid, kGuard), instead(EINVAL, kSilent, kGuard),
                              instead(ENOMEM, kSilent, kOther), instead(EAGAIN, kSilent, kOther)};
constexpr Fault kMprotect[] = {instead(ENOMEM, kSaid), instead(EACCES, kSaid)};
constexpr Fault kMunmap[] = {after(ENOMEM, kSilent)};
constexpr Fault kThread[] = {instead(EAGAIN, kSaid)};
constexpr Fault kAffinity[] = {instead(EINVAL, kSilent)};  // More processors than the set has room.

}  // namespace

std::span<const Fault> faults_of(Call call) {
  switch (call) {
    case Call::k_accept4: return kAccept;
    case Call::k_bind: return kBind;
    case Call::k_close: return kClose;
    case Call::k_connect: return kConnect;
    case Call::k_epoll_create1:
    case Call::k_eventfd: return kEpollCreate;
    case Call::k_epoll_ctl: return kEpollCtl;
    case Call::k_epoll_pwait2: return kEpollPwait;
    case Call::k_epoll_wait: return kEpollWait;
    case Call::k_fcntl: return kFcntl;
    case Call::k_fstat: return kFstat;
    case Call::k_getpeername:
    case Call::k_getsockname:
    case Call::k_getsockopt:
    case Call::k_setsockopt:
    case Call::k_shutdown: return kNoBuffers;  // POSIX.
    case Call::k_kevent: return kKevent;
    case Call::k_kqueue: return kKqueue;
    case Call::k_listen: return kListen;
    case Call::k_lstat: return kLstat;
    case Call::k_madvise: return kMadvise;
    case Call::k_mmap: return kMmap;
    case Call::k_mprotect: return kMprotect;
    case Call::k_munmap: return kMunmap;
    case Call::k_pipe2:
    case Call::k_socketpair: return kTwoNumbers;
    case Call::k_port_alert: return kPortAlert;
    case Call::k_port_associate: return kPortAssociate;
    case Call::k_port_create: return kPortCreate;
    case Call::k_port_dissociate: return kPortDissociate;
    case Call::k_port_getn: return kPortGetn;
    case Call::k_port_send: return kPortSend;
    case Call::k_ppoll: return kPpoll;
    case Call::k_pthread_create: return kThread;
    case Call::k_read:
    case Call::k_readv: return kRead;
    case Call::k_recvmmsg: return kReceiveBatch;
    case Call::k_recvmsg: return kReceive;
    case Call::k_sched_getaffinity: return kAffinity;
    case Call::k_sendmmsg: return kSendBatch;
    case Call::k_send:
    case Call::k_sendmsg:
    case Call::k_sendto: return kSend;
    case Call::k_socket: return kSocket;
    case Call::k_stat: return kStat;
    case Call::k_unlink: return kUnlink;
    case Call::k_write:
    case Call::k_writev: return kWrite;
    case Call::kCount: break;
  }
  return {};
}

}  // namespace rearm::test::faults
