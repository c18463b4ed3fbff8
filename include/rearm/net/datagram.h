// Datagram: what sockets have that send and receive messages of their own addresses. See fd.h for
// what all operations have in common.
#pragma once

#include <cstddef>
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

  Datagram() noexcept = default;

  // Sets where send() sends to, and the only one to receive from. Never parks.
  Result<void> connect(const SocketAddress& peer);
  // Errors: ENOTCONN.
  [[nodiscard]] Result<SocketAddress> peer_address() const;

  // The next datagram; parks while there is none. A buffer without room takes its first 0 bytes.
  // Errors: ECONNREFUSED (of an earlier datagram, on a connected socket).
  [[nodiscard]] Result<Received> recv_from(MutableBuffer buffer, Deadline deadline = {});

  // Errors: EMSGSIZE; ECONNREFUSED, as above. send() on a socket that is not connected:
  // EDESTADDRREQ or ENOTCONN.
  Result<void> send_to(ConstBuffer datagram, const SocketAddress& to, Deadline deadline = {});
  Result<void> send(ConstBuffer datagram, Deadline deadline = {});

 protected:
  explicit Datagram(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

}  // namespace rearm
