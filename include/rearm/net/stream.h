// Stream: a descriptor that bytes are read from and written to. See fd.h for what all operations
// have in common.
#pragma once

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <new>
#include <ranges>
#include <span>
#include <system_error>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/buffer.h"
#include "rearm/net/fd.h"

namespace rearm {

namespace detail {

// Bytes that can be made more: std::string, std::vector<std::byte>.
template <class C>
concept GrowingBytes = MutableByteRange<C&> && requires(C& c, std::size_t n) {
  c.resize(n);
  { c.max_size() } -> std::convertible_to<std::size_t>;
};

}  // namespace detail

// The ends of pipes, terminals, eventfds, and, as StreamSocket, connections.
class Stream : public Fd {
 public:
  Stream() noexcept = default;

  // As Fd::adopt().
  [[nodiscard]] static Result<Stream> adopt(int fd) noexcept;
  [[nodiscard]] static Result<Stream> adopt(int fd, Runtime& runtime) noexcept;

  // Reads what is there, up to the buffer's size and 1 MiB; parks while nothing is. 0 means the end
  // of the stream. Errors: kInvalidArgument (the buffers have no room).
  [[nodiscard]] Result<std::size_t> read_some(MutableBuffer buffer,
                                              Deadline deadline = {}) noexcept;
  [[nodiscard]] Result<std::size_t> readv(std::span<const MutableBuffer> buffers,
                                          Deadline deadline = {}) noexcept;

  // read_some() behind what `into` holds, which grows by what was read and by `at_most` bytes while
  // the call lasts. On any error, and at the end, it is as it was. Errors: kInvalidArgument
  // (`at_most` is 0), ENOMEM (no memory for as much). Writes `at_most` zeros first.
  template <detail::GrowingBytes Container>
  [[nodiscard]] Result<std::size_t> read_append(Container& into, std::size_t at_most,
                                                Deadline deadline = {}) {
    const std::size_t before = into.size();
    if (!grow(into, at_most)) {
      return std::unexpected(
          std::error_code(static_cast<int>(std::errc::not_enough_memory), std::system_category()));
    }
    const auto n = read_some(MutableBuffer(std::ranges::data(into) + before, at_most), deadline);
    into.resize(before + n.value_or(0));
    return n;
  }

  // Reads until the buffer is full. No other read comes in between. Errors: kEndOfStream. On any
  // error, what was read so far is lost to the caller.
  [[nodiscard]] Result<void> read_exact(MutableBuffer buffer, Deadline deadline = {}) noexcept;

  // Writes at least one byte of a non-empty buffer, and 1 MiB at most; parks while there is no
  // room.
  [[nodiscard]] Result<std::size_t> write_some(ConstBuffer buffer, Deadline deadline = {}) noexcept;
  [[nodiscard]] Result<std::size_t> writev(std::span<const ConstBuffer> buffers,
                                           Deadline deadline = {}) noexcept;

  // Writes everything. No other write comes in between. On any error, how much was written is
  // unknown.
  [[nodiscard]] Result<void> write_all(ConstBuffer buffer, Deadline deadline = {}) noexcept;
  // All of several, in order, without copying them together: write_all({head, body, "\r\n"}).
  [[nodiscard]] Result<void> write_all(std::span<const ConstBuffer> buffers,
                                       Deadline deadline = {}) noexcept;
  [[nodiscard]] Result<void> write_all(std::initializer_list<ConstBuffer> buffers,
                                       Deadline deadline = {}) noexcept {
    return write_all(std::span(buffers.begin(), buffers.size()), deadline);
  }

 protected:
  explicit Stream(Fd fd) noexcept : Fd(std::move(fd)) {}

 private:
  friend class detail::FdAccess;

  template <class Container>
  static bool grow(Container& into, std::size_t by) {
    if (by > into.max_size() - into.size()) return false;
    try {
      into.resize(into.size() + by);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }
};

}  // namespace rearm
