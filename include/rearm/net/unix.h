// Unix stream sockets, and what those of the other kinds share with them (unix_datagram.h,
// unix_seqpacket.h). See fd.h for what all operations have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/socket.h"

namespace rearm {

// The process at the other end of a connection, as it was when that was made: for connect() the
// listener's, for accept() the one that connected.
struct PeerCredentials {
  std::optional<std::int64_t> process;  // Where the system says it (Linux).
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};

// What came in one call that takes descriptors, too.
struct ReceivedDescriptors {
  std::size_t bytes = 0;          // 0: the end of the connection, or an empty datagram.
  std::size_t descriptors = 0;    // How many numbers were written; they are the caller's to close.
  bool truncated = false;         // The message was longer than the buffer; the rest is gone.
  bool descriptors_lost = false;  // There were more than there was room for; the rest is closed.
};

// As many as one call passes on (Linux: SCM_MAX_FD).
inline constexpr std::size_t kMostDescriptors = 253;

class UnixStream : public StreamSocket {
 public:
  UnixStream() noexcept = default;

  // Takes ownership of a connected Unix stream socket; see Fd::adopt().
  [[nodiscard]] static Result<UnixStream> adopt(int fd) noexcept;
  [[nodiscard]] static Result<UnixStream> adopt(int fd, Runtime& runtime) noexcept;

  // Connects to SocketAddress::unix_path(). Parks while the listener's backlog is full, or blocks a
  // plain thread: the kernel does not say when there is room, so that wait looks again, at first
  // after 1 ms, then when it has waited a quarter longer than it had before, and each 100 ms at
  // least. (Linux; other systems say ECONNREFUSED at once.)
  // Errors: ENOENT, ECONNREFUSED, EACCES and the like, as connect(2) has them.
  [[nodiscard]] static Result<UnixStream> connect(const SocketAddress& address,
                                                  Deadline deadline = {}) noexcept;
  [[nodiscard]] static Result<UnixStream> connect(const SocketAddress& address, Runtime& runtime,
                                                  Deadline deadline = {}) noexcept;

  // Two that are connected to each other.
  [[nodiscard]] static Result<std::pair<UnixStream, UnixStream>> pair() noexcept;
  [[nodiscard]] static Result<std::pair<UnixStream, UnixStream>> pair(Runtime& runtime) noexcept;

  // Errors: kNotSupported (illumos).
  [[nodiscard]] Result<PeerCredentials> peer_credentials() const noexcept;

  // Writes at least one byte, as write_some(), and gives the peer duplicates of the descriptors
  // with the first byte. Errors: kInvalidArgument (no bytes, or more descriptors than
  // kMostDescriptors); EBADF (one of them is not open), ETOOMANYREFS (too many are under way).
  [[nodiscard]] Result<std::size_t> send_descriptors(ConstBuffer bytes,
                                                     std::span<const int> descriptors,
                                                     Deadline deadline = {}) noexcept;
  // Reads as read_some(), and takes the descriptors that come with these bytes, close-on-exec. It
  // reads no further than the bytes that the first of them were sent with; other bytes may come
  // before those. (A read that takes none, read_some() and its like, closes them.)
  // Errors: kInvalidArgument (no room for bytes).
  [[nodiscard]] Result<ReceivedDescriptors> recv_descriptors(MutableBuffer bytes,
                                                             std::span<int> descriptors,
                                                             Deadline deadline = {}) noexcept;

 private:
  friend class UnixListener;
  explicit UnixStream(Fd fd) noexcept : StreamSocket(std::move(fd)) {}
};

// Closing a listener leaves its path in the file system, for the program to remove; binding to a
// path that exists is EADDRINUSE.
class UnixListener : public Listener {
 public:
  struct Options {
    int backlog = 4096;
    // Removes the path and binds to it if it is a socket that refuses a connection: what is left of
    // a server that has ended. What is not a socket stays, and so does one that takes connections,
    // which is connected to once to find out. Two servers that start at the same moment need a lock
    // of their own: until it listens, the first one's socket refuses connections, too.
    bool remove_stale = false;
  };

  UnixListener() noexcept = default;

  // Errors: EADDRINUSE, EACCES, ENOENT and the like; kInvalidArgument (a negative backlog). Never
  // parks.
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address,
                                                 const Options& options) noexcept;
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address) noexcept {
    return bind(address, Options{});
  }
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address, Runtime& runtime,
                                                 const Options& options) noexcept;
  [[nodiscard]] static Result<UnixListener> bind(const SocketAddress& address,
                                                 Runtime& runtime) noexcept {
    return bind(address, runtime, Options{});
  }
  [[nodiscard]] static Result<UnixListener> adopt(int fd) noexcept;
  [[nodiscard]] static Result<UnixListener> adopt(int fd, Runtime& runtime) noexcept;

  // See TcpListener::accept().
  [[nodiscard]] Result<UnixStream> accept(Deadline deadline = {}) noexcept;

 private:
  explicit UnixListener(Fd fd) noexcept : Listener(std::move(fd)) {}
};

}  // namespace rearm
