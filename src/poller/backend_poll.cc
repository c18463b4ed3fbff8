// How the kernel behaves (poll(2), POSIX.1-2024; Linux fs/select.c)
//   It remembers nothing: each call carries the whole set and looks at the state of every number in
//   it, so a report is a level at the time of the look. POLLERR, POLLHUP and POLLNVAL are reported
//   unasked. The set is copied at entry: a change made meanwhile is not seen. While it sleeps the
//   call holds a reference to every file of the set, so that a close() in another thread neither
//   ends the call nor closes the file: the peer of a socket learns of it only when the call
//   returns.
//
// Strategy
//   Like event ports: a number is asked about from arm() until it is reported, and then no more
//   until it is armed again. The set is an array that arm() appends to; a wait copies it, so that
//   the others can go on changing it. Whoever changes it while somebody sleeps in the kernel writes
//   a byte to the pipe that is the first of the set: the sleeper leaves, and comes back with the
//   new set. remove() waits besides until the sleeper has left, or the number would be closed later
//   than close() says.
//   A wait costs time in proportion to the number of armed descriptors, in the kernel and here;
//   this is the fallback for systems that have nothing better, and the second kernel on which the
//   discipline of arming runs every day.
//
// Quirks
//   Linux refuses with EINVAL a set that is larger than RLIMIT_NOFILE. Every number of the set is
//   open, so this needs a limit that was lowered below what is open already.
//   ppoll, which has nanoseconds, is in POSIX since 2024 and everywhere but on macOS: there
//   timeouts are rounded up to milliseconds. POLLPRI is not asked for: urgent data stay a level
//   until they are taken, so asking would report them for ever to somebody who does not want them.
//   What follows them is POLLIN. A device that is always ready, such as /dev/null, cannot be told
//   from a terminal: it is taken.
#include "poller/backend_poll.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/errno.h"
#include "base/kernel_timeout.h"
#include "poller/fd_flags.h"

namespace rearm::detail {
namespace {

short mask_of(Ready interest) {
  int mask = 0;
  if (interest.has(Direction::kRead)) mask |= POLLIN;
  if (interest.has(Direction::kWrite)) mask |= POLLOUT;
  return static_cast<short>(mask);
}

Ready ready_of(short mask) {
  Ready ready;
  if ((mask & POLLIN) != 0) ready |= Ready::of(Direction::kRead);
  if ((mask & POLLOUT) != 0) ready |= Ready::of(Direction::kWrite);
  // POLLNVAL: the number was closed behind the library, which the next system call will say.
  if ((mask & (POLLHUP | POLLERR | POLLNVAL)) != 0) ready |= Ready::hang_up();
  return ready;
}

int poll_until(std::span<pollfd> fds, Deadline deadline) {
  const auto count = static_cast<nfds_t>(fds.size());
  const KernelTimeout timeout(deadline);
#if defined(__APPLE__)
  return ::poll(fds.data(), count, timeout.as_ms());
#else
  const timespec left = timeout.as_timespec();
  return ::ppoll(fds.data(), count, timeout.is_endless() ? nullptr : &left, nullptr);
#endif
}

}  // namespace

void PollBackend::Asked::reserve(std::size_t count) {
  if (fds.capacity() >= count) return;
  // Twice as many, because a vector that is told a number takes it at its word.
  tokens.reserve(2 * count);
  fds.reserve(2 * count);
}

PollBackend::~PollBackend() {
  if (wake_write_fd_ >= 0) ::close(wake_write_fd_);
  if (wake_read_fd_ >= 0) ::close(wake_read_fd_);
}

std::error_code PollBackend::open() {
  std::array<int, 2> ends;
  if (const std::error_code error = open_pipe(ends)) return error;
  wake_read_fd_ = ends[0];
  wake_write_fd_ = ends[1];
  MutexLock lock(mu_);
  armed_.reserve(1);
  larger_.reserve(1);
  armed_.fds.push_back({.fd = wake_read_fd_, .events = POLLIN, .revents = 0});
  armed_.tokens.push_back({});
  return {};
}

std::error_code PollBackend::add(int fd, Token token) {
  struct stat status;
  if (const int result = system_call([&] { return ::fstat(fd, &status); }); result != 0) {
    return result == -EBADF ? make_error_code(Errc::kClosed) : error_of(result);
  }
  // poll calls them always ready, which is of no use to anybody who waits.
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) return Errc::kNotPollable;
  const auto number = static_cast<std::size_t>(fd);
  MutexLock lock(mu_);
  try {
    if (entries_.size() <= number) entries_.resize(std::max(number + 1, 2 * entries_.size()));
    armed_.reserve(number + 2);  // The pipe, and every number up to this one.
    larger_.reserve(armed_.fds.capacity());
  } catch (const std::bad_alloc&) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
  entries_[number] = {.token = token};
  return {};
}

