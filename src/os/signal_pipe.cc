#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "base/atomic.h"
#include "base/errno.h"
#include "os/signal_source.h"

namespace rearm::detail {
namespace {

std::array<Atomic<int>, kSignalNumbers> write_ends;
Atomic<int> handlers_inside{0};

// Whoever closes the write end changes the action first, and then waits for the handlers: no byte
// goes to a number that has another meaning by then.
void on_signal(int number) {
  const int before = errno;
  handlers_inside.fetch_add(1, kSeqCst);
  const auto byte = static_cast<unsigned char>(number);
  // Full: there are signals enough to take.
  if (const int end = write_ends[static_cast<std::size_t>(number)].load(kSeqCst); end > 0) {
    (void)!::write(end, &byte, 1);
  }
  handlers_inside.fetch_sub(1, kSeqCst);
  errno = before;
}

bool prepare(int number) noexcept {
  return ::fcntl(number, F_SETFD, FD_CLOEXEC) == 0 && ::fcntl(number, F_SETFL, O_NONBLOCK) == 0;
}

}  // namespace

std::error_code SignalPipe::open(const sigset_t& signals) noexcept {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return last_error();
  read_end_ = OwnedNumber(ends[0]);
  write_end_ = OwnedNumber(ends[1]);
  if (!prepare(ends[0]) || !prepare(ends[1])) return last_error();
  signals_ = signals;
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int number = 1; number < kSignalNumbers; ++number) {
    if (sigismember(&signals_, number) != 1) continue;
    const auto index = static_cast<std::size_t>(number);
    write_ends[index].store(write_end_.get(), kSeqCst);
    if (::sigaction(number, &action, &former_[index]) == 0) continue;
    const std::error_code error = last_error();
    for (int later = number; later < kSignalNumbers; ++later) sigdelset(&signals_, later);
    let_go();
    return error;
  }
  return {};
}

Result<int> SignalPipe::read(Stream& stream, Deadline deadline) noexcept {
  unsigned char byte = 0;
  const auto n = stream.read_some({reinterpret_cast<char*>(&byte), 1}, deadline);
  if (!n) return std::unexpected(n.error());
  if (*n == 0) return std::unexpected(Errc::kClosed);  // let_go() has closed the other end.
  return int{byte};
}

void SignalPipe::let_go() noexcept {
  for (int number = 1; number < kSignalNumbers; ++number) {
    if (sigismember(&signals_, number) != 1) continue;
    const auto index = static_cast<std::size_t>(number);
    ::sigaction(number, &former_[index], nullptr);
    write_ends[index].store(-1, kSeqCst);
  }
  while (handlers_inside.load(kSeqCst) != 0) std::this_thread::yield();
  write_end_.reset();
}

}  // namespace rearm::detail
