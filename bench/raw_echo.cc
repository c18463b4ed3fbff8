#include "raw_echo.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

namespace bench {
namespace {

constexpr int kBacklog = 4096;

}  // namespace

void RawEcho::Options::add_to(CLI::App& app) {
  app.add_option("--port", port, "0 chooses one and prints it");
  app.add_option("--message-bytes", message_bytes, "the reads are 4 KiB larger");
  app.add_option("--open-files", open_files, "raise the limit of open files to this");
  app.add_option("--congestion", congestion, "'' leaves the system's default");
}

RawEcho::RawEcho(const Options& options)
    : listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      congestion_(options.congestion),
      buffer_(options.message_bytes + 4096) {
  raise_open_files(options.open_files);
  if (listener_.get() < 0) die_errno("socket");
  set_congestion(listener_.get(), congestion_);
  set_int_option(listener_.get(), SOL_SOCKET, SO_REUSEADDR, 1);
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
}

void RawEcho::announce(const char* backend) const {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    die_errno("getsockname");
  }
  std::printf("listening 127.0.0.1:%u backend=%s workers=1\n", unsigned{ntohs(address.sin_port)},
              backend);
  std::fflush(stdout);
}

int RawEcho::accept_one() {
  for (;;) {
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return -1;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // A rival that refuses connections would be measured doing nothing.
      die_errno("accept4");
    }
    set_int_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    const auto slot = static_cast<std::size_t>(fd);
    if (slot >= connections_.size()) connections_.resize(slot + 1);
    connections_[slot].open = true;
    return fd;
  }
}

bool RawEcho::serve(int fd, bool readable, bool writable, bool until_empty) {
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  if (!connection.open) return true;
  connection.readable |= readable;
  if (serve_open(fd, connection, writable, until_empty)) return true;
  connection = {};
  ::close(fd);
  return false;
}

bool RawEcho::serve_open(int fd, Connection& connection, bool writable, bool until_empty) {
  if (!connection.pending.empty()) {
    if (!writable) return true;
    if (!write_pending(fd, connection)) return false;
    // Whatever arrived while the peer was slow has spent its edge: read until EAGAIN.
    return !connection.pending.empty() || echo(fd, connection, true);
  }
  return !connection.readable || echo(fd, connection, until_empty);
}

bool RawEcho::echo(int fd, Connection& connection, bool until_empty) {
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
    if (!connection.pending.empty()) return true;  // `readable` stays; room to write brings us back
    if (bytes < buffer_.size() && !until_empty) {
      connection.readable = false;
      return true;
    }
  }
}

bool RawEcho::write_or_keep(int fd, Connection& connection, std::size_t bytes) {
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

bool RawEcho::write_pending(int fd, Connection& connection) {
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

}  // namespace bench
