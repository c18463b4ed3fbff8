// How it works. A filter is run by poll(2) with no timeout, and its answer is put into the words of
// a BSD: filt_soread and filt_sowrite in uipc_socket.c, filt_piperead and filt_pipewrite in
// sys_pipe.c. Where Linux and the BSDs disagree it says so below.
//
// What differs. `fflags` stays 0 at the end of a socket: Linux forgets SO_ERROR when it is read,
// and it is the program's to read. One's own shutdown() of the sending side is no EV_EOF on Linux.
// A pipe is writable when Linux says so, not from PIPE_BUF bytes on. On macOS both ends of a FIFO
// are one file, so that EVFILT_READ on the writing end tells of what the reader has not taken yet.
#include "emulation/kqueue/filters.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef SIOCOUTQ
#define SIOCOUTQ TIOCOUTQ
#endif

namespace rearm::test::kqueue_emulation {
namespace {

unsigned poll_now(int fd, short wanted) {
  pollfd entry{.fd = fd, .events = wanted, .revents = 0};
  (void)::poll(&entry, 1, 0);
  return static_cast<unsigned>(entry.revents);
}

// Linux calls a socket that was never connected writable and hung up; a BSD waits for the
// connection (filt_sowrite: SS_ISCONNECTED). One that had a connection says POLLRDHUP as well.
bool is_unconnected(FileKind kind, unsigned seen) {
  return kind == FileKind::kStream && (seen & POLLHUP) != 0 && (seen & (POLLRDHUP | POLLERR)) == 0;
}

int socket_option(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

// The number of connections that a listening socket holds ready; Unix sockets do not tell.
std::int64_t backlog(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 1;
  return info.tcpi_unacked;
}

std::int64_t bytes_to_read(int fd, FileKind kind) {
  int bytes = 0;
  if (::ioctl(fd, FIONREAD, &bytes) == 0) return bytes;
  // Sockets refuse when they listen; an eventfd always does, and holds a value.
  if (kind == FileKind::kStream) return backlog(fd);
  return kind == FileKind::kOther ? 1 : 0;
}

std::int64_t room_to_write(int fd, FileKind kind) {
  int bytes = 0;
  switch (kind) {
    case FileKind::kPipe:
    case FileKind::kFifo:
      (void)::ioctl(fd, FIONREAD, &bytes);
      return ::fcntl(fd, F_GETPIPE_SZ) - bytes;
    case FileKind::kStream:
    case FileKind::kDatagram:
      (void)::ioctl(fd, SIOCOUTQ, &bytes);
      return socket_option(fd, SO_SNDBUF) - bytes;
    case FileKind::kOther: return 1;
  }
  return 0;
}

bool is_open_for(int fd, int mode) { return (::fcntl(fd, F_GETFL) & O_ACCMODE) == mode; }

// Whether the filter was attached to the end that is not its own, and never reports there. Ends of
// pipe(2) are open for both on most systems (sys_pipe.c, pipe_kqfilter).
bool is_silent(int fd, FileKind kind, int other_way, const Quirks& quirks) {
  if (kind == FileKind::kFifo) return quirks.fifo_is_one_way && is_open_for(fd, other_way);
  return kind == FileKind::kPipe && quirks.pipe_wrong_end_is_silent && is_open_for(fd, other_way);
}

int refusal_of_wrong_end(int fd, FileKind kind, int other_way, const Quirks& quirks) {
  if (kind != FileKind::kPipe && kind != FileKind::kFifo) return 0;
  if (!is_open_for(fd, other_way)) return 0;
  return kind == FileKind::kPipe ? quirks.pipe_wrong_end_error : quirks.fifo_wrong_end_error;
}

}  // namespace

FileKind kind_of(int fd) {
  struct stat status{};
  (void)::fstat(fd, &status);
  if (S_ISFIFO(status.st_mode)) {
    struct statfs where{};
    (void)::fstatfs(fd, &where);
    return where.f_type == PIPEFS_MAGIC ? FileKind::kPipe : FileKind::kFifo;
  }
  if (!S_ISSOCK(status.st_mode)) return FileKind::kOther;
  return socket_option(fd, SO_TYPE) == SOCK_DGRAM ? FileKind::kDatagram : FileKind::kStream;
}

Reading run_read(int fd, FileKind kind, bool listened, const Quirks& quirks) {
  // so_rcv, at which filt_soread looks, holds nothing when the socket listens.
  if (quirks.listen_is_seen_at_attach && !listened && is_listening(fd, kind)) return {};
  if (is_silent(fd, kind, O_WRONLY, quirks)) return {};
  const unsigned seen = poll_now(fd, POLLIN | POLLRDHUP);
  if ((seen & POLLNVAL) != 0 || is_unconnected(kind, seen)) return {};
  Reading reading;
  reading.active = (seen & (POLLIN | POLLHUP | POLLERR | POLLRDHUP)) != 0;
  if (!reading.active) return {};
  reading.end = (seen & (POLLHUP | POLLRDHUP)) != 0;
  if (kind == FileKind::kFifo && quirks.fifo_has_no_end && (seen & POLLIN) == 0) return {};
  const bool is_pipe = kind == FileKind::kPipe || kind == FileKind::kFifo;
  if (is_pipe && (seen & POLLERR) != 0) {
    // The writing end without a reader: filt_piperead reports the end, and nothing to read.
    reading.end = true;
  } else {
    reading.data = bytes_to_read(fd, kind);
  }
  return reading;
}

Reading run_write(int fd, FileKind kind, const Quirks& quirks) {
  if (is_silent(fd, kind, O_RDONLY, quirks)) return {};
  const unsigned seen = poll_now(fd, POLLOUT | POLLRDHUP);
  if ((seen & POLLNVAL) != 0 || is_unconnected(kind, seen)) return {};
  Reading reading;
  reading.end = (seen & (POLLERR | POLLHUP)) != 0;
  const bool is_pipe = kind == FileKind::kPipe || kind == FileKind::kFifo;
  if (is_pipe && reading.end && quirks.pipe_end_is_read) return {};
  if (kind == FileKind::kFifo) {
    if (quirks.fifo_has_no_end) reading.end = false;
    if (quirks.fifo_writer_is_deaf) reading.end = true;  // SS_CANTSENDMORE on the reader's socket.
  }
  reading.active = (seen & POLLOUT) != 0 || reading.end;
  if (reading.active) reading.data = room_to_write(fd, kind);
  return reading;
}

int refusal_of_read(int fd, FileKind kind, const Quirks& quirks) {
  return refusal_of_wrong_end(fd, kind, O_WRONLY, quirks);
}

int refusal_of_write(int fd, FileKind kind, const Quirks& quirks) {
  if (const int error = refusal_of_wrong_end(fd, kind, O_RDONLY, quirks)) return error;
  if (kind != FileKind::kPipe && kind != FileKind::kFifo) return 0;
  const bool is_broken = (poll_now(fd, POLLOUT) & POLLERR) != 0;  // It writes, and nobody reads.
  if (!is_broken) return 0;
  return kind == FileKind::kPipe ? quirks.broken_pipe_error : quirks.broken_fifo_error;
}

bool is_listening(int fd, FileKind kind) {
  return kind == FileKind::kStream && socket_option(fd, SO_ACCEPTCONN) != 0;
}

}  // namespace rearm::test::kqueue_emulation
