#include "torture/outside.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <memory>
#include <span>
#include <vector>

#include "support/sockets.h"
#include "torture/pattern.h"

namespace rearm::torture {
namespace {

constexpr std::int64_t kMicrosecond = 1'000;

// One connection of a stranger's.
class Outsider {
 public:
  explicit Outsider(World& world)
      : world_(world), actor_(world.ledger, "outside client"), scratch_(Plan::kMostPiece) {}

  // Whether there is a connection.
  [[nodiscard]] bool is_active() const noexcept { return fd_.get() >= 0; }
  void begin(std::int64_t now);

  // What to ask poll(2) about; a negative number if it is too early for anything.
  [[nodiscard]] pollfd wish(std::int64_t now) const;
  void go_on(short reported, std::int64_t now);

 private:
  void finish_connect();
  void send_more(std::int64_t now);
  void read_more();
  void at_sent_all();
  void leave();
  void end();
  void gone(const char* what, int error);
  [[nodiscard]] std::uint64_t wire_bytes() const {
    const std::uint32_t bytes = plan_.client_leaves() ? plan_.client_turn : plan_.bytes;
    return Greeting::kBytes + bytes;
  }

  World& world_;
  Actor actor_;
  std::vector<std::byte> scratch_;
  test::UniqueFd fd_;
  Plan plan_;
  bool connecting_ = false;
  bool write_ended_ = false;
  std::uint64_t sent_ = 0;      // The greeting among it.
  std::uint64_t received_ = 0;  // Of the pattern.
  std::int64_t write_from_ns_ = 0;
  std::int64_t read_from_ns_ = 0;
};

void Outsider::begin(std::int64_t now) {
  plan_ = world_.plan_of(world_.next_id.fetch_add(1));
  const SocketAddress& address =
      plan_.transport == Transport::kTcp ? world_.tcp_address : world_.unix_address;
  const auto* const native = static_cast<const sockaddr*>(address.data());
  test::UniqueFd fd(test::require(::socket(native->sa_family, SOCK_STREAM, 0), "socket"));
  test::set_nonblocking_cloexec(fd.get());
  if (plan_.small_buffers) {
    const int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &one, sizeof(one));
  }
  const int result = ::connect(fd.get(), native, static_cast<socklen_t>(address.size()));
  // EAGAIN: the Unix backlog is full. EADDRNOTAVAIL: too many ports are in TIME_WAIT.
  if (result != 0 && (errno == EAGAIN || errno == EADDRNOTAVAIL)) return;
  if (result != 0 && errno != EINPROGRESS && errno != EINTR) {
    world_.ledger.fail("%s: connect: %s", plan_.describe().c_str(),
                       std::generic_category().message(errno).c_str());
  }
  fd_ = std::move(fd);
  actor_.is(plan_.id);
  actor_.begin(Op::kOutsideConnect);
  ++world_.open_now;
  connecting_ = true;
  write_ended_ = false;
  sent_ = 0;
  received_ = 0;
  write_from_ns_ = now;
  read_from_ns_ = now + plan_.read_after_us * kMicrosecond;
}

pollfd Outsider::wish(std::int64_t now) const {
  short events = 0;
  if (connecting_ || (!write_ended_ && now >= write_from_ns_)) events |= POLLOUT;
  if (!connecting_ && now >= read_from_ns_) events |= POLLIN;
  return {.fd = events != 0 ? fd_.get() : -1, .events = events, .revents = 0};
}

void Outsider::go_on(short reported, std::int64_t now) {
  if (connecting_) {
    finish_connect();
    return;
  }
  if ((reported & (POLLIN | POLLHUP | POLLERR)) != 0 && now >= read_from_ns_) read_more();
  if (!is_active() || write_ended_ || now < write_from_ns_) return;
  if ((reported & (POLLOUT | POLLHUP | POLLERR)) != 0) send_more(now);
}

void Outsider::finish_connect() {
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    // Only a server that is stopped refuses.
    if (!world_.stopping) gone("connect", error);
    return end();
  }
  connecting_ = false;
  actor_.end(Op::kOutsideConnect);
  ++world_.opened;
  actor_.begin(Op::kOutsideWrite);
}

