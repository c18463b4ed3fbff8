// Unix stream sockets. See fd.h for what all operations have in common.
#pragma once

#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/socket.h"

namespace rearm {

class UnixStream : public StreamSocket {
 public:
  UnixStream() noexcept = default;

  // Takes ownership of a connected Unix stream socket; see Fd::adopt().
  [[nodiscard]] static Result<UnixStream> adopt(int fd);
  [[nodiscard]] static Result<UnixStream> adopt(int fd, Runtime& runtime);

  // Connects to SocketAddress::unix_path(). Parks while the listener's backlog is full, or blocks a
  // plain thread: the kernel does not say when there is room, so that wait looks again, at first
  // after 1 ms, then when it has waited a quarter longer than it had before, and each 100 ms at
  // least. (Linux; other systems say ECONNREFUSED at once.)
  // Errors: ENOENT, ECONNREFUSED, EACCES and the like, as connect(2) has them.
  [[nodiscard]] static Result<UnixStream> connect(const SocketAddress& address,
                                                  Deadline deadline = {});
  [[nodiscard]] static Result<UnixStream> connect(const SocketAddress& address, Runtime& runtime,
                                                  Deadline deadline = {});

  // Two that are connected to each other.
  [[nodiscard]] static Result<std::pair<UnixStream, UnixStream>> pair();
  [[nodiscard]] static Result<std::pair<UnixStream, UnixStream>> pair(Runtime& runtime);

 private:
  friend class UnixListener;
  explicit UnixStream(Fd fd) noexcept : StreamSocket(std::move(fd)) {}
};

// Closing a listener leaves its path in the file system; binding to a path that exists is
// EADDRINUSE. Whoever owns the path removes it.
class UnixListener : public Listener {
 public:
  struct Options {
    int backlog = 4096;
  };

  UnixListener() noexcept = default;

  // Errors: EADDRINUSE, EACCES, ENOENT and the like; kInvalidArgument (a negative backlog). Never
  // parks.
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address,
                                                 const Options& options);
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address) {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address, Runtime& runtime,
                                                 const Options& options);
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address, Runtime& runtime) {
    return bind(address, runtime, Options{});
  }
  [[nodiscard]] static Result<UnixListener> adopt(int fd);
  [[nodiscard]] static Result<UnixListener> adopt(int fd, Runtime& runtime);

  // See TcpListener::accept().
  [[nodiscard]] Result<UnixStream> accept(Deadline deadline = {});

 private:
  explicit UnixListener(Fd fd) noexcept : Listener(std::move(fd)) {}
};

}  // namespace rearm
