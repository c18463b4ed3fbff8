// Control messages of Unix sockets: descriptors on the way (unix(7), SCM_RIGHTS), and the peer.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "net/no_sigpipe.h"
#include "net/transfer.h"
#include "net/unix_socket.h"

namespace rearm::detail {
namespace {

// For kMostDescriptors and their header. A number, because CMSG_SPACE() is none on NetBSD.
constexpr std::size_t kRightsBytes = kMostDescriptors * sizeof(int) + 64;

struct alignas(cmsghdr) RightsBuffer {
  std::array<std::byte, kRightsBytes> bytes;
};

#if defined(MSG_CMSG_CLOEXEC)
constexpr int kTakeCloexec = MSG_CMSG_CLOEXEC;
#else
constexpr int kTakeCloexec = 0;
#endif

template <class Call>
Result<std::size_t> perform(FdAccess::Operation& operation, Sharing sharing, Deadline deadline,
                            Call&& call) {
  return sharing == Sharing::kInTurn ? operation.perform_in_turn(deadline, call)
                                     : operation.perform(deadline, call);
}

FdAccess::Operation begin(const Fd& fd, Sharing sharing, Direction direction) {
  if (sharing == Sharing::kInTurn) return FdAccess::Operation::shared(fd, direction);
  return FdAccess::Operation(fd, direction);
}

// Takes the numbers out of what came. More than there is room for are closed.
void take_numbers(msghdr& message, std::span<int> into, ReceivedDescriptors& received) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number;
      std::memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      if (received.descriptors == into.size()) {
        ::close(number);
        received.descriptors_lost = true;
        continue;
      }
      if (kTakeCloexec == 0) (void)::fcntl(number, F_SETFD, FD_CLOEXEC);
      into[received.descriptors++] = number;
    }
  }
}

}  // namespace

Result<PeerCredentials> credentials_of(const Fd& fd) {
  const auto operation = FdAccess::Operation::shared(fd, Direction::kRead);
  if (operation.refused()) return operation.error();
#if defined(__linux__)
  ucred native{};
  socklen_t size = sizeof(native);
  const int asked = system_call(
      [&] { return ::getsockopt(operation.fd(), SOL_SOCKET, SO_PEERCRED, &native, &size); });
  if (asked != 0) return std::unexpected(error_of(asked));
  PeerCredentials credentials{.process = {}, .user = native.uid, .group = native.gid};
  if (native.pid != 0) credentials.process = native.pid;
  return credentials;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
  uid_t user = 0;
  gid_t group = 0;
  const int asked = system_call([&] { return ::getpeereid(operation.fd(), &user, &group); });
  if (asked != 0) return std::unexpected(error_of(asked));
  return PeerCredentials{.process = {}, .user = user, .group = group};
#else
  return std::unexpected(Errc::kNotSupported);
#endif
}

Result<std::size_t> send_attached(const Fd& fd, Sharing sharing, ConstBuffer bytes,
                                  std::span<const int> descriptors, Deadline deadline) {
  auto operation = begin(fd, sharing, Direction::kWrite);
  if (operation.refused()) return operation.error();
  if (descriptors.size() > kMostDescriptors) return std::unexpected(Errc::kInvalidArgument);
  RightsBuffer control{};
  msghdr message{};
  // The kernel reads through it; the structure merely cannot say so.
  iovec vector{.iov_base = const_cast<std::byte*>(bytes.data()),
               .iov_len = std::min(bytes.size(), kLargestTransfer)};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen =
        static_cast<decltype(message.msg_controllen)>(CMSG_SPACE(descriptors.size_bytes()));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = static_cast<decltype(header->cmsg_len)>(CMSG_LEN(descriptors.size_bytes()));
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  return perform(operation, sharing, deadline, [&](int number) {
    return result_or_errno(::sendmsg(number, &message, kNoSignal));
  });
}

Result<ReceivedDescriptors> recv_attached(const Fd& fd, Sharing sharing, MutableBuffer bytes,
                                          std::span<int> descriptors, Deadline deadline) {
  auto operation = begin(fd, sharing, Direction::kRead);
  if (operation.refused()) return operation.error();
  descriptors = descriptors.first(std::min(descriptors.size(), kMostDescriptors));
  RightsBuffer control;
  msghdr message{};
  iovec vector{.iov_base = bytes.data(), .iov_len = std::min(bytes.size(), kLargestTransfer)};
  const auto n = perform(operation, sharing, deadline, [&](int number) {
    message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      message.msg_control = control.bytes.data();
      // Not CMSG_SPACE(): the kernel would fill what that has for padding with one number more.
      message.msg_controllen =
          static_cast<decltype(message.msg_controllen)>(CMSG_LEN(descriptors.size_bytes()));
    }
    return result_or_errno(::recvmsg(number, &message, kTakeCloexec));
  });
  if (!n) return std::unexpected(n.error());
  ReceivedDescriptors received{.bytes = *n,
                               .descriptors = 0,
                               .truncated = (message.msg_flags & MSG_TRUNC) != 0,
                               .descriptors_lost = (message.msg_flags & MSG_CTRUNC) != 0};
  take_numbers(message, descriptors, received);
  return received;
}

}  // namespace rearm::detail
