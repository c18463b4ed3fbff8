// Unix datagram sockets. See fd.h for what all operations have in common.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/datagram.h"
#include "rearm/net/unix.h"

namespace rearm {

// Datagrams that arrive, in order, or are refused: nothing is lost on the way.
class UnixDatagram : public Datagram {
 public:
  struct Options {
    bool remove_stale = false;  // As UnixListener::Options has it.
  };

  UnixDatagram() noexcept = default;

  // Receives at a path, which stays in the file system after close(). Never parks. Errors:
  // EADDRINUSE, EACCES, ENOENT and the like.
  [[nodiscard]] static Result<UnixDatagram> bind(const SocketAddress& address,
                                                 const Options& options) noexcept;
  [[nodiscard]] static Result<UnixDatagram> bind(const SocketAddress& address) noexcept {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<UnixDatagram> bind(const SocketAddress& address, Runtime& runtime,
                                                 const Options& options) noexcept;
  [[nodiscard]] static Result<UnixDatagram> bind(const SocketAddress& address,
                                                 Runtime& runtime) noexcept {
    return bind(address, runtime, Options{});
  }
  // Without an address of its own: it sends, and nothing can be sent to it.
  [[nodiscard]] static Result<UnixDatagram> open() noexcept;
  [[nodiscard]] static Result<UnixDatagram> open(Runtime& runtime) noexcept;
  // Takes ownership of a Unix datagram socket; see Fd::adopt().
  [[nodiscard]] static Result<UnixDatagram> adopt(int fd) noexcept;
  [[nodiscard]] static Result<UnixDatagram> adopt(int fd, Runtime& runtime) noexcept;

  // Two that are connected to each other.
  [[nodiscard]] static Result<std::pair<UnixDatagram, UnixDatagram>> pair() noexcept;
  [[nodiscard]] static Result<std::pair<UnixDatagram, UnixDatagram>> pair(
      Runtime& runtime) noexcept;

  // As send(), with descriptors; see UnixStream. The datagram may be empty.
  Result<void> send_descriptors(ConstBuffer datagram, std::span<const int> descriptors,
                                Deadline deadline = {}) noexcept;
  // As recv_from(), with the descriptors, close-on-exec. (recv_from() closes them.)
  [[nodiscard]] Result<ReceivedDescriptors> recv_descriptors(MutableBuffer buffer,
                                                             std::span<int> descriptors,
                                                             Deadline deadline = {}) noexcept;

 private:
  explicit UnixDatagram(Fd fd) noexcept : Datagram(std::move(fd)) {}
};

}  // namespace rearm
