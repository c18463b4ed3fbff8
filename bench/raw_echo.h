// What the raw servers share: the listener, and the echo of one connection. How a server learns
// that a connection is ready is its own affair.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "support.h"

namespace bench {

class RawEcho {
 public:
  struct Options {
    std::uint16_t port = 0;
    std::size_t message_bytes = 64;
    std::size_t open_files = 1024;
    std::string congestion = "reno";

    void add_to(CLI::App& app);
  };

  // Listens, and blocks SIGTERM and SIGINT in favour of signals().
  explicit RawEcho(const Options& options);

  // Says on which port the server listens, as the load generator's harness expects it.
  void announce(const char* backend) const;

  [[nodiscard]] int listener() const { return listener_.get(); }
  [[nodiscard]] int signals() const { return signals_.get(); }

  // The next connection of the queue, or -1.
  int accept_one();

  // Reads and writes as far as that goes: until a read is short or, if `until_empty`, until EAGAIN.
  // Returns false when the connection is over and closed.
  bool serve(int fd, bool readable, bool writable, bool until_empty);

  // Whether there is something to write that did not fit, and hence nothing will be read.
  [[nodiscard]] bool has_pending(int fd) const {
    return !connections_[static_cast<std::size_t>(fd)].pending.empty();
  }

 private:
  struct Connection {
    std::vector<char> pending;       // read but not yet written; empty but for a slow peer
    std::size_t pending_offset = 0;  // how much of it is written
    bool open = false;
    bool readable = false;  // a report came while `pending` was in the way
  };

  bool serve_open(int fd, Connection& connection, bool writable, bool until_empty);
  bool echo(int fd, Connection& connection, bool until_empty);
  bool write_or_keep(int fd, Connection& connection, std::size_t bytes);
  bool write_pending(int fd, Connection& connection);

  OwnedFd listener_;
  OwnedFd signals_;
  std::string congestion_;
  std::vector<Connection> connections_;  // by fd
  // Larger than a message, so that a read of one message is always a short read.
  std::vector<char> buffer_;
};

}  // namespace bench
