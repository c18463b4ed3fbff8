// The rival of the poll(2) backend: a single-threaded echo server written straight on poll. The set
// is kept from call to call; a connection is asked about reading or, while something did not fit,
// about writing, so a request costs one read, one write and a share of one poll.

#include <poll.h>

#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "raw_echo.h"
#include "support.h"

namespace {

using bench::die_errno;

constexpr std::size_t kFirstConnection = 2;  // After the signals and the listener.

// Serves until SIGTERM or SIGINT.
void run(bench::RawEcho& echo) {
  std::vector<pollfd> fds = {{.fd = echo.signals(), .events = POLLIN, .revents = 0},
                             {.fd = echo.listener(), .events = POLLIN, .revents = 0}};
  for (;;) {
    int reports = poll(fds.data(), fds.size(), -1);
    if (reports < 0) {
      if (errno == EINTR) continue;
      die_errno("poll");
    }
    if (fds[0].revents != 0) return;
    const bool accepts = std::exchange(fds[1].revents, short{0}) != 0;
    reports -= accepts ? 1 : 0;
    // Backwards, so that the last one, which takes the place of one that is over, has been served.
    for (std::size_t i = fds.size(); i-- > kFirstConnection && reports > 0;) {
      const short mask = std::exchange(fds[i].revents, short{0});
      if (mask == 0) continue;
      --reports;
      const int fd = fds[i].fd;
      const bool broken = (mask & (POLLHUP | POLLERR)) != 0;
      if (echo.serve(fd, (mask & POLLIN) != 0 || broken, (mask & POLLOUT) != 0 || broken, false)) {
        fds[i].events = echo.has_pending(fd) ? POLLOUT : POLLIN;
      } else {
        fds[i] = fds.back();
        fds.pop_back();
      }
    }
    if (!accepts) continue;
    for (int fd = echo.accept_one(); fd >= 0; fd = echo.accept_one()) {
      fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::RawEcho::Options options;
  CLI::App app{"Echo server written straight on poll"};
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);

  bench::RawEcho echo(options);
  echo.announce("poll");
  run(echo);
  return 0;
}
