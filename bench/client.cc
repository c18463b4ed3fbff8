// See client.h.

#include "client.h"

#include <arpa/inet.h>
#include <sys/epoll.h>

#include <algorithm>
#include <numeric>

namespace bench {
namespace {

constexpr int kEventsBatch = 512;
// One source address has some 28,000 ports (ip_local_port_range); stay clear of the end.
constexpr std::size_t kConnectionsPerSource = 25'000;
constexpr int kWaitMs = 100;

}  // namespace

Client::Client(const ClientOptions& options)
    : options_(options),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      connections_(options.connections),
      message_(options.message_bytes),
      receive_buffer_(options.message_bytes + 64) {
  if (epoll_.get() < 0) die_errno("epoll_create1");
  if (options.message_bytes == 0) die("a message has at least one byte");
  for (std::size_t index = 0; index < message_.size(); ++index) {
    message_[index] = static_cast<char>('!' + index % 89);  // a prime: no period hides a shift
  }
}

OwnedFd Client::connect_one(std::size_t index) const {
  OwnedFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) die_errno("socket");
  set_congestion(fd.get(), options_.congestion);
  set_int_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  // Ends with a reset instead of TIME_WAIT, or rounds of many connections would run out of ports.
  const linger abort_at_close{.l_onoff = 1, .l_linger = 0};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &abort_at_close, sizeof abort_at_close) != 0) {
    die_errno("setsockopt");
  }
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
    die_errno("setsockopt");
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (connections_.size() > kConnectionsPerSource) {
    set_int_option(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    const auto source = static_cast<in_addr_t>(index / kConnectionsPerSource);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + source);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      die_errno("bind");
    }
  }
  address.sin_port = htons(options_.port);
  if (inet_pton(AF_INET, options_.host.c_str(), &address.sin_addr) != 1) {
    die("not an IPv4 address: " + options_.host);
  }
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    die_errno("connect to " + options_.host + ":" + std::to_string(options_.port));
  }
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) die_errno("fcntl");
  return fd;
}

void Client::open_connections() {
  std::vector<std::size_t> batch;
  for (std::size_t index = 0; index < connections_.size(); ++index) {
    Connection& connection = connections_[index];
    connection.fd = connect_one(index);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = index;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event) != 0) {
      die_errno("epoll_ctl");
    }
    batch.push_back(index);
    if (batch.size() == options_.connect_batch || index + 1 == connections_.size()) {
      run_over(batch, {.requests_max = batch.size()});
      batch.clear();
    }
  }
}

PhaseResult Client::run(std::size_t active, const Phase& phase) {
  active = std::min(active, connections_.size());
  std::vector<std::size_t> indexes(active);
  for (std::size_t rank = 0; rank < active; ++rank) {
    indexes[rank] = rank * connections_.size() / active;
  }
  return run_over(indexes, phase);
}

PhaseResult Client::run_over(std::span<const std::size_t> indexes, const Phase& phase) {
  const std::int64_t start = now_ns();
  requests_left_ = phase.requests_max;
  deadline_ns_ = phase.duration_ns == std::numeric_limits<std::int64_t>::max()
                     ? phase.duration_ns
                     : start + phase.duration_ns;
  finished_ = 0;
  for (const std::size_t index : indexes) {
    if (connections_[index].fd.get() >= 0) start_request(index, now_ns());
  }

  std::array<epoll_event, kEventsBatch> events{};
  std::uint64_t finished_before = 0;
  std::int64_t progress_ns = start;
  while (in_flight_ > 0) {
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsBatch, kWaitMs);
    if (count < 0 && errno != EINTR) die_errno("epoll_wait");
    for (int at = 0; at < count; ++at) {
      continue_request(static_cast<std::size_t>(events[static_cast<std::size_t>(at)].data.u64));
    }
    if (finished_ != finished_before) {
      finished_before = finished_;
      progress_ns = 0;
    } else if (progress_ns == 0) {
      progress_ns = now_ns();
    } else if (now_ns() - progress_ns > options_.stall_ns) {
      die("the server stalled: " + std::to_string(in_flight_) + " requests without an answer");
    }
  }
  return {finished_, now_ns() - start};
}

