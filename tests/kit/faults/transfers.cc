// The calls that move bytes: they fail, say "not now", or move fewer bytes than they were asked to.
#include <cerrno>
#include <cstddef>
#include <span>

#include "faults/real.h"
#include "faults/syscalls.h"

namespace rearm::test::faults {
namespace {

// How many of `bytes` a short transfer moves: at least one, and fewer than all if that can be.
std::size_t fewer(const Decision& decision, std::size_t bytes) {
  return bytes <= 1 ? bytes : 1 + decision.random % (bytes - 1);
}

// `whole` makes the call, `part` makes it for some bytes of its first buffer that has any.
template <class Whole, class Part>
ssize_t transfer(const Decision& decision, int fd, std::span<const iovec> buffers, Whole whole,
                 Part part) {
  if (!decision) return whole();
  switch (decision.fault->how) {
    case How::kShort: {
      for (const iovec& buffer : buffers) {
        if (buffer.iov_len == 0) continue;
        const ssize_t n = part(buffer.iov_base, fewer(decision, buffer.iov_len));
        const int error = errno;
        owe_report(fd);
        errno = error;
        return n;
      }
      return whole();
    }
    case How::kAfter: {
      const ssize_t n = whole();
      if (n < 0) return n;
      break;
    }
    case How::kLater: owe_report(fd); break;
    default: break;
  }
  errno = decision.fault->error;
  return -1;
}

}  // namespace
}  // namespace rearm::test::faults

using rearm::test::faults::Call;
using rearm::test::faults::Decision;
using rearm::test::faults::Entry;
using rearm::test::faults::How;
using rearm::test::faults::transfer;

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names.
extern "C" {

ssize_t __wrap_read(int fd, void* data, size_t bytes) {
  const Entry entry;
  const iovec buffer{.iov_base = data, .iov_len = bytes};
  return transfer(
      entry.decide_for(Call::k_read, fd), fd, {&buffer, 1},
      [&] { return __real_read(fd, data, bytes); },
      [&](void* part, size_t n) { return __real_read(fd, part, n); });
}

ssize_t __wrap_readv(int fd, const iovec* vectors, int count) {
  const Entry entry;
  return transfer(
      entry.decide_for(Call::k_readv, fd), fd, {vectors, static_cast<size_t>(count)},
      [&] { return __real_readv(fd, vectors, count); },
      [&](void* part, size_t n) { return __real_read(fd, part, n); });
}

ssize_t __wrap_write(int fd, const void* data, size_t bytes) {
  const Entry entry;
  const iovec buffer{.iov_base = const_cast<void*>(data), .iov_len = bytes};
  return transfer(
      entry.decide_for(Call::k_write, fd), fd, {&buffer, 1},
      [&] { return __real_write(fd, data, bytes); },
      [&](void* part, size_t n) { return __real_write(fd, part, n); });
}

ssize_t __wrap_writev(int fd, const iovec* vectors, int count) {
  const Entry entry;
  return transfer(
      entry.decide_for(Call::k_writev, fd), fd, {vectors, static_cast<size_t>(count)},
      [&] { return __real_writev(fd, vectors, count); },
      [&](void* part, size_t n) { return __real_write(fd, part, n); });
}

ssize_t __wrap_send(int fd, const void* data, size_t bytes, int flags) {
  const Entry entry;
  const iovec buffer{.iov_base = const_cast<void*>(data), .iov_len = bytes};
  return transfer(
      entry.decide_for(Call::k_send, fd), fd, {&buffer, 1},
      [&] { return __real_send(fd, data, bytes, flags); },
      [&](void* part, size_t n) { return __real_send(fd, part, n, flags); });
}

ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  const Entry entry;
  return transfer(
      entry.decide_for(Call::k_sendmsg, fd), fd, {message->msg_iov, message->msg_iovlen},
      [&] { return __real_sendmsg(fd, message, flags); },
      [&](void* part, size_t n) { return __real_send(fd, part, n, flags); });
}

// Datagrams are never cut.

ssize_t __wrap_sendto(int fd, const void* data, size_t bytes, int flags, const sockaddr* to,
                      socklen_t size) {
  const Entry entry;
  return transfer(
      entry.decide_for(Call::k_sendto, fd), fd, {},
      [&] { return __real_sendto(fd, data, bytes, flags, to, size); },
      [](void*, size_t) -> ssize_t { return -1; });
}

ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  const Entry entry;
  return transfer(
      entry.decide_for(Call::k_recvmsg, fd), fd, {},
      [&] { return __real_recvmsg(fd, message, flags); },
      [](void*, size_t) -> ssize_t { return -1; });
}

// A batch may be shorter than it could be.

int __wrap_sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  const Entry entry;
  const Decision decision = entry.decide_for(Call::k_sendmmsg, fd);
  const auto most = decision.is(How::kShort)
                        ? static_cast<unsigned>(rearm::test::faults::fewer(decision, count))
                        : count;
  return static_cast<int>(transfer(
      decision, fd, {}, [&] { return ssize_t{__real_sendmmsg(fd, messages, most, flags)}; },
      [](void*, size_t) -> ssize_t { return -1; }));
}

int __wrap_recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const Entry entry;
  const Decision decision = entry.decide_for(Call::k_recvmmsg, fd);
  const auto most = decision.is(How::kShort)
                        ? static_cast<unsigned>(rearm::test::faults::fewer(decision, count))
                        : count;
  return static_cast<int>(transfer(
      decision, fd, {},
      [&] { return ssize_t{__real_recvmmsg(fd, messages, most, flags, timeout)}; },
      [](void*, size_t) -> ssize_t { return -1; }));
}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