void Outsider::send_more(std::int64_t now) {
  if (sent_ == wire_bytes()) return at_sent_all();
  const std::array<std::byte, Greeting::kBytes> greeting = Greeting::of(plan_.id);
  std::span<const std::byte> bytes;
  if (sent_ < Greeting::kBytes) {
    bytes = std::span(greeting).subspan(sent_);
  } else {
    const auto piece = std::min<std::uint64_t>(plan_.piece, wire_bytes() - sent_);
    fill_pattern(plan_.id, sent_ - Greeting::kBytes, std::span(scratch_).first(piece));
    bytes = std::span(scratch_).first(piece);
  }
  const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    gone("write", errno);
    return end();
  }
  actor_.end(Op::kOutsideWrite);
  actor_.begin(Op::kOutsideWrite);
  sent_ += static_cast<std::uint64_t>(n);
  write_from_ns_ = now + plan_.pause_us * kMicrosecond;
  if (sent_ == wire_bytes()) at_sent_all();
}

void Outsider::at_sent_all() {
  if (plan_.client_leaves()) return leave();
  write_ended_ = true;
  if (plan_.ending == Ending::kHalfClose) {
    ::shutdown(fd_.get(), SHUT_WR);
  } else if (received_ == plan_.bytes) {
    ++world_.complete;
    return end();
  }
  actor_.begin(Op::kOutsideRead);
}

void Outsider::leave() {
  if (plan_.ending == Ending::kReset) {
    test::close_with_reset(std::move(fd_));
    world_.ledger.count(Op::kReset);
  }
  end();
}

void Outsider::read_more() {
  const ssize_t n = ::recv(fd_.get(), scratch_.data(), scratch_.size(), 0);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    gone("read", errno);
    return end();
  }
  if (n == 0) {
    // The server ends first only if the plan says so.
    const bool whole = received_ == plan_.bytes && write_ended_;
    const bool half = plan_.treatment == Treatment::kHalfClosed && received_ == plan_.server_turn;
    if (!whole && !half && !plan_.server_closes() && !world_.stopping) {
      world_.ledger.fail("%s: the echo ended after %" PRIu64 " bytes", plan_.describe().c_str(),
                         received_);
    }
    if (received_ == plan_.bytes) ++world_.complete;
    return end();
  }
  const std::span<const std::byte> bytes(scratch_.data(), static_cast<std::size_t>(n));
  if (const auto at = first_mismatch(plan_.id, received_, bytes)) {
    world_.ledger.fail("%s: came back, at %" PRIu64 ", %s", plan_.describe().c_str(),
                       received_ + *at, describe_bytes(bytes.subspan(*at), world_.next_id).c_str());
  }
  received_ += bytes.size();
  if (received_ + Greeting::kBytes > sent_) {
    world_.ledger.fail("%s: more came back than was sent", plan_.describe().c_str());
  }
  world_.ledger.count_bytes(bytes.size());
  world_.ledger.count(Op::kOutsideRead);
  actor_.begin(Op::kOutsideRead);  // Progress.
  if (plan_.ending == Ending::kCloseWhenEchoed && write_ended_ && received_ == plan_.bytes) {
    ++world_.complete;
    end();
  }
}

void Outsider::gone(const char* what, int error) {
  const std::error_code code(error, std::system_category());
  world_.ledger.count_error(Op::kOutsideEnd, code);
  if (plan_.client_may_see(code) || world_.stopping) return;
  world_.ledger.fail("%s: an outside %s ended with '%s' after %" PRIu64 " bytes out, %" PRIu64
                     " in",
                     plan_.describe().c_str(), what, code.message().c_str(), sent_, received_);
}

void Outsider::end() {
  fd_.reset();
  actor_.end(Op::kOutsideEnd);
  --world_.open_now;
}

}  // namespace

void run_outsider(World& world, std::size_t connections, std::size_t index) {
  Random random = world.random(1'000 + index);
  std::vector<std::unique_ptr<Outsider>> clients;
  for (std::size_t i = 0; i < connections; ++i)
    clients.push_back(std::make_unique<Outsider>(world));
  std::vector<pollfd> polls(connections);
  for (;;) {
    std::int64_t now = now_ns();
    std::size_t active = 0;
    for (std::size_t i = 0; i < connections; ++i) {
      // Not all begin at once: numbers come and go while others stay.
      if (!clients[i]->is_active() && !world.is_over() && random.one_in(4)) clients[i]->begin(now);
      polls[i] = {.fd = -1, .events = 0, .revents = 0};
      if (!clients[i]->is_active()) continue;
      ++active;
      polls[i] = clients[i]->wish(now);
    }
    if (active == 0 && world.is_over()) return;
    if (::poll(polls.data(), polls.size(), 1) < 0 && errno != EINTR) {
      world.ledger.fail("poll: %s", std::generic_category().message(errno).c_str());
    }
    now = now_ns();
    for (std::size_t i = 0; i < connections; ++i) {
      if (polls[i].fd >= 0 && polls[i].revents != 0) clients[i]->go_on(polls[i].revents, now);
    }
  }
}

}  // namespace rearm::torture