void Client::start_request(std::size_t index, std::int64_t now) {
  if (requests_left_ == 0 || now >= deadline_ns_) return;
  --requests_left_;
  ++in_flight_;
  Connection& connection = connections_[index];
  connection.in_flight = true;
  ++connection.sequence;
  connection.sent_bytes = 0;
  connection.received_bytes = 0;
  connection.sent_ns = now;
  send_rest(index);
}

void Client::continue_request(std::size_t index) {
  Connection& connection = connections_[index];
  if (!connection.in_flight) {
    // The first edge (writable) comes for every connection; after that, an idle one that is
    // readable was sent bytes nobody asked for, or was closed.
    char byte = 0;
    const ssize_t result = connection.fd.get() < 0 ? -1 : read(connection.fd.get(), &byte, 1);
    if (result == 0) fail(index, "closed by the server while idle");
    if (result > 0) fail(index, "bytes that were not asked for");
    return;
  }
  if (!send_rest(index) || !receive(index)) return;
  finish_request(index);
}

bool Client::send_rest(std::size_t index) {
  Connection& connection = connections_[index];
  if (connection.sent_bytes == message_.size()) return true;
  const Head head = head_of(index);
  std::copy_n(head.begin(), std::min(kHeadBytes, message_.size()), message_.begin());
  while (connection.sent_bytes < message_.size()) {
    const ssize_t result = send(connection.fd.get(), message_.data() + connection.sent_bytes,
                                message_.size() - connection.sent_bytes, MSG_NOSIGNAL);
    if (result < 0) {
      if (errno == EINTR) continue;
      // The socket is full: the echo of what is sent so far has to be taken meanwhile, or two
      // full buffers would wait for each other.
      if (errno == EAGAIN) return true;
      fail(index, std::string("send: ") + std::strerror(errno));
      return false;
    }
    connection.sent_bytes += static_cast<std::size_t>(result);
  }
  return true;
}

bool Client::receive(std::size_t index) {
  Connection& connection = connections_[index];
  while (connection.received_bytes < message_.size()) {
    const ssize_t result =
        read(connection.fd.get(), receive_buffer_.data(), receive_buffer_.size());
    if (result < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) fail(index, std::string("read: ") + std::strerror(errno));
      return false;
    }
    const auto bytes = static_cast<std::size_t>(result);
    if (bytes == 0) {
      fail(index, "closed by the server");
      return false;
    }
    if (connection.received_bytes + bytes > connection.sent_bytes) {
      fail(index, "more bytes than were sent");
      return false;
    }
    if (!matches(index, connection.received_bytes, bytes)) {
      fail(index, "other bytes than were sent");
      return false;
    }
    connection.received_bytes += bytes;
  }
  return true;
}

void Client::finish_request(std::size_t index) {
  Connection& connection = connections_[index];
  const std::int64_t now = now_ns();
  latency_.record(now - connection.sent_ns);
  connection.in_flight = false;
  --in_flight_;
  ++finished_;
  start_request(index, now);
}

bool Client::matches(std::size_t index, std::size_t offset, std::size_t bytes) const {
  if (offset < kHeadBytes) {
    const Head head = head_of(index);
    const std::size_t count = std::min(bytes, kHeadBytes - offset);
    if (std::memcmp(head.data() + offset, receive_buffer_.data(), count) != 0) return false;
  }
  if (!options_.verify_all_bytes || offset + bytes <= kHeadBytes) return true;
  const std::size_t skip = offset < kHeadBytes ? kHeadBytes - offset : 0;
  return std::memcmp(message_.data() + offset + skip, receive_buffer_.data() + skip,
                     bytes - skip) == 0;
}

// The first bytes tell every message from all others: the echo of another connection or of an
// earlier request is seen.
Client::Head Client::head_of(std::size_t index) const {
  const std::array<std::uint64_t, 2> words{connections_[index].sequence, index};
  Head head{};
  static_assert(sizeof words == sizeof head);
  std::memcpy(head.data(), words.data(), sizeof head);
  return head;
}

void Client::fail(std::size_t index, const std::string& reason) {
  ++errors_;
  if (first_error_.empty()) {
    first_error_ = "connection " + std::to_string(index) + ": " + reason;
  }
  Connection& connection = connections_[index];
  connection.fd.reset();
  if (connection.in_flight) --in_flight_;
  connection.in_flight = false;
}

}  // namespace bench
