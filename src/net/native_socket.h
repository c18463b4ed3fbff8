// The system calls that make and ask sockets, with the flags that ours always have.
#pragma once

#include <sys/socket.h>

#include <system_error>

#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/fd.h"
#include "rearm/net/socket.h"
#include "rearm/runtime.h"

namespace rearm::detail {

// A socket number that is closed unless it is taken out: for the steps before a poller owns it.
class NativeSocket {
 public:
  NativeSocket() noexcept = default;
  explicit NativeSocket(int fd) noexcept : fd_(fd) {}
  NativeSocket(NativeSocket&& other) noexcept : fd_(other.take()) {}
  NativeSocket& operator=(NativeSocket&&) = delete;
  ~NativeSocket();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] int take() noexcept {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_ = -1;
};

// Non-blocking and close-on-exec. `type` is SOCK_STREAM or SOCK_DGRAM; the family is the address's.
[[nodiscard]] Result<NativeSocket> open_socket(const SocketAddress& address, int type);

[[nodiscard]] std::error_code set_option(int fd, int level, int name, int value);
[[nodiscard]] Result<int> get_option(int fd, int level, int name);

// Lets sockets share a port, with the kernel balancing where it can. Errors: kNotSupported.
[[nodiscard]] std::error_code share_port(int fd);

[[nodiscard]] std::error_code bind_socket(int fd, const SocketAddress& address);
[[nodiscard]] std::error_code listen_socket(int fd, int backlog);

enum class Family : bool { kIp, kUnix };
[[nodiscard]] bool is_of(Family family, const SocketAddress& address);

// Checks that `fd` is a socket of this family and type, or says kInvalidArgument.
[[nodiscard]] std::error_code check_adoptable(int fd, Family family, int type);

[[nodiscard]] Result<SocketAddress> peer_address_of(const Fd& fd);
Result<void> shut_down(const Fd& fd, Shutdown how);

// The next connection, added to the listener's poller, with the listener's traits; waits while
// there is none. Says who the peer is, if asked to.
[[nodiscard]] Result<Fd> accept_next(const Fd& listener, Deadline deadline,
                                     SocketAddress* peer = nullptr);

// The traits of a stream, or of what a listener accepts: see the short-read rule in fd_access.h.
// REQUIRES: an open IPv4 or IPv6 socket.
[[nodiscard]] std::uint8_t stream_traits(int fd);

// Starts connecting, adds the socket to the runtime's poller and waits for the outcome; a plain
// thread waits first, because the runtime need not run. The socket is added after connect(2): an
// unconnected one would be reported as hung up.
[[nodiscard]] Result<Fd> connect_socket(Runtime& runtime, NativeSocket socket,
                                        const SocketAddress& address, std::uint8_t traits,
                                        Deadline deadline);

}  // namespace rearm::detail
