// What the kinds of Unix sockets share: opening, descriptors on the way, who the peer is.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "net/fd_access.h"
#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/unix.h"

namespace rearm::detail {

// `type` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. Errors: kNotSupported (a type that this
// system does not have), and those of the system.
[[nodiscard]] Result<Fd> adopt_unix(Runtime& runtime, int fd, int type);
[[nodiscard]] Result<std::pair<Fd, Fd>> unix_pair(Runtime& runtime, int type);
[[nodiscard]] Result<Fd> connect_unix(Runtime& runtime, const SocketAddress& address, int type,
                                      Deadline deadline);
[[nodiscard]] Result<Fd> open_unix(Runtime& runtime, int type);
[[nodiscard]] Result<Fd> bind_unix(Runtime& runtime, const SocketAddress& address, int type,
                                   bool remove_stale);
[[nodiscard]] Result<Fd> listen_unix(Runtime& runtime, const SocketAddress& address, int type,
                                     const UnixListener::Options& options);

[[nodiscard]] Result<PeerCredentials> credentials_of(const Fd& fd);

// Whether a message may be sent or received beside others, in turn, or bytes by one alone.
enum class Sharing : bool { kExclusive, kInTurn };
[[nodiscard]] Result<std::size_t> send_attached(const Fd& fd, Sharing sharing, ConstBuffer bytes,
                                                std::span<const int> descriptors,
                                                Deadline deadline);
[[nodiscard]] Result<ReceivedDescriptors> recv_attached(const Fd& fd, Sharing sharing,
                                                        MutableBuffer bytes,
                                                        std::span<int> descriptors,
                                                        Deadline deadline);

}  // namespace rearm::detail
