// Datagram: what sockets have that send and receive messages of their own addresses. See fd.h for
// what all operations have in common.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/socket.h"

namespace rearm {

// A datagram is sent and received whole, so any number of fibers may send and receive at once.
// Those that have to wait stand in line, first come first served; one that comes then stands behind
// them, unless it does not wait (Deadline::immediate()).
class Datagram : public SocketOf<Fd> {
 public:
  struct Received {
    std::size_t bytes = 0;   // In the buffer. 0 is an empty datagram, not an end.
    bool truncated = false;  // The datagram was longer than the buffer; the rest is gone.
    SocketAddress from;
  };

  struct Incoming {
    MutableBuffer buffer;
    Received received = {};
  };
  struct Outgoing {
    ConstBuffer datagram;
    SocketAddress to = {};  // Unspecified: to the peer of connect().
  };

  Datagram() noexcept = default;

  // Sets where send() sends to, and the only one to receive from. Never parks.
  Result<void> connect(const SocketAddress& peer) noexcept;
  // Errors: ENOTCONN.
  [[nodiscard]] Result<SocketAddress> peer_address() const noexcept;

  // The next datagram; parks while there is none. A buffer without room takes its first 0 bytes.
  // Errors: ECONNREFUSED (of an earlier datagram, on a connected socket).
  [[nodiscard]] Result<Received> recv_from(MutableBuffer buffer, Deadline deadline = {}) noexcept;

  // Parks while there is no room for it. Errors: EMSGSIZE; ECONNREFUSED, as above; EDESTADDRREQ or
  // ENOTCONN (send() without connect()). A Unix socket's receiver that is full: on Linux, send()
  // waits for it like any other; send_to() has to look again, as UnixStream::connect() does, and
  // learns of room when it looks, 100 ms later at most; other systems say ENOBUFS. Those that look
  // have no order: where others keep a receiver full, one may be overtaken again and again.
  Result<void> send_to(ConstBuffer datagram, const SocketAddress& to,
                       Deadline deadline = {}) noexcept;
  Result<void> send(ConstBuffer datagram, Deadline deadline = {}) noexcept;

  // The datagrams that are there, one into each buffer; parks while there is none. Returns how many
  // came, one at least. One system call where the kernel has one for that (Linux, FreeBSD, NetBSD),
  // with 32 datagrams at most. Errors: as recv_from(); kInvalidArgument (no buffers).
  [[nodiscard]] Result<std::size_t> recv_batch(std::span<Incoming> datagrams,
                                               Deadline deadline = {}) noexcept;

  // The first ones, in order: as many as there is room for, one at least; parks while there is none
  // for the first. Returns how many were sent. System calls as above. On an error nothing was sent;
  // one that stops a later datagram is that of the call that begins with it.
  [[nodiscard]] Result<std::size_t> send_batch(std::span<const Outgoing> datagrams,
                                               Deadline deadline = {}) noexcept;

 protected:
  explicit Datagram(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

}  // namespace rearm
