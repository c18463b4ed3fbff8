#include "rearm/net/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include "net/fd_access.h"
#include "net/native_socket.h"
#include "poller/fd_flags.h"

namespace rearm {

using detail::FdAccess;

Result<Pipe> Pipe::create() {
  int numbers[2];
  if (::pipe(numbers) != 0) return std::unexpected(last_error());
  detail::NativeSocket read_number(numbers[0]);
  detail::NativeSocket write_number(numbers[1]);
  for (const int number : numbers) {
    if (const auto error = make_nonblocking_cloexec(number)) return std::unexpected(error);
  }
  Runtime& runtime = FdAccess::current_runtime();
  auto read_end = FdAccess::adopt_own(runtime, read_number.take(), 0);
  if (!read_end) return std::unexpected(read_end.error());
  auto write_end = FdAccess::adopt_own(runtime, write_number.take(), 0);
  if (!write_end) return std::unexpected(write_end.error());
  return Pipe{.read_end = std::move(*read_end), .write_end = std::move(*write_end)};
}

}  // namespace rearm
