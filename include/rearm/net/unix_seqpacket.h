// Unix sockets of connections that carry messages. Linux and the BSDs; where the system has none
// (macOS), whatever opens one is kNotSupported. See fd.h for what all operations have in common.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/socket.h"
#include "rearm/net/unix.h"

namespace rearm {

// A message is sent and received whole; the calls stand in line as those of a Datagram do.
class UnixSeqpacket : public SocketOf<Fd> {
 public:
  struct Received {
    std::size_t bytes = 0;   // In the buffer. 0: the end of the connection.
    bool truncated = false;  // The message was longer than the buffer; the rest is gone.
  };

  UnixSeqpacket() noexcept = default;

  // As UnixStream has them.
  [[nodiscard]] static Result<UnixSeqpacket> adopt(int fd) noexcept;
  [[nodiscard]] static Result<UnixSeqpacket> adopt(int fd, Runtime& runtime) noexcept;
  [[nodiscard]] static Result<UnixSeqpacket> connect(const SocketAddress& address,
                                                     Deadline deadline = {}) noexcept;
  [[nodiscard]] static Result<UnixSeqpacket> connect(const SocketAddress& address, Runtime& runtime,
                                                     Deadline deadline = {}) noexcept;
  [[nodiscard]] static Result<std::pair<UnixSeqpacket, UnixSeqpacket>> pair() noexcept;
  [[nodiscard]] static Result<std::pair<UnixSeqpacket, UnixSeqpacket>> pair(
      Runtime& runtime) noexcept;

  // The next message; parks while there is none. Errors: kInvalidArgument (the buffer has no room).
  [[nodiscard]] Result<Received> recv(MutableBuffer buffer, Deadline deadline = {}) noexcept;
  // Parks while there is no room for it. Errors: kInvalidArgument (empty: the peer would take it
  // for the end); EMSGSIZE; EPIPE.
  Result<void> send(ConstBuffer message, Deadline deadline = {}) noexcept;

  // As send() and recv(), with descriptors; see UnixStream.
  Result<void> send_descriptors(ConstBuffer message, std::span<const int> descriptors,
                                Deadline deadline = {}) noexcept;
  [[nodiscard]] Result<ReceivedDescriptors> recv_descriptors(MutableBuffer buffer,
                                                             std::span<int> descriptors,
                                                             Deadline deadline = {}) noexcept;

  [[nodiscard]] Result<PeerCredentials> peer_credentials() const noexcept;
  // As StreamSocket has them.
  [[nodiscard]] Result<SocketAddress> peer_address() const noexcept;
  Result<void> shutdown(Shutdown how) noexcept;

 private:
  friend class UnixSeqpacketListener;
  explicit UnixSeqpacket(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

// As UnixListener.
class UnixSeqpacketListener : public Listener {
 public:
  using Options = UnixListener::Options;

  UnixSeqpacketListener() noexcept = default;

  [[nodiscard]] static Result<UnixSeqpacketListener> bind(const SocketAddress& address,
                                                          const Options& options = {}) noexcept;
  [[nodiscard]] static Result<UnixSeqpacketListener> bind(const SocketAddress& address,
                                                          Runtime& runtime,
                                                          const Options& options = {}) noexcept;
  [[nodiscard]] static Result<UnixSeqpacketListener> adopt(int fd) noexcept;
  [[nodiscard]] static Result<UnixSeqpacketListener> adopt(int fd, Runtime& runtime) noexcept;

  // See TcpListener::accept().
  [[nodiscard]] Result<UnixSeqpacket> accept(Deadline deadline = {}) noexcept;

 private:
  explicit UnixSeqpacketListener(Fd fd) noexcept : Listener(std::move(fd)) {}
};

}  // namespace rearm
