// What kinds of sockets have in common. See fd.h for what all operations have in common.
#pragma once

#include <cstddef>
#include <system_error>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/fd.h"
#include "rearm/net/stream.h"

namespace rearm {

// What each socket has, added to what its kind has (Fd or Stream).
template <class Base>
class SocketOf : public Base {
 public:
  SocketOf() noexcept = default;

  [[nodiscard]] Result<SocketAddress> local_address() const;

  // Sizes of the kernel's buffers, in bytes as setsockopt(2) takes them (Linux doubles them).
  Result<void> set_receive_buffer_bytes(int bytes);
  Result<void> set_send_buffer_bytes(int bytes);
  [[nodiscard]] Result<int> receive_buffer_bytes() const;
  [[nodiscard]] Result<int> send_buffer_bytes() const;

  // Takes and clears the socket's pending error (SO_ERROR), which may be none.
  [[nodiscard]] Result<std::error_code> take_error();

 protected:
  explicit SocketOf(Fd fd) noexcept : Base(std::move(fd)) {}
};

extern template class SocketOf<Fd>;
extern template class SocketOf<Stream>;

// Of a connection that can be ended one direction at a time.
enum class Shutdown { kRead, kWrite, kBoth };

// A connection that carries bytes.
class StreamSocket : public SocketOf<Stream> {
 public:
  StreamSocket() noexcept = default;

  // Errors: ENOTCONN.
  [[nodiscard]] Result<SocketAddress> peer_address() const;

  // Ends one direction of the connection; the other goes on. After kWrite the peer reads the end of
  // the stream, after kRead our own reads do. Wakes the fiber that is parked in that direction.
  Result<void> shutdown(Shutdown how);

 protected:
  explicit StreamSocket(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

// A socket whose connections are accepted. The base is protected: reads and waits for room would
// never end.
class Listener : protected SocketOf<Fd> {
 public:
  Listener() noexcept = default;

  using Fd::close;
  using Fd::Flags;
  using Fd::is_open;
  using Fd::native_handle;
  using Fd::release;
  // Of accept().
  using Fd::set_deadline;
  // Returns when an accept would not block; see Fd.
  using Fd::wait_readable;
  using SocketOf::local_address;
  // What is set here, TCP connections inherit (tcp(7)); Unix ones have the system's sizes (Linux).
  using SocketOf::receive_buffer_bytes;
  using SocketOf::send_buffer_bytes;
  using SocketOf::set_receive_buffer_bytes;
  using SocketOf::set_send_buffer_bytes;

 protected:
  explicit Listener(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

}  // namespace rearm
