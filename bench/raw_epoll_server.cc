// The rival and the floor: a single-threaded echo server written straight on epoll, the fastest
// shape known for it. Each connection is registered once for its whole life, for both directions,
// edge-triggered; a read that fills less than its buffer has drained the socket (the short-read
// rule), so a request costs one read, one write and a share of one epoll_wait.

#include <sys/epoll.h>

#include <array>
#include <cstdint>

#include <CLI/CLI.hpp>

#include "raw_echo.h"
#include "support.h"

namespace {

using bench::die_errno;

constexpr int kEventsBatch = 512;

void add(int epoll, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die_errno("epoll_ctl");
}

void accept_all(int epoll, bench::RawEcho& echo) {
  for (int fd = echo.accept_one(); fd >= 0; fd = echo.accept_one()) {
    add(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

// Serves until SIGTERM or SIGINT.
void run(int epoll, bench::RawEcho& echo) {
  std::array<epoll_event, kEventsBatch> events{};
  for (;;) {
    const int count = epoll_wait(epoll, events.data(), kEventsBatch, -1);
    if (count < 0) {
      if (errno == EINTR) continue;
      die_errno("epoll_wait");
    }
    // A batch holds at most one event for each fd, and an fd is closed only while its own event is
    // served: no later event of the batch can name an earlier life of its number.
    for (int index = 0; index < count; ++index) {
      const auto& event = events[static_cast<std::size_t>(index)];
      const std::uint32_t mask = event.events;
      if (event.data.fd == echo.signals()) return;
      if (event.data.fd == echo.listener()) {
        accept_all(epoll, echo);
      } else {
        const bool broken = (mask & (EPOLLHUP | EPOLLERR)) != 0;
        const bool ending = broken || (mask & EPOLLRDHUP) != 0;
        echo.serve(event.data.fd, (mask & EPOLLIN) != 0 || ending, (mask & EPOLLOUT) != 0 || broken,
                   ending);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::RawEcho::Options options;
  CLI::App app{"Echo server written straight on edge-triggered epoll"};
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);

  bench::RawEcho echo(options);
  const bench::OwnedFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (epoll.get() < 0) die_errno("epoll_create1");
  add(epoll.get(), echo.signals(), EPOLLIN);
  add(epoll.get(), echo.listener(), EPOLLIN | EPOLLET);
  echo.announce("epoll");
  run(epoll.get(), echo);
  return 0;
}
