#include "rearm/net/pipe.h"

#include <array>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "poller/fd_flags.h"

namespace rearm {

using detail::FdAccess;

Result<Pipe> Pipe::create() noexcept { return create(FdAccess::current_runtime()); }

Result<Pipe> Pipe::create(Runtime& runtime) noexcept {
  std::array<int, 2> numbers;
  if (const auto error = detail::open_pipe(numbers)) return std::unexpected(error);
  detail::NativeSocket read_number(numbers[0]);
  detail::NativeSocket write_number(numbers[1]);
  auto read_end = FdAccess::adopt_own(runtime, read_number.take(), 0);
  if (!read_end) return std::unexpected(read_end.error());
  auto write_end = FdAccess::adopt_own(runtime, write_number.take(), 0);
  if (!write_end) return std::unexpected(write_end.error());
  return Pipe{.read_end = FdAccess::stream(std::move(*read_end)),
              .write_end = FdAccess::stream(std::move(*write_end))};
}

}  // namespace rearm
