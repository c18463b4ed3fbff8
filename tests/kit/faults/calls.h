// The system calls that the library makes, as the linker knows them.
//
// The list is read three times: here, by CMake, which asks the linker to send each of them through
// syscalls.h (--wrap), and by complete.py, which compares it with what the library's objects refer
// to. Calls of emulated kernels are on it: to the backend above them they are system calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rearm::test::faults {

// One to a line: CMake and complete.py read lines.
#define REARM_FAULTS_CALLS(X) \
  X(accept4)                  \
  X(bind)                     \
  X(close)                    \
  X(connect)                  \
  X(epoll_create1)            \
  X(epoll_ctl)                \
  X(epoll_pwait2)             \
  X(epoll_wait)               \
  X(eventfd)                  \
  X(fcntl)                    \
  X(fstat)                    \
  X(getpeername)              \
  X(getsockname)              \
  X(getsockopt)               \
  X(kevent)                   \
  X(kqueue)                   \
  X(listen)                   \
  X(lstat)                    \
  X(madvise)                  \
  X(mmap)                     \
  X(mprotect)                 \
  X(munmap)                   \
  X(pipe2)                    \
  X(port_alert)               \
  X(port_associate)           \
  X(port_create)              \
  X(port_dissociate)          \
  X(port_getn)                \
  X(port_send)                \
  X(ppoll)                    \
  X(pthread_create)           \
  X(read)                     \
  X(readv)                    \
  X(recvmmsg)                 \
  X(recvmsg)                  \
  X(sched_getaffinity)        \
  X(send)                     \
  X(sendmmsg)                 \
  X(sendmsg)                  \
  X(sendto)                   \
  X(setsockopt)               \
  X(shutdown)                 \
  X(socket)                   \
  X(socketpair)               \
  X(stat)                     \
  X(unlink)                   \
  X(write)                    \
  X(writev)

// NOLINTBEGIN(readability-identifier-naming): the names are the system's.
enum class Call : std::uint8_t {
#define REARM_FAULTS_CALL(name) k_##name,
  REARM_FAULTS_CALLS(REARM_FAULTS_CALL)
#undef REARM_FAULTS_CALL
      kCount
};
// NOLINTEND(readability-identifier-naming)

inline constexpr std::size_t kCalls = static_cast<std::size_t>(Call::kCount);
static_assert(kCalls < 64, "a set of calls is a word");

inline constexpr std::array<std::string_view, kCalls> kCallNames = {
#define REARM_FAULTS_CALL(name) #name,
    REARM_FAULTS_CALLS(REARM_FAULTS_CALL)
#undef REARM_FAULTS_CALL
};

[[nodiscard]] constexpr std::string_view name_of(Call call) {
  return kCallNames[static_cast<std::size_t>(call)];
}

// A set of calls, by which a verdict says where an error may have come from.
class Calls {
 public:
  constexpr Calls() noexcept = default;
  constexpr Calls(Call call) noexcept  // NOLINT(google-explicit-constructor): a set of one.
      : bits_(std::uint64_t{1} << static_cast<unsigned>(call)) {}

  [[nodiscard]] constexpr bool has(Call call) const noexcept {
    return (bits_ & Calls(call).bits_) != 0;
  }
  friend constexpr Calls operator|(Calls a, Calls b) noexcept {
    Calls both;
    both.bits_ = a.bits_ | b.bits_;
    return both;
  }

 private:
  std::uint64_t bits_ = 0;
};

[[nodiscard]] constexpr Calls operator|(Call a, Call b) noexcept { return Calls(a) | Calls(b); }

}  // namespace rearm::test::faults
