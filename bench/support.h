// What the benchmark programs share: time, limits, sockets, and how they end. Nothing here belongs
// to the library, so that the rival and the load generator can be built without it.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>

#if defined(__clang__)
#define REARM_BENCH_COMPILER "clang " __clang_version__
#else
#define REARM_BENCH_COMPILER "gcc " __VERSION__
#endif

namespace bench {

// Ends the program with a sentence. A measurement that went wrong has no number to give.
[[noreturn]] inline void die(const std::string& sentence) {
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", sentence.c_str());
  std::exit(1);
}

[[noreturn]] inline void die_errno(const std::string& act) {
  die(act + ": " + std::strerror(errno));
}

inline std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Owns a file descriptor. Moved, never copied.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~OwnedFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// Raises the limit of open files to `needed`, the hard limit too where the process may.
inline void raise_open_files(std::uint64_t needed) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die_errno("getrlimit");
  if (limit.rlim_cur >= needed) return;
  const rlim_t old_hard = limit.rlim_max;
  limit.rlim_cur = needed;
  if (limit.rlim_max < needed) limit.rlim_max = needed;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  die("this run needs " + std::to_string(needed) + " open files and the hard limit is " +
      std::to_string(old_hard) + "; raise it (ulimit -Hn) or run as root");
}

// Every socket of a benchmark names its congestion control, because the system's default may cost
// a tenth of the whole echo. Accepted sockets inherit the listener's.
inline void set_congestion(int fd, const std::string& name) {
  if (name.empty()) return;
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) != 0) {
    die_errno("congestion control '" + name + "'");
  }
}

inline void set_int_option(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) die_errno("setsockopt");
}

}  // namespace bench