std::error_code PollBackend::arm(int fd, Token token, Ready interest) {
  bool interrupted = false;
  {
    MutexLock lock(mu_);
    Entry& entry = entries_[static_cast<std::size_t>(fd)];
    if (entry.token != token) return Errc::kClosed;
    if (entry.position == kNowhere) {
      entry.position = static_cast<std::uint32_t>(armed_.fds.size());
      armed_.fds.push_back({.fd = fd, .events = 0, .revents = 0});
      armed_.tokens.push_back(token);
    }
    armed_.fds[entry.position].events = mask_of(interest);
    interrupted = interrupt_wait();
  }
  if (interrupted) write_to_pipe();
  return {};
}

void PollBackend::remove(int fd) {
  std::uint32_t wait = 0;
  bool interrupted = false;
  {
    MutexLock lock(mu_);
    Entry& entry = entries_[static_cast<std::size_t>(fd)];
    const bool is_armed = entry.position != kNowhere;
    if (is_armed) disarm(entry);
    entry = {};
    if (!is_armed) return;  // Nor does the sleeper ask: only it and remove() disarm.
    wait = wait_count_.load(kRelaxed);
    interrupted = interrupt_wait();
  }
  if (interrupted) write_to_pipe();
  check_no_lock_held();
  while (wait % 2 != 0 && wait_count_.load(kAcquire) == wait) {
    wait_count_.wait(wait, kAcquire);
  }
}

WaitResult PollBackend::wait(std::span<Event> events, Deadline deadline) {
  const std::size_t asked = begin_wait();
  const int reports = result_or_errno(poll_until(std::span(asked_.fds).first(asked), deadline));
  wait_count_.fetch_add(1, kRelease);
  wait_count_.notify_all();
  if (reports < 0) {
    // ENOMEM and EAGAIN: a wait that is repeated may find memory.
    if (reports == -EINTR || reports == -ENOMEM || reports == -EAGAIN) return {};
    impossible_errno("poll", -1, -reports);
  }
  WaitResult result;
  int of_numbers = reports;
  if (asked_.fds.front().revents != 0) {
    --of_numbers;
    // First the pipe, then the flag: a wake whose flag is missed has its byte still to come.
    drain_pipe();
    result.woken = wake_called_.exchange(false, kSeqCst);
  }
  if (of_numbers > 0) result.count = end_wait(events, asked, of_numbers);
  return result;
}

void PollBackend::wake() noexcept {
  const int saved_errno = errno;  // May be called from a signal handler.
  wake_called_.store(true, kSeqCst);
  write_to_pipe();
  errno = saved_errno;
}

// Copies what is armed. Returns how many numbers that is.
std::size_t PollBackend::begin_wait() {
  MutexLock lock(mu_);
  const std::size_t count = armed_.fds.size();
  if (asked_.fds.capacity() < count) std::swap(asked_, larger_);
  asked_.fds.assign(armed_.fds.begin(), armed_.fds.end());
  asked_.tokens.assign(armed_.tokens.begin(), armed_.tokens.end());
  is_interrupted_ = false;
  wait_count_.fetch_add(1, kRelaxed);
  return count;
}

// Turns reports into events and forgets what was reported. Returns how many events there are.
std::size_t PollBackend::end_wait(std::span<Event> events, std::size_t asked, int reports) {
  const std::size_t wanted = std::min(events.size(), static_cast<std::size_t>(reports));
  std::size_t count = 0;
  std::size_t i = scan_from_ < asked ? scan_from_ : 0;
  MutexLock lock(mu_);
  for (std::size_t looked = 0; looked < asked && count < wanted; ++looked) {
    const pollfd& report = asked_.fds[i];
    const Token token = asked_.tokens[i];
    i = i + 1 < asked ? i + 1 : 0;
    if (report.revents == 0 || token.generation == 0) continue;
    events[count++] = {token, ready_of(report.revents)};
    Entry& entry = entries_[static_cast<std::size_t>(report.fd)];
    if (entry.token == token && entry.position != kNowhere) disarm(entry);
  }
  scan_from_ = i;
  return count;
}

// The last of the set takes the place of the one that leaves.
void PollBackend::disarm(Entry& entry) {
  const std::uint32_t position = std::exchange(entry.position, kNowhere);
  const pollfd last = armed_.fds.back();
  armed_.fds[position] = last;
  armed_.tokens[position] = armed_.tokens.back();
  armed_.fds.pop_back();
  armed_.tokens.pop_back();
  if (position != armed_.fds.size()) {
    entries_[static_cast<std::size_t>(last.fd)].position = position;
  }
}

// Returns whether a byte must be written, without the lock, for the sleeper to leave the kernel.
bool PollBackend::interrupt_wait() {
  if (wait_count_.load(kRelaxed) % 2 == 0) return false;
  return !std::exchange(is_interrupted_, true);
}

void PollBackend::write_to_pipe() const noexcept {
  const char byte = 0;
  // EAGAIN means that the pipe is full, hence readable.
  while (result_or_errno(::write(wake_write_fd_, &byte, sizeof(byte))) == -EINTR) continue;
}

void PollBackend::drain_pipe() const noexcept {
  char bytes[64];
  while (::read(wake_read_fd_, bytes, sizeof(bytes)) == static_cast<ssize_t>(sizeof(bytes))) {
  }
}

}  // namespace rearm::detail
