// UDP. See fd.h for what all operations have in common.
#pragma once

#include <cstddef>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/socket.h"

namespace rearm {

// A datagram is sent and received whole, so any number of fibers may send and receive at once.
// Those that have to wait stand in line, first come first served; one that comes then stands behind
// them, unless it does not wait (Deadline::immediate()). read_some() and write_some() receive and
// send on a connected socket; there, 0 bytes is an empty datagram, not an end.
class UdpSocket : public Socket {
 public:
  struct Received {
    std::size_t bytes = 0;   // In the buffer.
    bool truncated = false;  // The datagram was longer than the buffer; the rest is gone.
    SocketAddress from;
  };

  struct Options {
    bool reuse_address = false;  // On Linux: share the port with whoever says so, too (socket(7)).
    bool reuse_port = false;     // As TcpListener::Options has it.
  };

  UdpSocket() noexcept = default;

  // Port 0 takes a free one. Never parks. Errors: EADDRINUSE, EACCES and the like.
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address, const Options& options);
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address) {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address, Runtime& runtime,
                                              const Options& options);
  [[nodiscard]] static Result<UdpSocket> bind(const SocketAddress& address, Runtime& runtime) {
    return bind(address, runtime, Options{});
  }
  // Takes ownership of a UDP socket; see Fd::adopt().
  [[nodiscard]] static Result<UdpSocket> adopt(int fd);
  [[nodiscard]] static Result<UdpSocket> adopt(int fd, Runtime& runtime);

  // Sets whom write_some() sends to and read_some() receives from. Never parks.
  Result<void> connect(const SocketAddress& peer);

  // Errors: EMSGSIZE; ECONNREFUSED (of an earlier datagram, on a connected socket).
  [[nodiscard]] Result<Received> recv_from(MutableBuffer buffer, Deadline deadline = {});
  Result<void> send_to(ConstBuffer datagram, const SocketAddress& to, Deadline deadline = {});
  [[nodiscard]] Result<std::size_t> read_some(MutableBuffer buffer, Deadline deadline = {});
  Result<std::size_t> write_some(ConstBuffer datagram, Deadline deadline = {});

 private:
  explicit UdpSocket(Fd fd) noexcept : Socket(std::move(fd)) {}
};

}  // namespace rearm
