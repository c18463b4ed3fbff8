// Descriptors for tests: owners, connected pairs, and the few system calls that tests make on them.
//
// Everything here is made non-blocking and close-on-exec. A failure to make one ends the test
// program, because nothing that follows would mean anything.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#endif

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace rearm::test {

class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

// Two connected ends. Of a pipe, `a` is the reading end and `b` the writing end.
struct FdPair {
  UniqueFd a;
  UniqueFd b;
};

[[nodiscard]] inline int require(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::abort();
  }
  return result;
}

inline void set_nonblocking_cloexec(int fd) {
  (void)require(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK), "F_SETFL");
  (void)require(::fcntl(fd, F_SETFD, FD_CLOEXEC), "F_SETFD");
}

[[nodiscard]] inline FdPair socket_pair(int type = SOCK_STREAM) {
  int fds[2];
  (void)require(::socketpair(AF_UNIX, type, 0, fds), "socketpair");
  for (const int fd : fds) set_nonblocking_cloexec(fd);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

[[nodiscard]] inline FdPair pipe_pair() {
  int fds[2];
  (void)require(::pipe(fds), "pipe");
  for (const int fd : fds) set_nonblocking_cloexec(fd);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline void make_readable(int fd) {
  const std::uint64_t one = 1;
  if (::write(fd, &one, sizeof(one)) != static_cast<ssize_t>(sizeof(one))) {
    std::perror("write");
    std::abort();
  }
}

// Gives an IPv4 socket a free port on loopback, and returns its address.
[[nodiscard]] inline sockaddr_in bind_to_loopback(int fd) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  (void)require(::bind(fd, any, size), "bind");
  (void)require(::getsockname(fd, any, &size), "getsockname");
  return address;
}

inline void connect_to(int fd, const sockaddr_in& address) {
  (void)require(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
                "connect");
}

// The cheapest descriptor that can be watched: writable, and readable when its value is not zero.
// Where there are no eventfds it is a datagram socket that is its own peer.
[[nodiscard]] inline UniqueFd event_fd(unsigned value = 0) {
#if defined(__linux__)
  return UniqueFd(require(::eventfd(value, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"));
#else
  UniqueFd fd(require(::socket(AF_INET, SOCK_DGRAM, 0), "socket"));
  connect_to(fd.get(), bind_to_loopback(fd.get()));
  set_nonblocking_cloexec(fd.get());
  if (value != 0) make_readable(fd.get());
  return fd;
#endif
}

// A connected pair over loopback: `a` connected, `b` was accepted.
[[nodiscard]] inline FdPair tcp_pair() {
  UniqueFd listener(require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
  const sockaddr_in address = bind_to_loopback(listener.get());
  (void)require(::listen(listener.get(), 1), "listen");
  FdPair pair;
  pair.a = UniqueFd(require(::socket(AF_INET, SOCK_STREAM, 0), "socket"));
  connect_to(pair.a.get(), address);
  pair.b = UniqueFd(require(::accept(listener.get(), nullptr, nullptr), "accept"));
  for (const UniqueFd* fd : {&pair.a, &pair.b}) set_nonblocking_cloexec(fd->get());
  return pair;
}

// Closes with a reset instead of an orderly end.
inline void close_with_reset(UniqueFd fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)require(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), "linger");
}

[[nodiscard]] inline UniqueFd duplicate(int fd) {
  return UniqueFd(require(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "F_DUPFD_CLOEXEC"));
}

[[nodiscard]] inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

// Whether poll(2) calls it readable now.
[[nodiscard]] inline bool is_readable(int fd, int timeout_ms = 0) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN) != 0;
}

inline void send_text(int fd, std::string_view text) {
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::perror("write");
    std::abort();
  }
}

// Writes until the kernel takes no more; returns how many bytes it took.
inline std::size_t fill(int fd) {
  static constexpr std::array<char, 4096> kBlock{};
  std::size_t total = 0;
  for (;;) {
    const ssize_t n = ::write(fd, kBlock.data(), kBlock.size());
    if (n < 0) return total;
    total += static_cast<std::size_t>(n);
  }
}

// Reads until there is nothing more; returns what was there.
inline std::string drain(int fd) {
  std::string text;
  char block[4096];
  for (;;) {
    const ssize_t n = ::read(fd, block, sizeof(block));
    if (n <= 0) return text;
    text.append(block, static_cast<std::size_t>(n));
  }
}

}  // namespace rearm::test
