// Socket: what all kinds of sockets have. See fd.h for what all operations have in common.
#pragma once

#include <cstddef>

#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/fd.h"

namespace rearm {

class Socket : public Fd {
 public:
  Socket() noexcept = default;

  [[nodiscard]] Result<SocketAddress> local_address() const;
  // Errors: ENOTCONN.
  [[nodiscard]] Result<SocketAddress> peer_address() const;

  // Ends one direction of a connection; the other goes on. After kWrite the peer reads the end of
  // the stream, after kRead our own reads do. Wakes whoever is parked in that direction.
  enum class Shutdown { kRead, kWrite, kBoth };
  Result<void> shutdown(Shutdown how);

  // Sizes of the kernel's buffers, in bytes as setsockopt(2) takes them (Linux doubles them).
  Result<void> set_receive_buffer_bytes(int bytes);
  Result<void> set_send_buffer_bytes(int bytes);
  [[nodiscard]] Result<int> receive_buffer_bytes() const;
  [[nodiscard]] Result<int> send_buffer_bytes() const;

  // Takes and clears the socket's pending error (SO_ERROR), which may be none.
  [[nodiscard]] Result<std::error_code> take_error();

 protected:
  explicit Socket(Fd fd) noexcept : Fd(std::move(fd)) {}
};

}  // namespace rearm
