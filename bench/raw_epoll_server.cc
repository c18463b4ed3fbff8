// The rival and the floor: a single-threaded echo server written straight on epoll, the fastest
// shape known for it. Each connection is registered once for its whole life, for both directions,
// edge-triggered; a read that fills less than its buffer has drained the socket (the short-read
// rule), so a request costs one read, one write and a share of one epoll_wait.

#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "support.h"

namespace {

using bench::die_errno;
using bench::OwnedFd;

constexpr int kEventsBatch = 512;
constexpr int kBacklog = 4096;

struct Options {
  std::uint16_t port = 0;
  std::size_t message_bytes = 64;
  std::size_t open_files = 1024;
  std::string congestion = "reno";
};

struct Connection {
  std::vector<char> pending;       // read but not yet written; empty but for a slow peer
  std::size_t pending_offset = 0;  // how much of it is written
  bool open = false;
  bool readable = false;  // an edge came while `pending` was in the way
};

class Server {
 public:
  explicit Server(const Options& options);
  // Serves until SIGTERM or SIGINT.
  void run();
  [[nodiscard]] std::uint16_t port() const;

 private:
  void add(int fd, std::uint32_t events);
  void accept_all();
  void serve(int fd, std::uint32_t events);
  // Reads and writes until the socket is drained; false when the connection is over.
  bool echo(int fd, Connection& connection, bool until_empty);
  // Writes at once; keeps what does not fit. False when the connection is over.
  bool write_or_keep(int fd, Connection& connection, std::size_t bytes);
  bool write_pending(int fd, Connection& connection);
  void close_connection(int fd);

  OwnedFd epoll_;
  OwnedFd listener_;
  OwnedFd signals_;
  std::string congestion_;
  std::vector<Connection> connections_;  // by fd
  // Larger than a message, so that a read of one message is always a short read.
  std::vector<char> buffer_;
};

Server::Server(const Options& options)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      congestion_(options.congestion),
      buffer_(options.message_bytes + 4096) {
  if (epoll_.get() < 0) die_errno("epoll_create1");
  if (listener_.get() < 0) die_errno("socket");
  bench::set_congestion(listener_.get(), congestion_);
  bench::set_int_option(listener_.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    die_errno("bind");
  }
  if (listen(listener_.get(), kBacklog) != 0) die_errno("listen");

  sigset_t stop{};
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  if (sigprocmask(SIG_BLOCK, &stop, nullptr) != 0) die_errno("sigprocmask");
  signals_ = OwnedFd(signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC));
  if (signals_.get() < 0) die_errno("signalfd");

  add(signals_.get(), EPOLLIN);
  add(listener_.get(), EPOLLIN | EPOLLET);
}

std::uint16_t Server::port() const {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    die_errno("getsockname");
  }
  return ntohs(address.sin_port);
}

void Server::add(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) die_errno("epoll_ctl");
}

void Server::run() {
  std::array<epoll_event, kEventsBatch> events{};
  for (;;) {
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsBatch, -1);
    if (count < 0) {
      if (errno == EINTR) continue;
      die_errno("epoll_wait");
    }
    // A batch holds at most one event for each fd, and an fd is closed only while its own event is
    // served: no later event of the batch can name an earlier life of its number.
    for (int index = 0; index < count; ++index) {
      const auto& event = events[static_cast<std::size_t>(index)];
      if (event.data.fd == signals_.get()) return;
      if (event.data.fd == listener_.get()) {
        accept_all();
      } else {
        serve(event.data.fd, event.events);
      }
    }
  }
}

void Server::accept_all() {
  for (;;) {
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // A rival that refuses connections would be measured doing nothing.
      die_errno("accept4");
    }
    bench::set_int_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    const auto slot = static_cast<std::size_t>(fd);
    if (slot >= connections_.size()) connections_.resize(slot + 1);
    connections_[slot].open = true;
    add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

void Server::serve(int fd, std::uint32_t events) {
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  if (!connection.open) return;
  const bool ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLIN) != 0 || ending) connection.readable = true;
  if (!connection.pending.empty()) {
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0) return;
    if (!write_pending(fd, connection)) return close_connection(fd);
    if (!connection.pending.empty()) return;
    // Whatever arrived while the peer was slow has spent its edge: read until EAGAIN.
    if (!echo(fd, connection, true)) close_connection(fd);
    return;
  }
  if (connection.readable && !echo(fd, connection, ending)) close_connection(fd);
}

bool Server::echo(int fd, Connection& connection, bool until_empty) {
  for (;;) {
    const ssize_t result = read(fd, buffer_.data(), buffer_.size());
    if (result < 0) {
      if (errno == EINTR) continue;
      connection.readable = false;
      return errno == EAGAIN;
    }
    if (result == 0) return false;
    const auto bytes = static_cast<std::size_t>(result);
    if (!write_or_keep(fd, connection, bytes)) return false;
    if (!connection.pending.empty()) return true;  // `readable` stays; EPOLLOUT brings us back
    if (bytes < buffer_.size() && !until_empty) {
      connection.readable = false;
      return true;
    }
  }
}

bool Server::write_or_keep(int fd, Connection& connection, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t result = send(fd, buffer_.data() + done, bytes - done, MSG_NOSIGNAL);
    if (result < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return false;
      connection.pending.assign(buffer_.data() + done, buffer_.data() + bytes);
      connection.pending_offset = 0;
      return true;
    }
    done += static_cast<std::size_t>(result);
  }
  return true;
}

bool Server::write_pending(int fd, Connection& connection) {
  while (connection.pending_offset < connection.pending.size()) {
    const ssize_t result =
        send(fd, connection.pending.data() + connection.pending_offset,
             connection.pending.size() - connection.pending_offset, MSG_NOSIGNAL);
    if (result < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN;
    }
    connection.pending_offset += static_cast<std::size_t>(result);
  }
  connection.pending = {};
  return true;
}

void Server::close_connection(int fd) {
  connections_[static_cast<std::size_t>(fd)] = {};
  ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Echo server written straight on edge-triggered epoll"};
  app.add_option("--port", options.port, "0 chooses one and prints it");
  app.add_option("--message-bytes", options.message_bytes, "the reads are 4 KiB larger");
  app.add_option("--open-files", options.open_files, "raise the limit of open files to this");
  app.add_option("--congestion", options.congestion, "'' leaves the system's default");
  CLI11_PARSE(app, argc, argv);

  bench::raise_open_files(options.open_files);
  Server server(options);
  std::printf("listening 127.0.0.1:%u backend=epoll workers=1\n", unsigned{server.port()});
  std::fflush(stdout);
  server.run();
  return 0;
}
