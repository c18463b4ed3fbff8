// What kinds of sockets have in common. See fd.h for what all operations have in common.
#pragma once

#include <concepts>
#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/fd.h"
#include "rearm/net/stream.h"

namespace rearm {

namespace detail {

// What setsockopt(2) takes: a number or a structure, as the option's manual page has it.
template <class T>
concept OptionValue =
    std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && !std::same_as<T, bool>;

[[nodiscard]] Result<void> set_raw_option(const Fd& fd, int level, int name, const void* value,
                                          std::size_t size) noexcept;
[[nodiscard]] Result<void> get_raw_option(const Fd& fd, int level, int name, void* value,
                                          std::size_t size) noexcept;

}  // namespace detail

// What each socket has, added to what its kind has (Fd or Stream).
template <class Base>
class SocketOf : public Base {
 public:
  SocketOf() noexcept = default;

  [[nodiscard]] Result<SocketAddress> local_address() const noexcept;

  // Sizes of the kernel's buffers, in bytes as setsockopt(2) takes them (Linux doubles them).
  Result<void> set_receive_buffer_bytes(int bytes) noexcept;
  Result<void> set_send_buffer_bytes(int bytes) noexcept;
  [[nodiscard]] Result<int> receive_buffer_bytes() const noexcept;
  [[nodiscard]] Result<int> send_buffer_bytes() const noexcept;

  // Any option, by setsockopt(2)'s numbers and with the type of its manual page (`int` for most):
  //   stream.set_option(IPPROTO_TCP, TCP_MAXSEG, 1200)
  //   stream.get_option<tcp_info>(IPPROTO_TCP, TCP_INFO)
  // Where the kernel's value is shorter than T, the rest of it is zero. A TCP stream whose options
  // are set makes one system call more for each read, as with native_handle(). Errors: the
  // kernel's, such as ENOPROTOOPT, EINVAL and EPERM.
  template <detail::OptionValue T>
  Result<void> set_option(int level, int name, const T& value) noexcept {
    return detail::set_raw_option(*this, level, name, &value, sizeof(value));
  }
  template <detail::OptionValue T>
  [[nodiscard]] Result<T> get_option(int level, int name) const noexcept {
    T value{};
    if (const auto got = detail::get_raw_option(*this, level, name, &value, sizeof(value)); !got) {
      return std::unexpected(got.error());
    }
    return value;
  }

  // Takes and clears the socket's pending error (SO_ERROR), which may be none.
  [[nodiscard]] Result<std::error_code> take_error() noexcept;

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
  [[nodiscard]] Result<SocketAddress> peer_address() const noexcept;

  // Ends one direction of the connection; the other goes on. After kWrite the peer reads the end of
  // the stream, after kRead our own reads do. Wakes the fiber that is parked in that direction.
  Result<void> shutdown(Shutdown how) noexcept;

 protected:
  explicit StreamSocket(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

// A socket whose connections are accepted. The base is protected, because a wait for room to write
// would never end.
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
  using SocketOf::get_option;
  using SocketOf::local_address;
  using SocketOf::set_option;
  // What is set here, TCP connections inherit (tcp(7)); Unix ones have the system's sizes (Linux).
  using SocketOf::receive_buffer_bytes;
  using SocketOf::send_buffer_bytes;
  using SocketOf::set_receive_buffer_bytes;
  using SocketOf::set_send_buffer_bytes;

 protected:
  explicit Listener(Fd fd) noexcept : SocketOf(std::move(fd)) {}
};

}  // namespace rearm
