// Stream: a descriptor that bytes are read from and written to. See fd.h for what all operations
// have in common.
#pragma once

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <new>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/buffer.h"
#include "rearm/net/fd.h"

namespace rearm {

// The ends of pipes, terminals, eventfds, and, as StreamSocket, connections.
class Stream : public Fd {
 public:
  Stream() noexcept = default;

  // As Fd::adopt().
  [[nodiscard]] static Result<Stream> adopt(int fd);
  [[nodiscard]] static Result<Stream> adopt(int fd, Runtime& runtime);

  // Reads what is there, up to the buffer's size; parks while nothing is. 0 means the end of the
  // stream. Errors: kInvalidArgument (the buffers have no room).
  [[nodiscard]] Result<std::size_t> read_some(MutableBuffer buffer, Deadline deadline = {});
  [[nodiscard]] Result<std::size_t> readv(std::span<const MutableBuffer> buffers,
                                          Deadline deadline = {});

  // Reads until the buffer is full. No other read comes in between. Errors: kEndOfStream. On any
  // error, what was read so far is lost to the caller.
  [[nodiscard]] Result<void> read_exact(MutableBuffer buffer, Deadline deadline = {});

  // Writes at least one byte of a non-empty buffer; parks while there is no room.
  [[nodiscard]] Result<std::size_t> write_some(ConstBuffer buffer, Deadline deadline = {});
  [[nodiscard]] Result<std::size_t> writev(std::span<const ConstBuffer> buffers,
                                           Deadline deadline = {});

  // Writes everything. No other write comes in between. On any error, how much was written is
  // unknown.
  [[nodiscard]] Result<void> write_all(ConstBuffer buffer, Deadline deadline = {});

 protected:
  explicit Stream(Fd fd) noexcept : Fd(std::move(fd)) {}

 private:
  friend class detail::FdAccess;
};

}  // namespace rearm
