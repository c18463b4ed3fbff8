// TCP: streams and listeners. See fd.h for what all operations have in common.
#pragma once

#include <cstdint>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/socket.h"

namespace rearm {

class TcpStream : public StreamSocket {
 public:
  TcpStream() noexcept = default;

  // Takes ownership of a connected TCP socket; see Fd::adopt().
  [[nodiscard]] static Result<TcpStream> adopt(int fd);
  [[nodiscard]] static Result<TcpStream> adopt(int fd, Runtime& runtime);

  // Connects to a numeric address. May park; a plain thread blocks in the kernel, and only its
  // deadline ends that. A connection that the kernel has made to itself, because a port without a
  // listener happened to be chosen for our end too, is not one: it is tried again, and is
  // ECONNREFUSED if it happens three times.
  // Errors: kTimedOut, ECONNREFUSED, ENETUNREACH and the like, as connect(2) has them.
  [[nodiscard]] static Result<TcpStream> connect(const SocketAddress& address,
                                                 Deadline deadline = {});
  [[nodiscard]] static Result<TcpStream> connect(const SocketAddress& address, Runtime& runtime,
                                                 Deadline deadline = {});

  // Sends small segments at once (TCP_NODELAY). The system's default is not to.
  Result<void> set_no_delay(bool on);
  // Probes an idle connection (SO_KEEPALIVE), at the system's intervals.
  Result<void> set_keep_alive(bool on);
  // Seconds that close() tries to deliver unsent data for, blocking the thread; 0 resets the
  // connection; negative is the system's default: deliver in the background.
  Result<void> set_linger(int seconds);

 private:
  friend class TcpListener;
  explicit TcpStream(Fd fd) noexcept : StreamSocket(std::move(fd)) {}
};

class TcpListener : public Listener {
 public:
  struct Options {
    int backlog = 4096;         // Connections that wait to be accepted; the system may take fewer.
    bool reuse_address = true;  // Bind although old connections linger in TIME_WAIT.
    // Let several sockets share the port. Linux and FreeBSD balance between them; where the system
    // has no such option (older illumos) it is kNotSupported.
    bool reuse_port = false;
    bool ipv6_only = false;  // An IPv6 wildcard does not take IPv4 connections.
  };

  TcpListener() noexcept = default;

  // Binds and listens. Port 0 takes a free one; local_address() tells which. Never parks.
  // Errors: EADDRINUSE, EACCES, EADDRNOTAVAIL and the like; kInvalidArgument (a negative backlog).
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address,
                                                const Options& options);
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address) {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address, Runtime& runtime,
                                                const Options& options);
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address, Runtime& runtime) {
    return bind(address, runtime, Options{});
  }
  // Takes ownership of a listening socket, for example from a service manager.
  [[nodiscard]] static Result<TcpListener> adopt(int fd);
  [[nodiscard]] static Result<TcpListener> adopt(int fd, Runtime& runtime);

  // The next connection; parks while there is none. Connections that ended before they could be
  // accepted are skipped. Errors: EMFILE, ENFILE, ENOMEM when the process or the system is out of
  // descriptors or memory: the connection stays in the backlog, and the next accept() that finds
  // room takes it. Where the poller has no memory for one that was accepted (ENOMEM, ENOSPC), the
  // connection is closed. Any number of fibers may accept: they stand in line, first come first
  // served; one that comes then stands behind them, unless it does not wait.
  [[nodiscard]] Result<TcpStream> accept(Deadline deadline = {});

 private:
  explicit TcpListener(Fd fd) noexcept : Listener(std::move(fd)) {}
};

}  // namespace rearm
