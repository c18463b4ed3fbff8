// TCP: streams and listeners. See fd.h for what all operations have in common.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/socket.h"

namespace rearm {

class TcpStream : public StreamSocket {
 public:
  TcpStream() noexcept = default;

  // Takes ownership of a connected TCP socket; see Fd::adopt().
  [[nodiscard]] static Result<TcpStream> adopt(int fd) noexcept;
  [[nodiscard]] static Result<TcpStream> adopt(int fd, Runtime& runtime) noexcept;

  // Connects to a numeric address. May park; a plain thread blocks in the kernel, and only its
  // deadline ends that. A connection that the kernel has made to itself, because a port without a
  // listener happened to be chosen for our end too, is not one: it is tried again, and is
  // ECONNREFUSED if it happens three times.
  // Errors: kTimedOut, ECONNREFUSED, ENETUNREACH and the like, as connect(2) has them.
  [[nodiscard]] static Result<TcpStream> connect(const SocketAddress& address,
                                                 Deadline deadline = {}) noexcept;
  [[nodiscard]] static Result<TcpStream> connect(const SocketAddress& address, Runtime& runtime,
                                                 Deadline deadline = {}) noexcept;

  // What is set before the connection is begun.
  struct ConnectOptions {
    // Our end: an address of this host, with a port or 0 for any. The same family as the peer's.
    SocketAddress local = {};
    bool reuse_address = false;  // Take the port though an old connection lingers in TIME_WAIT.
    // SO_MARK, for the system's routes and filters. Linux, with CAP_NET_ADMIN or CAP_NET_RAW;
    // elsewhere kNotSupported.
    std::optional<std::uint32_t> mark = std::nullopt;
    // TCP Fast Open: to a peer that was connected to before, returns at once, and the first write
    // goes with the SYN; errors of the connection are then those of reads and writes, and reads
    // wait for a write. Otherwise as without. What is written may come twice, so it must be
    // harmless then. Linux; elsewhere kNotSupported.
    bool fast_open = false;
  };
  // Errors besides connect()'s: kInvalidArgument (families differ), kNotSupported, EADDRINUSE,
  // EADDRNOTAVAIL, EPERM.
  [[nodiscard]] static Result<TcpStream> connect(const SocketAddress& address,
                                                 const ConnectOptions& options,
                                                 Deadline deadline = {}) noexcept;
  [[nodiscard]] static Result<TcpStream> connect(const SocketAddress& address, Runtime& runtime,
                                                 const ConnectOptions& options,
                                                 Deadline deadline = {}) noexcept;

  // Sends small segments at once (TCP_NODELAY). The system's default is not to.
  Result<void> set_no_delay(bool on) noexcept;
  // Probes an idle connection (SO_KEEPALIVE), at the system's intervals.
  Result<void> set_keep_alive(bool on) noexcept;
  // Probes it after `idle` without traffic, then at each `interval`; `count` probes without an
  // answer end the connection, ETIMEDOUT. What is left out stays as it is: the system's, or what
  // was set before. Errors: kInvalidArgument (less than a second, less than one probe, too many),
  // kNotSupported (OpenBSD: its intervals are the system's alone). Nothing is probed then.
  struct KeepAlive {
    std::optional<std::chrono::seconds> idle = std::nullopt;
    std::optional<std::chrono::seconds> interval = std::nullopt;
    std::optional<int> count = std::nullopt;
  };
  Result<void> set_keep_alive(const KeepAlive& times) noexcept;
  // How long what was sent may stay unacknowledged before the connection ends with ETIMEDOUT
  // (TCP_USER_TIMEOUT); 0 is the system's default, many minutes. Linux; elsewhere kNotSupported.
  // Errors: kInvalidArgument (negative, or more than 24 days).
  Result<void> set_user_timeout(std::chrono::milliseconds timeout) noexcept;
  // How long close() tries to deliver unsent data, blocking the thread; 0 s resets the connection;
  // std::nullopt is the system's default: deliver in the background. Errors: kInvalidArgument
  // (negative, or more than the system can count).
  Result<void> set_linger(std::optional<std::chrono::seconds> time) noexcept;

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
    // TCP Fast Open: how many connections whose first bytes came with the SYN may wait at once; 0
    // turns it off. The system must allow it, too (Linux: net.ipv4.tcp_fastopen). kNotSupported
    // where there is no such option (NetBSD, OpenBSD).
    int fast_open = 0;
  };

  TcpListener() noexcept = default;

  // Binds and listens. Port 0 takes a free one; local_address() tells which. Never parks.
  // Errors: EADDRINUSE, EACCES, EADDRNOTAVAIL and the like; kInvalidArgument (a negative number).
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address,
                                                const Options& options) noexcept;
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address) noexcept {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address, Runtime& runtime,
                                                const Options& options) noexcept;
  [[nodiscard]] static Result<TcpListener> bind(const SocketAddress& address,
                                                Runtime& runtime) noexcept {
    return bind(address, runtime, Options{});
  }
  // Takes ownership of a listening socket, for example from a service manager.
  [[nodiscard]] static Result<TcpListener> adopt(int fd) noexcept;
  [[nodiscard]] static Result<TcpListener> adopt(int fd, Runtime& runtime) noexcept;

  // The next connection; parks while there is none. Connections that ended before they could be
  // accepted are skipped. Errors: EMFILE, ENFILE, ENOMEM when the process or the system is out of
  // descriptors or memory: the connection stays in the backlog, and the next accept() that finds
  // room takes it. Where the poller has no memory for one that was accepted (ENOMEM, ENOSPC), the
  // connection is closed. Any number of fibers may accept: they stand in line, first come first
  // served; one that comes then stands behind them, unless it does not wait.
  [[nodiscard]] Result<TcpStream> accept(Deadline deadline = {}) noexcept;

  // The same, with the peer's address, for which the kernel is not asked again: it is known even if
  // the connection has been reset meanwhile.
  struct Accepted;
  [[nodiscard]] Result<Accepted> accept_from(Deadline deadline = {}) noexcept;

 private:
  explicit TcpListener(Fd fd) noexcept : Listener(std::move(fd)) {}
};

struct TcpListener::Accepted {
  TcpStream stream;
  SocketAddress peer;
};

}  // namespace rearm
