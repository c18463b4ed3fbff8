// UDP. See fd.h for what all operations have in common.
#pragma once

#include <utility>

#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/datagram.h"

namespace rearm {

class UdpSocket : public Datagram {
 public:
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

 private:
  explicit UdpSocket(Fd fd) noexcept : Datagram(std::move(fd)) {}
};

}  // namespace rearm
